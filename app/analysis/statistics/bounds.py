"""Bounds: what a mean or a difference could be at worst and at best, whatever failures hid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def mean_bounds(mean: float, n: int, failed: int, low: float, high: float) -> tuple[float, float]:
    """Return the least and the greatest mean, if each failure had a value from `low` to `high`.

    Source: Horowitz and Manski (2000), J. Am. Stat. Assoc. 95, 77-84.
    """
    known, hidden = (n / (n + failed), failed / (n + failed)) if n + failed else (0.0, 1.0)
    part = mean * known if n else 0.0
    return part + hidden * low, part + hidden * high


def difference_bounds(
    baseline: Values, candidate: Values, low: float, high: float
) -> tuple[Values, Values]:
    """Return the pairs' differences at the candidate's worst and best, for a test of each.

    NaN stands for a failure, which could have had any value from `low` to `high`: at the worst, the
    candidate's failures are `low` and the baseline's `high`.
    Source: Horowitz and Manski (2000), J. Am. Stat. Assoc. 95, 77-84.
    """
    worst = _filled(candidate, low) - _filled(baseline, high)
    return worst, _filled(candidate, high) - _filled(baseline, low)


def _filled(values: Values, value: float) -> Values:
    return np.where(np.isnan(values), value, values)
