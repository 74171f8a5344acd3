"""The rows of evaluation results: the trials of an example, by run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Trial:
    """One prediction of an example in a run; without a stored prediction only its scores."""

    prediction_id: str
    example_id: str
    number: int | None = None
    started_at: str = "9999"
    """UTC in ISO 8601, in which the order of texts is that of time."""
    is_stored: bool = True
    tokens: int | None = None
    scores: dict[str, str] = field(default_factory=dict)
    """The id of the newest score by each scorer, whoever the annotator was."""
    passed: Sequence[bool] = ()
    """Which filters it passes."""
    sorted_by: Sequence[Any] = ()
    """Its value for each sort order."""


@dataclass(slots=True)
class Row:
    """The trials of one example, by run."""

    example_id: str
    shown_by: str | None = None
    """The id of the prediction whose inputs are shown."""
    trials: dict[str, list[Trial]] = field(default_factory=dict)


def in_order(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials of an example by number, which without a given one is the rank in time."""
    ranked = sorted(trials, key=lambda trial: (trial.started_at, trial.prediction_id))
    numbers = [rank if each.number is None else each.number for rank, each in enumerate(ranked)]
    return [ranked[place] for place in sorted(range(len(ranked)), key=numbers.__getitem__)]
