"""Count, mean, deviation, least and greatest of numbers that come in parts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Moments:
    """What is known of numbers of which some are not held any more."""

    n: int = 0
    mean: float = 0.0
    spread: float = 0.0
    """The root of the sum of their squared distances from the mean."""
    low: float = math.inf
    high: float = -math.inf

    @property
    def deviation(self) -> float | None:
        """The sample's standard deviation (by n - 1); None for one number, or beyond a double."""
        if self.n < 2 or not math.isfinite(self.spread):
            return None
        return self.spread / math.sqrt(self.n - 1)

    def joined(self, other: Moments) -> Moments:
        """Of both together (Chan, Golub and LeVeque 1979, equation 2.1)."""
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
    """Of numbers that are held, in two passes."""
    if not len(values):
        return Moments()
    low, high = float(values.min()), float(values.max())
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean())
        if not math.isfinite(mean):
            mean = float((values / len(values)).sum())
        # A mean is never outside, whatever rounding says: equal values have no deviation.
        mean = min(max(mean, low), high)
        distances = np.abs(values - mean)
        largest = float(distances.max())
        norm = float(np.linalg.norm(distances / largest)) if largest else 0.0
    return Moments(len(values), mean, largest * norm, low, high)
