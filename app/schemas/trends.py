"""Schemas of a trend: the query, and one metric over the newest runs."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.comparisons import MAX_CANDIDATES, VERDICTS, RankedPair
from app.schemas.fields import Boolean, Count, Float, List, Plain, Shape, Text
from app.schemas.query_fields import WholeNumber
from app.schemas.runs import RunFilters
from app.schemas.summaries import Interval

MAX_RUNS = 200


class TrendQuery(RunFilters):
    """The metric, and the runs to show it of; archived ones are left out."""

    scorer = Text("The scorer, given by its name or by a reference to any version.", required=True)
    leaf = Text("The path of the leaf in the value.", load_default="")
    limit = WholeNumber(
        "How many runs to show, the newest with scores by the scorer.",
        least=1,
        most=MAX_RUNS,
        load_default=MAX_CANDIDATES,
    )


class TrendRun(Shape):
    """One run of a trend."""

    run = Text("The run.", required=True)
    name = Text("Its name, if it has one.", required=True, allow_none=True)
    started_at = Text(
        "When it began, or was first named, in UTC.",
        required=True,
        metadata={"format": "date-time"},
    )
    attempted = Count("The scores, and failed predictions without one.", required=True)
    scored = Count("Scores with a value.", required=True)
    coverage = Float("`scored / attempted`.", required=True, allow_none=True)
    mean = Float("The mean, or rate of true.", required=True, allow_none=True)
    interval = fields.Nested(Interval, required=True, allow_none=True)


class TrendComparison(RankedPair):
    """The newest run, compared with an older one."""

    baseline = Text("The older run.", required=True)
    candidate = Text("The newest run.", required=True)
    verdict = Text(
        "What is shown of the newest run.",
        required=True,
        metadata={"enum": list(VERDICTS[:-1])},
    )
    reason = Text("The verdict in one sentence, with its figures.", required=True)


class TrendRes(Plain):
    """One metric over runs, and whether the newest run differs from the ones before."""

    scorer = Text("The name of the scorer.", required=True)
    leaf = Text("The path of the leaf in the value.", required=True)
    kind = Text(
        "The kind of the values; null without any.",
        required=True,
        allow_none=True,
        metadata={"enum": ["number", "boolean", "text", None]},
    )
    is_rate = Boolean("Whether the means are rates.", required=True)
    direction = Text(
        "Which values are better, if that is declared.",
        required=True,
        allow_none=True,
        metadata={"enum": ["higher", "lower", None]},
    )
    unit = Text("The unit, if one is declared.", required=True, allow_none=True)
    alpha = Float("A difference is shown when `p_adjusted` is below this.", required=True)
    correction = Text("The correction of p-values: `holm`.", required=True)
    reason = Text("In one sentence, what is shown of the newest run.", required=True)
    without_scores = Count(
        "How many runs that pass the filters were left out, because they have no scores by the "
        "scorer.",
        required=True,
    )
    runs = List("The runs, the oldest first.", fields.Nested(TrendRun), required=True)
    comparisons = List(
        "The newest run with the one before, and with the first one.",
        fields.Nested(TrendComparison),
        required=True,
    )
