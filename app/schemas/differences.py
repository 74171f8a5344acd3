"""Schemas of a difference between two runs: its tests, its pairs, and what changed most."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.fields import Anything, Boolean, Count, Float, Shape, Text
from app.schemas.summaries import Interval


class PairCounts(Shape):
    """How many examples were compared, and why others were not."""

    compared = Count("Examples that have a value of this kind in both runs.", required=True)
    rose = Count("Compared pairs whose value is higher in the candidate.")
    fell = Count("Compared pairs whose value is lower in the candidate.")
    wins = Count("Compared pairs that got better, if it is declared what is better.")
    losses = Count("Compared pairs that got worse, if it is declared what is better.")
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


class Bounds(Shape):
    """The difference if every failure had its worst value for the candidate, or its best."""

    low = Float("At the worst for the candidate.", required=True)
    high = Float("At the best for the candidate.", required=True)


class OverlapRes(Shape):
    """The difference by all values, also of examples that are not paired."""

    mean = Float("The difference.", required=True, allow_none=True)
    interval = fields.Nested(Interval, required=True, allow_none=True)
    method = Text("The statistical test.", required=True)
    p_value = Float("The two-sided p-value, not corrected.", required=True, allow_none=True)


class DifferenceRes(Shape):
    """The candidate's mean or rate less the baseline's, and how it was tested."""

    mean = Float("The difference.", required=True, allow_none=True)
    baseline = Float(
        "The mean or rate of the compared examples in the baseline.", required=True, allow_none=True
    )
    candidate = Float(
        "The mean or rate of the compared examples in the candidate.",
        required=True,
        allow_none=True,
    )
    interval = fields.Nested(Interval, required=True, allow_none=True)
    method = Text("The statistical test.", required=True)
    paired = Boolean("Whether the test is paired.", required=True)
    note = Text("What to know about the test, if anything.", required=True, allow_none=True)
    p_value = Float("The two-sided p-value.", required=True, allow_none=True)
    p_adjusted = Float(
        "The p-value after Holm's correction over the family; null if this comparison "
        "could not have shown a difference.",
        required=True,
        allow_none=True,
    )
    family = Count(
        "For how many comparisons it is corrected: those that could show a difference, of primary "
        "metrics or of others.",
        required=True,
    )
    sign_test_p_value = Float(
        "The exact p-value of the sign test on the pairs that rose and fell.", required=True
    )
    detectable = Float(
        "The smallest difference that such data show with a probability of 80 %.",
        required=True,
        allow_none=True,
    )
    pairs_needed = Count(
        "How many pairs show a difference of `effect` with a probability of 80 %.", allow_none=True
    )
    bounds = fields.Nested(
        Bounds, metadata={"description": "With `failures=worst`, the difference at the extremes."}
    )
    overlap = fields.Nested(
        OverlapRes,
        metadata={"description": "If some examples are not paired, the difference with them."},
    )


class Change(Shape):
    """One example that changed; the ids are those of its newest trials with a value."""

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


class TextChange(Shape):
    """How often one text became another."""

    baseline_value = Text("The text in the baseline.", required=True)
    candidate_value = Text("The text in the candidate.", required=True)
    count = Count("In how many examples.", required=True)


class CategoriesRes(Shape):
    """The test of whether the shares of the categories changed."""

    method = Text("The statistical test.", required=True)
    p_value = Float("The p-value.", required=True, allow_none=True)
    p_adjusted = Float("The p-value after Holm's correction.", required=True, allow_none=True)
    family = Count("For how many comparisons it is corrected.", required=True)
