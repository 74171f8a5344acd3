"""The shapes of a comparison: which runs, how they are paired, and what it says."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app import jsontext
from app.schemas.fields import Pattern, Query, Shape, Text
from app.schemas.query_fields import TextList, WholeNumber
from app.schemas.summaries import (
    BooleanSummary,
    Interval,
    NumberSummary,
    TextSummary,
    count,
    number,
)

PAIR_BY = r"^(prediction_id|order|(before|after):[\s\S]+|leaf:[\s\S]*)$"
MOST_CANDIDATES = 20
MOST_REGRESSIONS = 1_000


class CompareQuery(Query):
    """Which runs are compared, and how."""

    baseline = Text(required=True, metadata={"description": "The run to compare with."})
    candidate = TextList(
        most=MOST_CANDIDATES,
        required=True,
        metadata={"description": f"The run to judge; repeated, at most {MOST_CANDIDATES} times."},
    )
    scorer = Text(load_default=None, metadata={"description": "Only scores by this scorer."})
    pair_by = Pattern(
        PAIR_BY,
        load_default="prediction_id",
        metadata={
            "description": "What two predictions have in common: `prediction_id`, their `order`, "
            "the id `before:` or `after:` a separator, or the value of a `leaf:`."
        },
    )
    lower_is_better = TextList(
        most=100,
        load_default=list,
        metadata={"description": "A leaf of which less is better; repeated."},
    )
    worst = WholeNumber(
        least=0,
        most=MOST_REGRESSIONS,
        load_default=10,
        metadata={"description": "How many of the worst regressions are named."},
    )


class LeafSummary(Shape):
    """One leaf of one kind in one run."""

    attempted = count("How many scores by this scorer.", required=True)
    scored = count("How many have a value here that is not null.", required=True)
    nulls = count("How many are null here, or in what this stands in.", required=True)
    missing = count("How many have nothing here: another shape, an error.", required=True)
    coverage = number("scored / attempted; null where nothing is.", required=True, allow_none=True)
    number = fields.Nested(NumberSummary, allow_none=True)
    boolean = fields.Nested(BooleanSummary, allow_none=True)
    text = fields.Nested(TextSummary, allow_none=True)


class BothSummaries(Shape):
    """The leaf in both runs."""

    baseline = fields.Nested(LeafSummary, required=True)
    candidate = fields.Nested(LeafSummary, required=True)


class PairCounts(Shape):
    """What became of every prediction."""

    compared = count("Pairs of which both have a value of this kind.", required=True)
    wins = count("How many of them got better.")
    losses = count("How many got worse.")
    ties = count("How many are equal.")
    changed = count("How many texts are another now.")
    unchanged = count("How many texts are the same.")
    failed_in_baseline = count("Pairs without such a value in the baseline.", required=True)
    failed_in_candidate = count("Pairs without such a value in the candidate.", required=True)
    failed_in_both = count("Pairs without such a value in either.", required=True)
    only_in_baseline = count("Predictions that only the baseline has.", required=True)
    only_in_candidate = count("Predictions that only the candidate has.", required=True)
    repeated_in_baseline = count("Scores passed over for a newer one.", required=True)
    repeated_in_candidate = count("Scores passed over for a newer one.", required=True)


class DifferenceRes(Shape):
    """The candidate's mean or rate less the baseline's."""

    mean = number("The difference.", required=True, allow_none=True)
    interval = fields.Nested(Interval, required=True, allow_none=True)
    method = Text(required=True, metadata={"description": "The test that gave the p-value."})
    paired = fields.Boolean(required=True, metadata={"description": "Whether pairs were tested."})
    note = Text(required=True, allow_none=True, metadata={"description": "Why not, where not."})
    p_value = number("Two-sided.", required=True, allow_none=True)
    p_adjusted = number("By Holm, over all comparisons.", required=True, allow_none=True)
    sign_test_p_value = number("Of wins and losses alone, exact.", required=True)


class Regression(Shape):
    """One prediction that got worse."""

    prediction_id = Text(required=True, metadata={"description": "Of the baseline."})
    candidate_prediction_id = Text(required=True, metadata={"description": "Its pair."})
    baseline_score_id = Text(required=True, metadata={"description": "The baseline's score."})
    candidate_score_id = Text(required=True, metadata={"description": "The candidate's score."})
    baseline_value = fields.Raw(required=True, metadata={"description": "What it was."})
    candidate_value = fields.Raw(required=True, metadata={"description": "What it is."})


class ComparisonRes(Shape):
    """One leaf of one scorer of one candidate, beside the baseline's."""

    candidate = Text(required=True, metadata={"description": "The run."})
    scorer = Text(required=True, metadata={"description": "What judged."})
    leaf = Text(required=True, metadata={"description": "The path inside the value."})
    kind = Text(
        required=True,
        metadata={"description": "Of its values.", "enum": ["number", "boolean", "text"]},
    )
    lower_is_better = fields.Boolean(required=True, metadata={"description": "As it was asked."})
    verdict = Text(
        required=True,
        allow_none=True,
        metadata={
            "description": "worse, better, no difference shown, not enough data; texts have none."
        },
    )
    summaries = fields.Nested(BothSummaries, required=True)
    pairs = fields.Nested(PairCounts, required=True)
    difference = fields.Nested(DifferenceRes, required=True, allow_none=True)
    regressions = fields.List(
        fields.Nested(Regression), required=True, metadata={"description": "The worst first."}
    )


class CompareRes(Shape):
    """Every leaf of every candidate beside the baseline's, the worst first."""

    baseline = Text(required=True, metadata={"description": "The run compared with."})
    pair_by = Text(required=True, metadata={"description": "How predictions were paired."})
    alpha = number("A verdict needs an adjusted p-value below this.", required=True)
    correction = Text(required=True, metadata={"description": "holm"})
    comparisons = fields.List(fields.Nested(ComparisonRes), required=True)

    def dumps(self, obj: Any, *_: Any, **__: Any) -> str:
        """JSON text of what is made of plain values already."""
        return jsontext.write(obj)
