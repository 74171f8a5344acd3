"""Estimates: the mean and deviation of a sample, and confidence intervals of means and rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

LEVEL = 0.95
"""The confidence level of every interval, where no other is asked for."""

MAX_SKEW = 0.2
"""The skewness over sqrt(n) beyond which the interval of a mean is no longer one of 95 %.

Source: Cochran (1977), Sampling Techniques, section 2.15: n > 25 * skewness ** 2.
"""


@dataclass(frozen=True)
class Moments:
    """The size, mean, spread, skewness and range of a sample."""

    n: int = 0
    mean: float = 0.0
    spread: float = 0.0
    """The root mean square of the distances from the mean, which never overflows."""
    low: float = math.inf
    high: float = -math.inf
    rest: float = 0.0
    """What the exact mean exceeds `mean` by: a part of its last digit."""
    skewness: float = 0.0
    """The third central moment over the cube of `spread`."""

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation (by n - 1); None for one number, or on overflow."""
        if self.n < 2:
            return None
        deviation = self.spread * math.sqrt(self.n / (self.n - 1))
        return deviation if math.isfinite(deviation) else None

    @property
    def standard_error(self) -> float | None:
        """The standard error of the mean, None for one number."""
        # Values that differ have a spread, even if it is below the smallest double.
        return self.spread / math.sqrt(self.n - 1) or self.spread if self.n > 1 else None

    @property
    def sample_skewness(self) -> float | None:
        """The adjusted skewness of a sample (G1 of Joanes and Gill 1998); None below 3 numbers."""
        if self.n < 3:
            return None
        return self.skewness * math.sqrt(self.n * (self.n - 1)) / (self.n - 2)

    def distance(self, other: Moments) -> float:
        """Return the other mean less this one, right also where both differ in the last digit."""
        return (other.mean - self.mean) + (other.rest - self.rest)

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both samples together.

        Source: Chan, Golub and LeVeque (1979), equation 2.1, and Pébay (2008) for the skewness.
        """
        if not self.n or not other.n:
            return self if self.n else other
        n = self.n + other.n
        part, other_part = self.n / n, other.n / n
        # Halves and quarters, because the distance itself may overflow.
        half = (other.mean / 2 - self.mean / 2) + (other.rest / 2 - self.rest / 2)
        between = math.sqrt(part * other_part)
        low, high = min(self.low, other.low), max(self.high, other.high)
        mean = min(max(self.mean + 2 * (half * other_part), low), high)
        rest = 2 * ((self.mean / 2 - mean / 2) + half * other_part) + self.rest
        spread = 2 * math.hypot(
            math.sqrt(part) * (self.spread / 2),
            math.sqrt(other_part) * (other.spread / 2),
            between * half,
        )
        if not spread:
            return Moments(n, mean, 0.0, low, high, rest)
        step, one, two = 2 * (half / spread), self.spread / spread, other.spread / spread
        skewness = (
            part * self.skewness * one**3
            + other_part * other.skewness * two**3
            + part * other_part * step * ((part - other_part) * step**2 + 3 * (two**2 - one**2))
        )
        return Moments(n, mean, spread, low, high, rest, skewness)


def moments_of(values: NDArray[np.float64]) -> Moments:
    """Return the moments of an array, computed in two passes and without overflow on the way.

    The second pass corrects the first by the mean of the distances, which is not zero where the
    spread is near the rounding of the mean.
    Source: Chan, Golub and LeVeque (1983), American Statistician 37, 242-247.
    """
    if not len(values):
        return Moments()
    low, high = float(values.min()), float(values.max())
    exponent = exponent_of(low, high)
    # Infinity, the overflow of a difference, gives NaN.
    with np.errstate(over="ignore", invalid="ignore"):
        # Scaling by a power of two is exact, and then no square overflows or vanishes.
        scaled = np.ldexp(values, -exponent)
        # Rounding must not move the mean out of the range: equal values have no deviation.
        mean = min(max(float(scaled.mean()), float(scaled.min())), float(scaled.max()))
        distances = scaled - mean
        squares = distances * distances
        cube = float((squares * distances).mean())
    shift, square = float(distances.mean()), float(squares.mean())
    spread = math.sqrt(max(square - shift * shift, 0.0))
    cube -= shift * (3 * square - 2 * shift * shift)
    exact = mean + shift
    return Moments(
        len(values),
        min(max(math.ldexp(exact, exponent), low), high),
        math.ldexp(spread, exponent),
        low,
        high,
        math.ldexp((mean - exact) + shift, exponent),
        cube / spread**3 if spread else 0.0,
    )


def means_of_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each row, with the same digits as `moments_of` of the row."""
    low, high = rows.min(axis=1), rows.max(axis=1)
    _, exponents = np.frexp(np.maximum(abs(low), abs(high)))
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.ldexp(rows, -exponents[:, None])
        means = np.clip(scaled.mean(axis=1), scaled.min(axis=1), scaled.max(axis=1))
        means += (scaled - means[:, None]).mean(axis=1)
    exact: NDArray[np.float64] = np.clip(np.ldexp(means, exponents), low, high)
    return exact


def exponent_of(*numbers: float) -> int:
    """Return the exponent of the power of two just above all the magnitudes, 0 for infinity."""
    return math.frexp(max(map(abs, numbers)))[1]


def t_quantile(df: float, level: float = LEVEL) -> float:
    """Return the quantile of Student's t distribution for a two-sided interval."""
    return float(stdtrit(df, (1 + level) / 2))


def z_quantile(level: float = LEVEL) -> float:
    """Return the quantile of the normal distribution for a two-sided interval."""
    return float(ndtri((1 + level) / 2))


def mean_interval(
    n: int, mean: float | None, deviation: float | None, level: float = LEVEL
) -> dict[str, Any] | None:
    """Return Student's t interval of a mean; None for one value, equal values, or on overflow.

    Source: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.2.
    """
    if n < 2 or mean is None or not deviation:
        return None
    half = t_quantile(n - 1, level) * (deviation / math.sqrt(n))
    return finite_interval("student_t", mean - half, mean + half, level)


def rate_interval(successes: int, n: int, level: float = LEVEL) -> dict[str, Any]:
    """Return Wilson's score interval of a rate, without continuity correction; of none, 0 to 1.

    Source: E. B. Wilson (1927), J. Am. Stat. Assoc. 22, 209-212.
    """
    low, high = wilson(successes / n, n, z_quantile(level)) if n else (0.0, 1.0)
    return interval("wilson", low, high, level)


def wilson(rate: float, n: float, quantile: float) -> tuple[float, float]:
    """Return the ends of Wilson's interval of a rate in a sample of the (effective) size `n`."""
    square = quantile * quantile / n
    centre = (rate + square / 2) / (1 + square)
    half = quantile * math.sqrt(rate * (1 - rate) / n + square / (4 * n)) / (1 + square)
    return 0.0 if rate == 0 else centre - half, 1.0 if rate == 1 else centre + half


def are_rates(values: NDArray[np.float64]) -> bool:
    """Return whether there are numbers and all are 0 or 1, so that their mean is a rate."""
    return bool(len(values)) and bool(((values == 0) | (values == 1)).all())


def interval(method: str, low: float, high: float, level: float = LEVEL) -> dict[str, Any]:
    """Return an interval in the shape of an Interval schema."""
    return {"method": method, "level": level, "low": low, "high": high}


def finite_interval(
    method: str, low: float, high: float, level: float = LEVEL
) -> dict[str, Any] | None:
    """Return an interval; None when one of its ends overflows."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return interval(method, low, high, level)


def note_on_mean(n: int, deviation: float | None, skewness: float | None = None) -> str | None:
    """Return a warning about the interval of a mean, if one is due."""
    if n < 2:
        return "one value: it has no interval and no deviation"
    if deviation == 0:
        return "all values are equal: their spread is unknown, so the mean has no interval"
    if skewness is None:
        return "two values: the interval assumes that they are about normal"
    if abs(skewness) > MAX_SKEW * math.sqrt(n):
        return (
            f"the values are skewed ({skewness:.1f}): with only {n} of them,"
            " the interval covers the mean less often than it says"
        )
    return None
