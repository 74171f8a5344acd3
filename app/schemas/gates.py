"""Schemas of a gate: the limits in the query, and the result of each check."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app import jsontext
from app.schemas.comparisons import LeafSummary, superseded_res
from app.schemas.fields import Query, Shape, Text
from app.schemas.query_fields import Number
from app.schemas.scores import repeats, repeats_res
from app.schemas.summaries import number


class GateQuery(Query):
    """One leaf of a run, and at least one limit to check it against."""

    run = Text(required=True, metadata={"description": "The evaluation run to check."})
    scorer = Text(
        required=True,
        metadata={"description": "The scorer, given by its name or by a reference to any version."},
    )
    repeats = repeats()
    leaf = Text(
        load_default="",
        metadata={"description": "The path of the leaf in the value; empty for a scalar."},
    )
    baseline = Text(
        load_default=None,
        metadata={"description": "The run that `max_drop` and `max_rise` compare with."},
    )
    min = Number(
        load_default=None, metadata={"description": "The least allowed mean, or rate of true."}
    )
    max = Number(
        load_default=None, metadata={"description": "The greatest allowed mean, or rate of true."}
    )
    max_drop = Number(
        least=0,
        load_default=None,
        metadata={"description": "The greatest allowed drop below the baseline."},
    )
    max_rise = Number(
        least=0,
        load_default=None,
        metadata={"description": "The greatest allowed rise above the baseline."},
    )
    min_coverage = Number(
        least=0,
        most=1,
        load_default=None,
        metadata={"description": "The least allowed part of the attempts with a value."},
    )


class GateCheck(Shape):
    """The result of one check."""

    name = Text(required=True, metadata={"description": "The name of the limit."})
    wanted = number("The limit.", required=True)
    found = number(
        "The figure that was checked; null without data.", required=True, allow_none=True
    )
    passed = fields.Boolean(
        required=True,
        metadata={"description": "Whether the figure is within the limit; false without data."},
    )
    why = Text(
        required=True,
        allow_none=True,
        metadata={"description": "Why there is no data, if there is none."},
    )


class GateSummaries(Shape):
    """The figures of the leaf in both runs."""

    run = fields.Nested(LeafSummary, required=True)
    baseline = fields.Nested(LeafSummary, required=True, allow_none=True)


class GateRes(Shape):
    """Whether a run is within all limits, and the result of each check."""

    passed = fields.Boolean(required=True, metadata={"description": "Whether every check passed."})
    run = Text(required=True, metadata={"description": "The run that was checked."})
    baseline = Text(required=True, allow_none=True, metadata={"description": "The baseline run."})
    scorer = Text(required=True, metadata={"description": "The name of the scorer."})
    repeats = repeats_res()
    superseded = superseded_res()
    leaf = Text(required=True, metadata={"description": "The path of the leaf in the value."})
    checks = fields.List(
        fields.Nested(GateCheck),
        required=True,
        metadata={"description": "One result for each limit."},
    )
    summaries = fields.Nested(GateSummaries, required=True)

    def dumps(self, obj: Any, *_: Any, **__: Any) -> str:
        """Return `obj`, which is made of plain values, as JSON."""
        return jsontext.write(obj)
