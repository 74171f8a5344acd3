"""The shapes of a summary: how it is asked for, and what it says of each group."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app import jsontext
from app.schemas.fields import Shape, Text
from app.schemas.query_fields import WordList
from app.schemas.scores import ScoreFilters

GROUP_BY = ("scorer", "evaluation_run_id", "leaf", "day", "hour")


def number(description: str, **options: Any) -> fields.Float:
    """A number that is answered."""
    return fields.Float(metadata={"description": description}, **options)


def count(description: str, **options: Any) -> fields.Integer:
    """A count that is answered."""
    return fields.Integer(metadata={"description": description, "minimum": 0}, **options)


class SummaryQuery(ScoreFilters):
    """Which scores are summarised, and by what."""

    group_by = WordList(
        GROUP_BY,
        load_default=["scorer", "leaf"],
        metadata={"description": "Repeated, or separated by commas; scorer and leaf by default."},
    )


class Interval(Shape):
    """Where the true mean or rate is, at a level, by a method."""

    method = Text(required=True, metadata={"description": "How it was computed."})
    level = number("How often such an interval holds the true value.", required=True)
    low = number("Its lower end.", required=True)
    high = number("Its upper end.", required=True)


class Quantiles(Shape):
    """How the quantiles were computed."""

    method = Text(required=True, metadata={"description": "linear: type 7 of Hyndman and Fan."})
    rank_error = number(
        "By what part of all numbers their ranks may be off at most; 0 is exact.", required=True
    )


class Histogram(Shape):
    """How many numbers are in each bin; it holds its lower edge, the last one both."""

    edges = fields.List(fields.Float(), required=True, metadata={"description": "Ascending."})
    counts = fields.List(
        fields.Integer(), required=True, metadata={"description": "One less than edges."}
    )


class NumberSummary(Shape):
    """The numbers of a group; only `n` and `beyond_double` where no number fits a double."""

    n = count("How many numbers.", required=True)
    beyond_double = count(
        "How many of them no double can hold; they are in no figure.", required=True
    )
    mean = number("Their mean.")
    interval = fields.Nested(Interval, allow_none=True)
    standard_deviation = number("The sample's, by n - 1.", allow_none=True)
    note = Text(allow_none=True, metadata={"description": "What the interval leans on, if told."})
    min = number("The least.")
    p5 = number("5 % are not above it.")
    p25 = number("25 % are not above it.")
    p50 = number("The median.")
    p75 = number("75 % are not above it.")
    p95 = number("95 % are not above it.")
    max = number("The greatest.")
    quantiles = fields.Nested(Quantiles)
    histogram = fields.Nested(Histogram)


class BooleanSummary(Shape):
    """The booleans of a group."""

    n = count("How many booleans.", required=True)
    true = count("How many are true.", required=True)
    false = count("How many are false.", required=True)
    rate = number("The part that is true.", required=True)
    interval = fields.Nested(Interval, required=True)


class TextShare(Shape):
    """One text and how often it came."""

    text = Text(required=True, metadata={"description": "Its first 256 characters."})
    count = count("How often.", required=True)
    share = number("Its part of all texts of the group.", required=True)


class TextSummary(Shape):
    """The texts of a group: categories."""

    n = count("How many texts.", required=True)
    distinct = count("How many different ones.", required=True)
    distinct_error = number(
        "The standard error of `distinct`, as a part of it; 0 is exact.", required=True
    )
    most_frequent = fields.List(
        fields.Nested(TextShare), required=True, metadata={"description": "Most frequent first."}
    )
    count_error = count("By how much a count may be too low at most; 0 is exact.", required=True)


class GroupSummary(Shape):
    """One group; of the names it has those that `group_by` asks for."""

    scorer = Text(metadata={"description": "What judged."})
    evaluation_run_id = Text(allow_none=True, metadata={"description": "The evaluation run."})
    day = Text(metadata={"description": "The day that the scores were created, UTC."})
    hour = Text(metadata={"description": "The hour that they were created, UTC."})
    leaf = Text(metadata={"description": "The path inside the value; empty for a bare scalar."})
    attempted = count("How many scores.", required=True)
    scored = count("How many have a value here that is not null.", required=True)
    nulls = count("How many are null here, or in what this stands in.", required=True)
    missing = count("How many have nothing here: another shape, an error.", required=True)
    coverage = number("scored / attempted.", required=True)
    number = fields.Nested(NumberSummary, metadata={"description": "Where there are numbers."})
    boolean = fields.Nested(BooleanSummary, metadata={"description": "Where there are booleans."})
    text = fields.Nested(TextSummary, metadata={"description": "Where there are texts."})


class SummaryRes(Shape):
    """What the scores say, group by group."""

    group_by = fields.List(Text(), required=True, metadata={"description": "As it was asked."})
    groups = fields.List(
        fields.Nested(GroupSummary), required=True, metadata={"description": "In their order."}
    )

    def dumps(self, obj: Any, *_: Any, **__: Any) -> str:
        """JSON text of what is made of plain values already."""
        return jsontext.write(obj)
