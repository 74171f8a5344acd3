"""The shapes of a gate: which bounds a run is held to, and how it does."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app import jsontext
from app.schemas.comparisons import LeafSummary
from app.schemas.fields import Query, Shape, Text
from app.schemas.query_fields import Number
from app.schemas.summaries import number


class GateQuery(Query):
    """One leaf of a run, and the bounds that it is held to: at least one."""

    run = Text(required=True, metadata={"description": "The evaluation run to judge."})
    scorer = Text(required=True, metadata={"description": "What judged."})
    leaf = Text(
        load_default="", metadata={"description": "The path inside the value; empty for a scalar."}
    )
    baseline = Text(load_default=None, metadata={"description": "The run to compare with."})
    min = Number(
        load_default=None, metadata={"description": "The mean, or rate of true, is at least this."}
    )
    max = Number(load_default=None, metadata={"description": "It is at most this."})
    max_drop = Number(
        least=0, load_default=None, metadata={"description": "At most so far below the baseline."}
    )
    max_rise = Number(
        least=0, load_default=None, metadata={"description": "At most so far above the baseline."}
    )
    min_coverage = Number(
        least=0,
        most=1,
        load_default=None,
        metadata={"description": "At least this part of the scores has a value."},
    )


class GateCheck(Shape):
    """One bound, and whether it is kept."""

    name = Text(required=True, metadata={"description": "Which bound."})
    wanted = number("The bound.", required=True)
    found = number("What there is; null without data.", required=True, allow_none=True)
    passed = fields.Boolean(
        required=True, metadata={"description": "Whether it is kept; never without data."}
    )
    why = Text(
        required=True, allow_none=True, metadata={"description": "Why there is nothing to hold."}
    )


class GateSummaries(Shape):
    """The leaf in both runs."""

    run = fields.Nested(LeafSummary, required=True)
    baseline = fields.Nested(LeafSummary, required=True, allow_none=True)


class GateRes(Shape):
    """Whether a run keeps all of its bounds."""

    passed = fields.Boolean(required=True, metadata={"description": "Whether every check passed."})
    run = Text(required=True, metadata={"description": "The run."})
    baseline = Text(required=True, allow_none=True, metadata={"description": "The baseline."})
    scorer = Text(required=True, metadata={"description": "What judged."})
    leaf = Text(required=True, metadata={"description": "The path inside the value."})
    checks = fields.List(
        fields.Nested(GateCheck), required=True, metadata={"description": "One a bound."}
    )
    summaries = fields.Nested(GateSummaries, required=True)

    def dumps(self, obj: Any, *_: Any, **__: Any) -> str:
        """JSON text of what is made of plain values already."""
        return jsontext.write(obj)
