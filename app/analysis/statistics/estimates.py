"""Estimates: the mean and deviation of a sample, and confidence intervals of means and rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

LEVEL = 0.95
"""The confidence level of every interval."""

SMALL = 30
"""Below this many values, the interval of a mean assumes that they are about normal."""

Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""The normal quantile of a two-sided interval at LEVEL."""


@dataclass(frozen=True)
class Moments:
    """The size, mean, spread and range of a sample."""

    n: int = 0
    mean: float = 0.0
    spread: float = 0.0
    """The square root of the sum of squared distances from the mean."""
    low: float = math.inf
    high: float = -math.inf

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation (by n - 1); None for one number, or on overflow."""
        if self.n < 2 or not math.isfinite(self.spread):
            return None
        return self.spread / math.sqrt(self.n - 1)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both samples together.

        Source: Chan, Golub and LeVeque (1979), equation 2.1.
        """
        if not self.n or not other.n:
            return self if self.n else other
        n, distance = self.n + other.n, other.mean - self.mean
        return Moments(
            n,
            self.mean + distance * (other.n / n),
            math.hypot(self.spread, other.spread, distance * math.sqrt(self.n * other.n / n)),
            min(self.low, other.low),
            max(self.high, other.high),
        )


def moments_of(values: NDArray[np.float64]) -> Moments:
    """Return the moments of an array, computed in two passes and without overflow on the way."""
    if not len(values):
        return Moments()
    low, high = float(values.min()), float(values.max())
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean())
        if not math.isfinite(mean):
            mean = float((values / len(values)).sum())
        # Rounding must not move the mean out of the range: equal values have no deviation.
        mean = min(max(mean, low), high)
        distances = np.abs(values - mean)
        largest = float(distances.max())
        norm = float(np.linalg.norm(distances / largest)) if largest else 0.0
    return Moments(len(values), mean, largest * norm, low, high)


def mean_interval(n: int, mean: float | None, deviation: float | None) -> dict[str, Any] | None:
    """Return Student's t interval of a mean; None for one value, or on overflow.

    Source: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.2.
    """
    if n < 2 or mean is None or deviation is None:
        return None
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * deviation / math.sqrt(n)
    return finite_interval("student_t", mean - half, mean + half)


def rate_interval(successes: int, n: int) -> dict[str, Any]:
    """Return Wilson's score interval of a rate, without continuity correction.

    Source: E. B. Wilson (1927), J. Am. Stat. Assoc. 22, 209-212.
    """
    rate, square = successes / n, Z * Z / n
    centre = (rate + square / 2) / (1 + square)
    half = Z * math.sqrt(rate * (1 - rate) / n + square / (4 * n)) / (1 + square)
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return interval("wilson", low, high)


def interval(method: str, low: float, high: float) -> dict[str, Any]:
    """Return an interval in the shape of an Interval schema."""
    return {"method": method, "level": LEVEL, "low": low, "high": high}


def finite_interval(method: str, low: float, high: float) -> dict[str, Any] | None:
    """Return an interval; None when one of its ends overflows."""
    return interval(method, low, high) if math.isfinite(low) and math.isfinite(high) else None


def note_on_mean(n: int, deviation: float | None) -> str | None:
    """Return a warning about the interval of a mean, if one is due."""
    if n < 2:
        return "one value: it has no interval and no deviation"
    if deviation == 0:
        return "all values are equal: an interval of zero width does not mean certainty"
    if n < SMALL:
        return f"fewer than {SMALL} values: the interval assumes that they are about normal"
    return None
