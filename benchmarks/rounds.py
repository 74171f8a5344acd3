"""Define the size of a benchmark, and measure all sides in turn, round after round."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Measure = Callable[[], float]
Measured = dict[str, list[float]]

_BEGAN = time.monotonic()


@dataclass(frozen=True)
class Plan:
    """The size of a benchmark: rounds, seconds per measurement, and numbers of scores."""

    rounds: int
    seconds: int
    mongodb_seconds: int
    batch_scores: int
    small: int
    large: int


FULL = Plan(5, 4, 3, batch_scores=20_000, small=10_000, large=1_000_000)
QUICK = Plan(3, 2, 2, batch_scores=10_000, small=10_000, large=100_000)


def progress(text: str) -> None:
    """Print progress to stderr, with the time since the start."""
    minutes, seconds = divmod(round(time.monotonic() - _BEGAN), 60)
    print(f"[{minutes:02d}:{seconds:02d}] {text}", file=sys.stderr, flush=True)


def alternate(what: str, sides: Mapping[str, Measure], rounds: int) -> Measured:
    """Measure each side once per round, and reverse the order in every second round.

    The values of a round are measured right after each other, so their ratio can be compared.
    """
    measured: Measured = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in names:
            measured[name].append(sides[name]())
        values = ", ".join(f"{name} {measured[name][-1]:,.4g}" for name in sides)
        progress(f"{what}, round {number + 1} of {rounds}: {values}")
    return measured
