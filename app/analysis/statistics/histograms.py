"""Histograms: quantiles and bins of sorted numbers, each with a weight."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Counts = NDArray[np.int64]

QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
MAX_BINS = 20

_STEPS = (1, 2, 5, 10, 20)
_NARROW = 64
"""The least width of a bin with round edges, in units of the last digit of the values."""
_SLACK = Fraction(1, 10**6)
"""The part of a bin by which a value may miss a round edge, such as 0.31, and count as on it."""
_ROUNDED = 1 - 1e-9
"""A factor for bin widths: one that exceeds a step by a rounding error counts as that step."""


def quantiles(values: Values, cumulative: Counts) -> dict[str, float]:
    """Return QUANTILES, interpolated linearly (type 7 of Hyndman and Fan 1996).

    `values` are sorted; `cumulative` has the weight of each together with all before it.
    """
    ranks = (int(cumulative[-1]) - 1) * np.array(list(QUANTILES.values()))
    whole = np.floor(ranks)
    lower = values[np.searchsorted(cumulative, whole, side="right")]
    upper = values[
        np.minimum(np.searchsorted(cumulative, whole + 1, side="right"), len(values) - 1)
    ]
    fraction = ranks - whole
    # Weight each end separately, because their difference may overflow; rounding must neither leave
    # the two ends nor change the order.
    between = np.clip(lower * (1 - fraction) + upper * fraction, lower, upper)
    return dict(zip(QUANTILES, np.maximum.accumulate(between).tolist(), strict=True))


def histogram(values: Values, cumulative: Counts, low: float, high: float) -> dict[str, Any]:
    """Count the values between round edges; a bin includes its lower edge, the last bin both."""
    bounds = edges(low, high, whole=bool((values == np.floor(values)).all()))
    positions = np.searchsorted(values, bounds)
    positions[-1] = len(values)
    below = np.concatenate(([0], cumulative))[positions]
    return {"edges": bounds, "counts": np.diff(below).tolist()}


def edges(low: float, high: float, *, whole: bool) -> list[float]:
    """Return round edges of about MAX_BINS bins around `low` and `high`, MAX_BINS + 2 at most.

    When all values are `whole` and their range is small, each has a bin of its own.
    """
    if low == high:
        half = max(0.5, math.ulp(low))
        around = [low - half, high + half]
        return around if math.isfinite(sum(around)) else sorted([low / 2, high])
    width = max((high - low) / MAX_BINS, math.ulp(0.0))
    if not math.isfinite(width):
        return [low, 0.0, high]
    if whole and width <= 1:
        return sorted({float(number) for number in range(int(low), int(high) + 2)})
    if width < _NARROW * math.ulp(max(abs(low), abs(high))):
        # Round numbers are no longer apart here: take doubles between the two.
        return sorted({low, *np.clip(np.linspace(low, high, MAX_BINS + 1), low, high), high})
    power = math.floor(math.log10(width))
    step = next(step for step in _STEPS if width * _ROUNDED <= float(f"{step}e{power}"))

    def edge(number: int) -> float:
        # Parsing decimal text gives the nearest double: 0.15, not 0.15000000000000002.
        nearest = float(f"{number * step}e{power}")
        return min(max(nearest, -sys.float_info.max), sys.float_info.max)

    # In fractions, because the width may be a subnormal number.
    unit = step * Fraction(10) ** power
    first = math.floor(Fraction(low) / unit + _SLACK)
    last = math.ceil(Fraction(high) / unit - _SLACK)
    # Add the bin that the slack took away from a value beyond its edge.
    first, last = first - (edge(first) > low), last + (edge(last) < high)
    return sorted({edge(number) for number in range(first, last + 1)})
