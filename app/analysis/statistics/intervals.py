"""Intervals of a mean and of a rate, each named by its method, at one level."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

from scipy.special import stdtrit

LEVEL = 0.95
SMALL = 30
"""With fewer values, a mean's interval leans on their own distribution being about normal."""

Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


def of_mean(n: int, mean: float | None, deviation: float | None) -> dict[str, Any] | None:
    """Student's t interval of a mean, by the sample's standard deviation; None for one value.

    Source: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.2.
    """
    if n < 2 or mean is None or deviation is None:
        return None
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * deviation / math.sqrt(n)
    return finite("student_t", mean - half, mean + half)


def of_rate(successes: int, n: int) -> dict[str, Any]:
    """Wilson's score interval of a rate, without continuity correction.

    Source: E. B. Wilson (1927), J. Am. Stat. Assoc. 22, 209-212.
    """
    rate, square = successes / n, Z * Z / n
    centre = (rate + square / 2) / (1 + square)
    half = Z * math.sqrt(rate * (1 - rate) / n + square / (4 * n)) / (1 + square)
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return between("wilson", low, high)


def between(method: str, low: float, high: float) -> dict[str, Any]:
    """An interval as it is answered."""
    return {"method": method, "level": LEVEL, "low": low, "high": high}


def finite(method: str, low: float, high: float) -> dict[str, Any] | None:
    """An interval, or None where one of its ends is beyond a double."""
    return between(method, low, high) if math.isfinite(low) and math.isfinite(high) else None


def note_on_mean(n: int, deviation: float | None) -> str | None:
    """What a reader should know of a mean's interval, if anything."""
    if n < 2:
        return "one value: it has no interval and no deviation"
    if deviation == 0:
        return "all values are equal: the interval has no width, which is no certainty"
    if n < SMALL:
        return f"fewer than {SMALL} values: the interval holds if they are about normal"
    return None
