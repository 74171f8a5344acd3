"""Schemas of a summary: the query, and the figures of each group."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app import jsontext
from app.schemas.fields import Shape, Text
from app.schemas.query_fields import ChoiceList
from app.schemas.scores import ScoreFilters, repeats, repeats_res

GROUP_BY = ("scorer", "scorer_name", "evaluation_run_id", "leaf", "day", "hour")


def number(description: str, **options: Any) -> fields.Float:
    """Return the field of a number in a response."""
    return fields.Float(metadata={"description": description}, **options)


def count(description: str, **options: Any) -> fields.Integer:
    """Return the field of a count in a response."""
    return fields.Integer(metadata={"description": description, "minimum": 0}, **options)


class SummaryQuery(ScoreFilters):
    """The scores to summarise, and how to group them."""

    group_by = ChoiceList(
        GROUP_BY,
        load_default=["scorer", "leaf"],
        metadata={"description": "What to group by: repeated, or separated by commas."},
    )
    repeats = repeats()


class Interval(Shape):
    """A confidence interval of a mean, a rate or a difference."""

    method = Text(required=True, metadata={"description": "The method that computed it."})
    level = number("The confidence level.", required=True)
    low = number("The lower end.", required=True)
    high = number("The upper end.", required=True)


class Quantiles(Shape):
    """How the quantiles were computed, and how exact they are."""

    method = Text(required=True, metadata={"description": "`linear`: type 7 of Hyndman and Fan."})
    rank_error = number(
        "The greatest possible error of a rank, as a part of `n`; 0 is exact.", required=True
    )


class Histogram(Shape):
    """Counts by bin; a bin includes its lower edge, the last bin both."""

    edges = fields.List(
        fields.Float(), required=True, metadata={"description": "The edges of the bins, ascending."}
    )
    counts = fields.List(
        fields.Integer(), required=True, metadata={"description": "The numbers in each bin."}
    )


class NumberSummary(Shape):
    """The numbers of a group; only `n` and `beyond_double` when none of them fits a double."""

    n = count("How many numbers there are.", required=True)
    beyond_double = count(
        "Integers too large for a double; they are counted in `n`, but in no other figure.",
        required=True,
    )
    mean = number("The mean.")
    interval = fields.Nested(Interval, allow_none=True)
    standard_deviation = number("The sample standard deviation (by n - 1).", allow_none=True)
    note = Text(
        allow_none=True, metadata={"description": "A warning about the interval, if one is due."}
    )
    min = number("The minimum.")
    p5 = number("The 5th percentile.")
    p25 = number("The 25th percentile.")
    p50 = number("The median.")
    p75 = number("The 75th percentile.")
    p95 = number("The 95th percentile.")
    max = number("The maximum.")
    quantiles = fields.Nested(Quantiles)
    histogram = fields.Nested(Histogram)


class BooleanSummary(Shape):
    """The booleans of a group."""

    n = count("How many booleans there are.", required=True)
    true = count("How many are true.", required=True)
    false = count("How many are false.", required=True)
    rate = number("The part that is true: `true / n`.", required=True)
    interval = fields.Nested(Interval, required=True)


class TextShare(Shape):
    """One text and its frequency."""

    text = Text(required=True, metadata={"description": "Its first 256 characters."})
    count = count("How often the text occurs.", required=True)
    share = number("The part of all texts of the group: `count / n`.", required=True)


class TextSummary(Shape):
    """The texts of a group, counted as categories."""

    n = count("How many texts there are.", required=True)
    distinct = count("How many distinct texts there are.", required=True)
    distinct_error = number("The relative standard error of `distinct`; 0 is exact.", required=True)
    most_frequent = fields.List(
        fields.Nested(TextShare),
        required=True,
        metadata={"description": "The most frequent texts, in order."},
    )
    count_error = count("How much too low a count may be; 0 is exact.", required=True)


class GroupSummary(Shape):
    """One group: the fields in `group_by`, and its figures."""

    scorer = Text(metadata={"description": "The scorer."})
    scorer_name = Text(metadata={"description": "The name of the scorer."})
    evaluation_run_id = Text(allow_none=True, metadata={"description": "The evaluation run."})
    day = Text(metadata={"description": "The day of creation, UTC."})
    hour = Text(metadata={"description": "The hour of creation, UTC."})
    leaf = Text(
        metadata={"description": "The path of the leaf in the value; empty for a bare scalar."}
    )
    attempted = count("Scores in the group, and failed predictions without one.", required=True)
    scored = count("Scores with a value at the leaf that is not null.", required=True)
    nulls = count(
        "Scores with null at the leaf, or at a part of the value that contains it.", required=True
    )
    missing = count(
        "Scores whose value does not have the leaf, and failed predictions without a score.",
        required=True,
    )
    coverage = number("`scored / attempted`.", required=True)
    superseded = count("Superseded scores of the run, which are left out; by run only.")
    number = fields.Nested(
        NumberSummary, metadata={"description": "The numbers, if there are any."}
    )
    boolean = fields.Nested(
        BooleanSummary, metadata={"description": "The booleans, if there are any."}
    )
    text = fields.Nested(TextSummary, metadata={"description": "The texts, if there are any."})


class SummaryRes(Shape):
    """The figures of each group."""

    group_by = fields.List(
        Text(),
        required=True,
        metadata={"description": "The fields that the scores are grouped by."},
    )
    repeats = repeats_res()
    superseded = count("Superseded scores that are left out, in all groups.", required=True)
    groups = fields.List(
        fields.Nested(GroupSummary),
        required=True,
        metadata={"description": "Sorted by the fields of `group_by`."},
    )

    def dumps(self, obj: Any, *_: Any, **__: Any) -> str:
        """Return `obj`, which is made of plain values, as JSON."""
        return jsontext.write(obj)
