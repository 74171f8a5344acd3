"""Schemas of a summary: the query, and the figures of each group."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from app.schemas.fields import Choice, Count, Float, List, Plain, Reason, Shape, Text
from app.schemas.query_fields import ChoiceList, Flag
from app.schemas.scores import ScoreFilters, repeats, repeats_res

CLUSTER = ("example", "prediction_id", "none")

GROUP_BY = ("scorer", "scorer_name", "evaluation_run_id", "leaf", "day", "hour")

RUN_TWICE = Reason(
    "value_error", "Value error, give either evaluation_run_id or this", {"error": {}}
)


class SummaryQuery(ScoreFilters):
    """The scores to summarise, and how to group them."""

    run = Text(
        "Only scores of this evaluation run: its id or its name, or which run is meant, as in a "
        "comparison.",
        load_default=None,
    )
    group_by = ChoiceList(
        "What to group by: repeated, or separated by commas.",
        GROUP_BY,
        load_default=["scorer", "leaf"],
    )
    repeats = repeats()
    cluster = Choice(
        "Which values of a group are not independent of each other: those of one `example` (the "
        "default; of one prediction where the example is not known), of one `prediction_id`, or "
        "`none`. Intervals are corrected for it.",
        CLUSTER,
        load_default=CLUSTER[0],
    )
    histograms = Flag("Whether summaries of numbers have histograms.", load_default=False)

    @validates_schema
    def _check_run(self, loaded: dict[str, Any], **_: Any) -> None:
        if loaded["run"] is not None and loaded["evaluation_run_id"]:
            raise ValidationError({"run": [RUN_TWICE]})


class Interval(Shape):
    """A confidence interval of a mean, a rate or a difference."""

    method = Text("The method that computed it.", required=True)
    level = Float("The confidence level.", required=True)
    low = Float("The lower end.", required=True)
    high = Float("The upper end.", required=True)


class Quantiles(Shape):
    """How the quantiles were computed, and how exact they are."""

    method = Text("`linear`: type 7 of Hyndman and Fan.", required=True)
    rank_error = Float(
        "The greatest possible error of a rank, as a part of `n`; 0 is exact.", required=True
    )


class Histogram(Shape):
    """Counts by bin; a bin includes its lower edge, the last bin both."""

    edges = List("The edges of the bins, ascending.", Float(), required=True)
    counts = List("The numbers in each bin.", Count(), required=True)


def clusters() -> Count:
    """Return the field with the number of clusters."""
    return Count(
        "How many examples or predictions the values are of, where several are of one; the "
        "interval is that of as many clusters."
    )


class NumberSummary(Shape):
    """The numbers of a group; only `n` and `beyond_double` when none of them fits a double."""

    n = Count("How many numbers there are.", required=True)
    beyond_double = Count(
        "Integers too large for a double; they are counted in `n`, but in no other figure.",
        required=True,
    )
    mean = Float("The mean.")
    clusters = clusters()
    interval = fields.Nested(Interval, allow_none=True)
    standard_deviation = Float("The sample standard deviation (by n - 1).", allow_none=True)
    note = Text("A warning about the interval, if one is due.", allow_none=True)
    min = Float("The minimum.")
    p5 = Float("The 5th percentile.")
    p25 = Float("The 25th percentile.")
    p50 = Float("The median.")
    p75 = Float("The 75th percentile.")
    p95 = Float("The 95th percentile.")
    max = Float("The maximum.")
    quantiles = fields.Nested(Quantiles)
    histogram = fields.Nested(Histogram, metadata={"description": "Only where asked for."})


class BooleanSummary(Shape):
    """The booleans of a group, or its values for which a rule for truth is declared."""

    n = Count("How many there are.", required=True)
    true = Count("How many are true.", required=True)
    false = Count("How many are false.", required=True)
    rate = Float("The part that is true: `true / n`.", required=True)
    clusters = clusters()
    interval = fields.Nested(Interval, required=True, allow_none=True)
    note = Text("Why there is no interval, if so.")


class TextShare(Shape):
    """One text and its frequency."""

    text = Text("Its first 256 characters.", required=True)
    count = Count("How often the text occurs.", required=True)
    share = Float("The part of all texts of the group: `count / n`.", required=True)


class TextSummary(Shape):
    """The texts of a group, counted as categories."""

    n = Count("How many texts there are.", required=True)
    distinct = Count("How many distinct texts there are.", required=True)
    distinct_error = Float("The relative standard error of `distinct`; 0 is exact.", required=True)
    most_frequent = List(
        "The most frequent texts, in order.", fields.Nested(TextShare), required=True
    )
    count_error = Count("How much too low a count may be; 0 is exact.", required=True)


def rate() -> fields.Nested:
    """Return the field with the rate of texts or numbers for which a rule for truth is declared."""
    return fields.Nested(
        BooleanSummary,
        metadata={"description": "Of the texts or numbers, where it is declared which are true."},
    )


class LeafCounts(Shape):
    """How many scores have a value at a leaf."""

    attempted = Count("The scores, and failed predictions without one.", required=True)
    scored = Count("Scores with a value at the leaf that is not null.", required=True)
    nulls = Count(
        "Scores with null at the leaf, or at a part of the value that contains it.", required=True
    )
    missing = Count(
        "Scores whose value does not have the leaf, and failed predictions without a score.",
        required=True,
    )


class GroupSummary(LeafCounts):
    """One group: the fields in `group_by`, and its figures."""

    scorer = Text("The scorer.")
    scorer_name = Text("The name of the scorer.")
    evaluation_run_id = Text("The evaluation run.", allow_none=True)
    day = Text("The day of creation, UTC.")
    hour = Text("The hour of creation, UTC.")
    leaf = Text("The path of the leaf in the value; empty for a bare scalar.")
    coverage = Float("`scored / attempted`.", required=True)
    superseded = Count("Superseded scores of the run, which are left out; by run only.")
    number = fields.Nested(
        NumberSummary, metadata={"description": "The numbers, if there are any."}
    )
    boolean = fields.Nested(
        BooleanSummary, metadata={"description": "The booleans, if there are any."}
    )
    text = fields.Nested(TextSummary, metadata={"description": "The texts, if there are any."})
    rate = rate()


class SummaryRes(Plain):
    """The figures of each group."""

    group_by = List("The fields that the scores are grouped by.", Text(), required=True)
    run = Text("The id of the run that `run` means, if it was given.")
    repeats = repeats_res()
    cluster = Text("Which values count as not independent of each other.", required=True)
    superseded = Count("Superseded scores that are left out, in all groups.", required=True)
    groups = List("Sorted by the fields of `group_by`.", fields.Nested(GroupSummary), required=True)
