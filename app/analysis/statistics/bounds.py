"""Bounds: what a mean could be at worst and at best, whatever failures hid."""

from __future__ import annotations


def mean_bounds(mean: float, n: int, failed: int, low: float, high: float) -> tuple[float, float]:
    """Return the least and the greatest mean, if each failure had a value from `low` to `high`.

    Source: Horowitz and Manski (2000), J. Am. Stat. Assoc. 95, 77-84.
    """
    known, hidden = (n / (n + failed), failed / (n + failed)) if n + failed else (0.0, 1.0)
    part = mean * known if n else 0.0
    return part + hidden * low, part + hidden * high
