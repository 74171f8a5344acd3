"""Schemas of a gate: the limits of metrics, and the outcome of each check."""

from __future__ import annotations

from marshmallow import ValidationError, fields

from app.schemas.comparisons import (
    MAX_REGRESSIONS,
    MAX_TRIALS,
    PAIR_BY,
    SLICE_BY,
    LeafSummary,
    superseded_res,
)
from app.schemas.differences import Change
from app.schemas.fields import (
    Boolean,
    Choice,
    Float,
    List,
    Nested,
    Pattern,
    Plain,
    Query,
    Reason,
    Shape,
    Text,
)
from app.schemas.query_fields import Flag, MaxLength, Number, TextList, WholeNumber
from app.schemas.scores import repeats, repeats_res
from app.schemas.summaries import Interval

MAX_GATES = 100
"""How many metrics one call checks."""

MAX_PROTECTED = 1_000
"""How many tags and ids a gate names."""

TOO_FEW = Reason(
    "too_short",
    "List should have at least 1 item after validation, not 0",
    {"field_type": "List", "min_length": 1, "actual_length": 0},
)

OUTCOMES = ("failed", "inconclusive", "passed")
"""The outcomes of checks; that of several is the first one that occurs."""


def _worst() -> WholeNumber:
    """Return the parameter with the number of regressions."""
    return WholeNumber(
        "How many regressions of each metric to list, the worst first.",
        least=0,
        most=MAX_REGRESSIONS,
        load_default=0,
    )


class Limits(Query):
    """One leaf of a scorer, and what it is checked against."""

    scorer = Text("The scorer, given by its name or by a reference to any version.", required=True)
    leaf = Text("The path of the leaf in the value; empty for a scalar.", load_default="")
    baseline = Text("The run to compare with.", load_default=None)
    direction = Choice(
        "Which values are better. Default: what the project declares.",
        ("higher", "lower"),
        load_default=None,
    )
    min = Number("The least allowed mean, or rate of true.", load_default=None)
    max = Number("The greatest allowed mean, or rate of true.", load_default=None)
    k = WholeNumber(
        "How many trials of an example `min_pass_at_k` and `min_pass_hat_k` are about.",
        least=1,
        most=MAX_TRIALS,
        load_default=None,
    )
    min_pass_at_k = Number(
        "The least allowed probability that at least one of k trials of an example is true.",
        least=0,
        most=1,
        load_default=None,
    )
    min_pass_hat_k = Number(
        "The least allowed probability that all of k trials of an example are true.",
        least=0,
        most=1,
        load_default=None,
    )
    confidence = Flag(
        "Whether `min`, `max`, `min_pass_at_k` and `min_pass_hat_k` hold for all of the figure's "
        "95 % interval.",
        load_default=False,
    )
    max_drop = Number("The greatest allowed drop below the baseline.", least=0, load_default=None)
    max_rise = Number("The greatest allowed rise above the baseline.", least=0, load_default=None)
    not_worse_by = Number(
        "By how much the run must be shown not to be worse than the baseline, with a confidence of "
        "95 %. It needs a direction.",
        least=0,
        load_default=None,
    )
    min_coverage = Number(
        "The least allowed part of the attempts with a value.", least=0, most=1, load_default=None
    )
    max_failed = Number(
        "The greatest part of the attempts that the scorer may have failed on; beyond it, the gate "
        "is inconclusive.",
        least=0,
        most=1,
        load_default=None,
    )
    slice = Pattern(
        "An attribute of the examples, as `slice_by` in a comparison: no slice may be shown to be "
        "worse than in the baseline. It needs a direction.",
        SLICE_BY,
        load_default=None,
    )
    protected = TextList(
        "Examples that may not fail at all, each given by `tag:NAME`, the id of the example or the "
        f"id of a prediction; at most {MAX_PROTECTED}.",
        most=MAX_PROTECTED,
        load_default=None,
    )
    min_compared = Number(
        "The least part of the baseline's examples that must be compared; below it, a check "
        "against the baseline is inconclusive. Default: 0.9.",
        least=0,
        most=1,
        load_default=None,
    )


class GateQuery(Limits):
    """One leaf of a run, and at least one limit to check it against."""

    run = Text("The evaluation run to check.", required=True)
    pair_by = Pattern(
        "What the predictions of a pair have in common, as in a comparison.",
        PAIR_BY,
        load_default=None,
    )
    repeats = repeats()
    worst = _worst()


def _check_not_empty(gates: list[object]) -> None:
    if not gates:
        raise ValidationError(TOO_FEW)


class GateBody(Query):
    """Several leaves of a run, each with its limits."""

    run = Text("The evaluation run to check.", required=True)
    baseline = Text("The run that gates without a baseline compare with.", load_default=None)
    pair_by = Pattern(
        "What the predictions of a pair have in common, as in a comparison.",
        PAIR_BY,
        load_default=None,
    )
    repeats = repeats()
    worst = _worst()
    gates = List(
        f"The metrics with their limits, at most {MAX_GATES}.",
        Nested(Limits),
        required=True,
        validate=[_check_not_empty, MaxLength(MAX_GATES)],
    )


class GateCheck(Shape):
    """The outcome of one check."""

    scorer = Text("The name of the scorer; null for a check of the run.", allow_none=True)
    leaf = Text("The leaf; null for a check of the run.", allow_none=True)
    baseline = Text("The run that was compared with, if there was one.", allow_none=True)
    name = Text("The name of the limit.", required=True)
    wanted = Float("The limit.", required=True, allow_none=True)
    found = Float(
        "The figure that was checked: the mean or rate, or the candidate's less the baseline's; of "
        "`max_drop` the drop. Null without data.",
        required=True,
        allow_none=True,
    )
    interval = fields.Nested(Interval, required=True, allow_none=True)
    outcome = Text(
        "Whether it is within the limit.", required=True, metadata={"enum": list(OUTCOMES)}
    )
    passed = Boolean("Whether the outcome is `passed`.", required=True)
    why = Text("Why it did not pass.", required=True, allow_none=True)


class GateSummaries(Shape):
    """The figures of the leaf in both runs."""

    run = fields.Nested(LeafSummary, required=True)
    baseline = fields.Nested(LeafSummary, required=True, allow_none=True)


class Gated(Shape):
    """One metric that was checked, and its figures."""

    scorer = Text("The name of the scorer.", required=True)
    leaf = Text("The path of the leaf in the value.", required=True)
    baseline = Text("The baseline run.", required=True, allow_none=True)
    summaries = fields.Nested(GateSummaries, required=True)
    regressions = List(
        "The pairs that got worse, the worst first, at most `worst` of them. Where no direction is "
        "known, a fall is worse if there is a `max_drop`, and a rise if there is a `max_rise`.",
        fields.Nested(Change),
        required=True,
    )


class Outcome(Plain):
    """Whether a run is within all limits, and the outcome of each check."""

    outcome = Text(
        "`failed` if a check failed, otherwise `inconclusive` if one is.",
        required=True,
        metadata={"enum": list(OUTCOMES)},
    )
    passed = Boolean("Whether every check passed.", required=True)
    reason = Text("The outcome in one sentence.", required=True)
    run = Text("The run that was checked.", required=True)
    pair_by = Text("What the predictions of a pair have in common.", required=True)
    repeats = repeats_res()
    superseded = superseded_res()
    checks = List("One outcome for each limit.", fields.Nested(GateCheck), required=True)


class GateRes(Gated, Outcome):
    """The outcome of a gate of one metric."""


class GatesRes(Outcome):
    """The outcome of a gate of several metrics."""

    gates = List("The metrics that were checked.", fields.Nested(Gated), required=True)
