"""Schemas of a comparison: the query, and the answer for each metric."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.fields import (
    Anything,
    Boolean,
    Count,
    Float,
    JsonObject,
    List,
    Pattern,
    Plain,
    Query,
    Shape,
    Text,
)
from app.schemas.query_fields import TextList, WholeNumber
from app.schemas.scores import repeats, repeats_res
from app.schemas.summaries import (
    BooleanSummary,
    Interval,
    LeafCounts,
    NumberSummary,
    TextSummary,
)

PAIR_BY = r"^(prediction_id|example|order|(before|after):[\s\S]+|leaf:[\s\S]*)$"
MAX_CANDIDATES = 20
MAX_REGRESSIONS = 1_000


def superseded_res() -> fields.Dict:
    """Return the field of a response with the number of scores that were left out."""
    return JsonObject(
        "By run, how many superseded scores were left out.",
        keys=fields.String(),
        values=Count(),
        required=True,
    )


class CompareQuery(Query):
    """The runs to compare, and how to pair their predictions."""

    baseline = Text("The run to compare the candidates with.", required=True)
    candidate = TextList(
        f"A run to compare with the baseline; at most {MAX_CANDIDATES}.",
        most=MAX_CANDIDATES,
        required=True,
    )
    scorer = Text(
        "Compare only the scores by this scorer, given by its name or by a "
        "reference to any version.",
        load_default=None,
    )
    pair_by = Pattern(
        "What the predictions of a pair have in common: their `example`, their "
        "`prediction_id`, their `order` in the run, the part of the id `before:` or `after:` a "
        "separator, or the value of a `leaf:`. Default: `example` if every prediction of the "
        "runs has one that was given or comes from its inputs, otherwise `prediction_id`.",
        PAIR_BY,
        load_default=None,
    )
    repeats = repeats()
    lower_is_better = TextList(
        "A leaf whose lower values are better; repeatable.", most=100, load_default=list
    )
    worst = WholeNumber(
        "How many regressions to list, the worst first.",
        least=0,
        most=MAX_REGRESSIONS,
        load_default=10,
    )


class LeafSummary(LeafCounts):
    """The figures of one leaf in one run."""

    coverage = Float("`scored / attempted`; null without scores.", required=True, allow_none=True)
    number = fields.Nested(NumberSummary, allow_none=True)
    boolean = fields.Nested(BooleanSummary, allow_none=True)
    text = fields.Nested(TextSummary, allow_none=True)


class BothSummaries(Shape):
    """The figures of the leaf in both runs."""

    baseline = fields.Nested(LeafSummary, required=True)
    candidate = fields.Nested(LeafSummary, required=True)


class PairCounts(Shape):
    """How many examples were compared, and why others were not."""

    compared = Count("Examples that have a value of this kind in both runs.", required=True)
    wins = Count("Compared pairs that got better.")
    losses = Count("Compared pairs that got worse.")
    ties = Count("Compared pairs with equal values.")
    changed = Count("Compared pairs whose texts differ.")
    unchanged = Count("Compared pairs whose texts are equal.")
    failed_in_baseline = Count("Pairs without a value in the baseline only.", required=True)
    failed_in_candidate = Count("Pairs without a value in the candidate only.", required=True)
    failed_in_both = Count("Pairs without a value in either run.", required=True)
    only_in_baseline = Count("Examples of the baseline without a pair.", required=True)
    only_in_candidate = Count("Examples of the candidate without a pair.", required=True)
    trials_in_baseline = Count(
        "Trials of the baseline that were averaged in the compared pairs.", required=True
    )
    trials_in_candidate = Count(
        "Trials of the candidate that were averaged in the compared pairs.", required=True
    )


class DifferenceRes(Shape):
    """The candidate's mean or rate less the baseline's, and how it was tested."""

    mean = Float("The difference.", required=True, allow_none=True)
    interval = fields.Nested(Interval, required=True, allow_none=True)
    method = Text("The statistical test.", required=True)
    paired = Boolean("Whether the test is paired.", required=True)
    note = Text("Why the test is not paired, if it is not.", required=True, allow_none=True)
    p_value = Float("The two-sided p-value.", required=True, allow_none=True)
    p_adjusted = Float(
        "The p-value after Holm's correction over all comparisons.", required=True, allow_none=True
    )
    sign_test_p_value = Float(
        "The exact p-value of the sign test on wins and losses.", required=True
    )


class Regression(Shape):
    """One example that got worse; the ids are those of its newest trials with a value."""

    prediction_id = Text("The prediction in the baseline.", required=True)
    candidate_prediction_id = Text(
        "The prediction in the candidate that it is paired with.", required=True
    )
    baseline_score_id = Text("The score in the baseline.", required=True)
    candidate_score_id = Text("The score in the candidate.", required=True)
    baseline_value = Anything(
        "The value in the baseline, or the mean of several trials.", required=True
    )
    candidate_value = Anything(
        "The value in the candidate, or the mean of several trials.", required=True
    )
    baseline_trials = Count("The trials in the baseline.", required=True)
    candidate_trials = Count("The trials in the candidate.", required=True)


class ComparisonRes(Shape):
    """The comparison of one leaf of one scorer in one candidate with the baseline."""

    candidate = Text("The candidate run.", required=True)
    scorer = Text("The name of the scorer.", required=True)
    leaf = Text("The path of the leaf in the value.", required=True)
    kind = Text(
        "The kind of the values.", required=True, metadata={"enum": ["number", "boolean", "text"]}
    )
    lower_is_better = Boolean("Whether lower values are better.", required=True)
    verdict = Text(
        "`worse`, `better`, `no difference shown` or `not enough data`; null for texts.",
        required=True,
        allow_none=True,
    )
    summaries = fields.Nested(BothSummaries, required=True)
    pairs = fields.Nested(PairCounts, required=True)
    difference = fields.Nested(DifferenceRes, required=True, allow_none=True)
    regressions = List("The worst first.", fields.Nested(Regression), required=True)


class CompareRes(Plain):
    """The comparisons of every leaf of every candidate, the worst first."""

    baseline = Text("The baseline run.", required=True)
    pair_by = Text("What the predictions of a pair have in common.", required=True)
    repeats = repeats_res()
    superseded = superseded_res()
    alpha = Float(
        "A verdict of better or worse needs an adjusted p-value below this.", required=True
    )
    correction = Text("The correction of the p-values: `holm`.", required=True)
    comparisons = List(
        "The comparisons, the worst first.", fields.Nested(ComparisonRes), required=True
    )
