"""Schemas of a gate: the limits in the query, and the result of each check."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.comparisons import LeafSummary, superseded_res
from app.schemas.fields import Boolean, Float, List, Plain, Query, Shape, Text
from app.schemas.query_fields import Number
from app.schemas.scores import repeats, repeats_res


class GateQuery(Query):
    """One leaf of a run, and at least one limit to check it against."""

    run = Text("The evaluation run to check.", required=True)
    scorer = Text("The scorer, given by its name or by a reference to any version.", required=True)
    repeats = repeats()
    leaf = Text("The path of the leaf in the value; empty for a scalar.", load_default="")
    baseline = Text("The run that `max_drop` and `max_rise` compare with.", load_default=None)
    min = Number("The least allowed mean, or rate of true.", load_default=None)
    max = Number("The greatest allowed mean, or rate of true.", load_default=None)
    max_drop = Number("The greatest allowed drop below the baseline.", least=0, load_default=None)
    max_rise = Number("The greatest allowed rise above the baseline.", least=0, load_default=None)
    min_coverage = Number(
        "The least allowed part of the attempts with a value.", least=0, most=1, load_default=None
    )


class GateCheck(Shape):
    """The result of one check."""

    name = Text("The name of the limit.", required=True)
    wanted = Float("The limit.", required=True)
    found = Float("The figure that was checked; null without data.", required=True, allow_none=True)
    passed = Boolean("Whether the figure is within the limit; false without data.", required=True)
    why = Text("Why there is no data, if there is none.", required=True, allow_none=True)


class GateSummaries(Shape):
    """The figures of the leaf in both runs."""

    run = fields.Nested(LeafSummary, required=True)
    baseline = fields.Nested(LeafSummary, required=True, allow_none=True)


class GateRes(Plain):
    """Whether a run is within all limits, and the result of each check."""

    passed = Boolean("Whether every check passed.", required=True)
    run = Text("The run that was checked.", required=True)
    baseline = Text("The baseline run.", required=True, allow_none=True)
    scorer = Text("The name of the scorer.", required=True)
    repeats = repeats_res()
    superseded = superseded_res()
    leaf = Text("The path of the leaf in the value.", required=True)
    checks = List("One result for each limit.", fields.Nested(GateCheck), required=True)
    summaries = fields.Nested(GateSummaries, required=True)
