"""Schemas of a comparison: the query, and the answer for each metric."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app import jsontext
from app.schemas.fields import Pattern, Query, Shape, Text
from app.schemas.query_fields import TextList, WholeNumber
from app.schemas.scores import repeats, repeats_res
from app.schemas.summaries import (
    BooleanSummary,
    Interval,
    NumberSummary,
    TextSummary,
    count,
    number,
)

PAIR_BY = r"^(prediction_id|example|order|(before|after):[\s\S]+|leaf:[\s\S]*)$"
MAX_CANDIDATES = 20
MAX_REGRESSIONS = 1_000


def superseded_res() -> fields.Dict:
    """Return the field of a response with the number of scores that were left out."""
    return fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "By run, how many superseded scores were left out."},
    )


class CompareQuery(Query):
    """The runs to compare, and how to pair their predictions."""

    baseline = Text(
        required=True, metadata={"description": "The run to compare the candidates with."}
    )
    candidate = TextList(
        most=MAX_CANDIDATES,
        required=True,
        metadata={"description": f"A run to compare with the baseline; at most {MAX_CANDIDATES}."},
    )
    scorer = Text(
        load_default=None,
        metadata={
            "description": "Compare only the scores by this scorer, given by its name or by a "
            "reference to any version."
        },
    )
    pair_by = Pattern(
        PAIR_BY,
        load_default=None,
        metadata={
            "description": "What the predictions of a pair have in common: their `example`, their "
            "`prediction_id`, their `order` in the run, the part of the id `before:` or `after:` a "
            "separator, or the value of a `leaf:`. Default: `example` if every prediction of the "
            "runs has one that was given or comes from its inputs, otherwise `prediction_id`."
        },
    )
    repeats = repeats()
    lower_is_better = TextList(
        most=100,
        load_default=list,
        metadata={"description": "A leaf whose lower values are better; repeatable."},
    )
    worst = WholeNumber(
        least=0,
        most=MAX_REGRESSIONS,
        load_default=10,
        metadata={"description": "How many regressions to list, the worst first."},
    )


class LeafSummary(Shape):
    """The figures of one leaf in one run."""

    attempted = count("Scores by this scorer, and failed predictions without one.", required=True)
    scored = count("Scores with a value at the leaf that is not null.", required=True)
    nulls = count(
        "Scores with null at the leaf, or at a part of the value that contains it.", required=True
    )
    missing = count(
        "Scores whose value does not have the leaf, and failed predictions without a score.",
        required=True,
    )
    coverage = number("`scored / attempted`; null without scores.", required=True, allow_none=True)
    number = fields.Nested(NumberSummary, allow_none=True)
    boolean = fields.Nested(BooleanSummary, allow_none=True)
    text = fields.Nested(TextSummary, allow_none=True)


class BothSummaries(Shape):
    """The figures of the leaf in both runs."""

    baseline = fields.Nested(LeafSummary, required=True)
    candidate = fields.Nested(LeafSummary, required=True)


class PairCounts(Shape):
    """How many examples were compared, and why others were not."""

    compared = count("Examples that have a value of this kind in both runs.", required=True)
    wins = count("Compared pairs that got better.")
    losses = count("Compared pairs that got worse.")
    ties = count("Compared pairs with equal values.")
    changed = count("Compared pairs whose texts differ.")
    unchanged = count("Compared pairs whose texts are equal.")
    failed_in_baseline = count("Pairs without a value in the baseline only.", required=True)
    failed_in_candidate = count("Pairs without a value in the candidate only.", required=True)
    failed_in_both = count("Pairs without a value in either run.", required=True)
    only_in_baseline = count("Examples of the baseline without a pair.", required=True)
    only_in_candidate = count("Examples of the candidate without a pair.", required=True)
    trials_in_baseline = count(
        "Trials of the baseline that were averaged in the compared pairs.", required=True
    )
    trials_in_candidate = count(
        "Trials of the candidate that were averaged in the compared pairs.", required=True
    )


class DifferenceRes(Shape):
    """The candidate's mean or rate less the baseline's, and how it was tested."""

    mean = number("The difference.", required=True, allow_none=True)
    interval = fields.Nested(Interval, required=True, allow_none=True)
    method = Text(required=True, metadata={"description": "The statistical test."})
    paired = fields.Boolean(required=True, metadata={"description": "Whether the test is paired."})
    note = Text(
        required=True,
        allow_none=True,
        metadata={"description": "Why the test is not paired, if it is not."},
    )
    p_value = number("The two-sided p-value.", required=True, allow_none=True)
    p_adjusted = number(
        "The p-value after Holm's correction over all comparisons.", required=True, allow_none=True
    )
    sign_test_p_value = number(
        "The exact p-value of the sign test on wins and losses.", required=True
    )


class Regression(Shape):
    """One example that got worse; the ids are those of its newest trials with a value."""

    prediction_id = Text(required=True, metadata={"description": "The prediction in the baseline."})
    candidate_prediction_id = Text(
        required=True,
        metadata={"description": "The prediction in the candidate that it is paired with."},
    )
    baseline_score_id = Text(required=True, metadata={"description": "The score in the baseline."})
    candidate_score_id = Text(
        required=True, metadata={"description": "The score in the candidate."}
    )
    baseline_value = fields.Raw(
        required=True,
        metadata={"description": "The value in the baseline, or the mean of several trials."},
    )
    candidate_value = fields.Raw(
        required=True,
        metadata={"description": "The value in the candidate, or the mean of several trials."},
    )
    baseline_trials = count("The trials in the baseline.", required=True)
    candidate_trials = count("The trials in the candidate.", required=True)


class ComparisonRes(Shape):
    """The comparison of one leaf of one scorer in one candidate with the baseline."""

    candidate = Text(required=True, metadata={"description": "The candidate run."})
    scorer = Text(required=True, metadata={"description": "The name of the scorer."})
    leaf = Text(required=True, metadata={"description": "The path of the leaf in the value."})
    kind = Text(
        required=True,
        metadata={"description": "The kind of the values.", "enum": ["number", "boolean", "text"]},
    )
    lower_is_better = fields.Boolean(
        required=True, metadata={"description": "Whether lower values are better."}
    )
    verdict = Text(
        required=True,
        allow_none=True,
        metadata={
            "description": "`worse`, `better`, `no difference shown` or `not enough data`; "
            "null for texts."
        },
    )
    summaries = fields.Nested(BothSummaries, required=True)
    pairs = fields.Nested(PairCounts, required=True)
    difference = fields.Nested(DifferenceRes, required=True, allow_none=True)
    regressions = fields.List(
        fields.Nested(Regression), required=True, metadata={"description": "The worst first."}
    )


class CompareRes(Shape):
    """The comparisons of every leaf of every candidate, the worst first."""

    baseline = Text(required=True, metadata={"description": "The baseline run."})
    pair_by = Text(
        required=True, metadata={"description": "What the predictions of a pair have in common."}
    )
    repeats = repeats_res()
    superseded = superseded_res()
    alpha = number(
        "A verdict of better or worse needs an adjusted p-value below this.", required=True
    )
    correction = Text(
        required=True, metadata={"description": "The correction of the p-values: `holm`."}
    )
    comparisons = fields.List(fields.Nested(ComparisonRes), required=True)

    def dumps(self, obj: Any, *_: Any, **__: Any) -> str:
        """Return `obj`, which is made of plain values, as JSON."""
        return jsontext.write(obj)
