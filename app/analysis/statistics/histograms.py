"""Quantiles and a histogram of ordered numbers of which some may stand for many."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Counts = NDArray[np.int64]

QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
MOST_BINS = 20

_STEPS = (1, 2, 5, 10, 20)
_ROUNDED = 1 - 1e-9
"""A width that is a step but for rounding is that step."""


def quantiles(values: Values, upto: Counts) -> dict[str, float]:
    """By linear interpolation between neighbours (type 7 of Hyndman and Fan 1996).

    `values` are in order, `upto` is for how many values each and those before it stand.
    """
    places = (int(upto[-1]) - 1) * np.array(list(QUANTILES.values()))
    whole = np.floor(places)
    lower = values[np.searchsorted(upto, whole, side="right")]
    upper = values[np.minimum(np.searchsorted(upto, whole + 1, side="right"), len(values) - 1)]
    part = places - whole
    # Each end for itself: their difference may be beyond a double.
    between = np.where(lower == upper, lower, lower * (1 - part) + upper * part)
    return dict(zip(QUANTILES, between.tolist(), strict=True))


def histogram(values: Values, upto: Counts, low: float, high: float) -> dict[str, Any]:
    """Counts between round edges: each bin holds its lower edge, the last one both."""
    bounds = edges(low, high, whole=bool((values == np.floor(values)).all()))
    places = np.searchsorted(values, bounds)
    places[-1] = len(values)
    below = np.concatenate(([0], upto))[places]
    return {"edges": bounds, "counts": np.diff(below).tolist()}


def edges(low: float, high: float, *, whole: bool) -> list[float]:
    """Round numbers around `low` and `high`, MOST_BINS + 2 of them at most.

    Whole numbers of a small range have a bin each.
    """
    if low == high:
        half = max(0.5, math.ulp(low))
        around = [low - half, high + half]
        return around if math.isfinite(sum(around)) else sorted([low / 2, high])
    width = max((high - low) / MOST_BINS, math.ulp(0.0))
    if not math.isfinite(width):
        return [low, 0.0, high]
    if whole and width <= 1:
        return sorted({float(number) for number in range(int(low), int(high) + 2)})
    power = math.floor(math.log10(width))
    step = next(step for step in _STEPS if width * _ROUNDED <= float(f"{step}e{power}"))

    def edge(number: int) -> float:
        # Read from decimal text it is the nearest double: 0.15, not 0.15000000000000002.
        nearest = float(f"{number * step}e{power}")
        return min(max(nearest, -sys.float_info.max), sys.float_info.max)

    first, last = math.floor(low / edge(1)), math.ceil(high / edge(1))
    # The division may have been rounded over an edge.
    first, last = first - (edge(first) > low), last + (edge(last) < high)
    return sorted({edge(number) for number in range(first, last + 1)})
