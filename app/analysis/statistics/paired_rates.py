"""Paired rates: the score interval of the difference of two rates of the same examples."""

from __future__ import annotations

import math
from typing import Any

from scipy.optimize import brentq

from app.analysis.statistics.estimates import LEVEL, interval, z_quantile


def tango_interval(n: int, wins: int, losses: int, level: float = LEVEL) -> dict[str, Any]:
    """Return Tango's score interval of (wins - losses) / n; of no pairs, -1 to 1.

    `wins` are the pairs that only the candidate passed, `losses` those that only the baseline did.
    Source: Tango (1998), Statistics in Medicine 17, 891-908.
    """
    low = -_upper_end(n, losses, wins, level)
    return interval("tango", low, _upper_end(n, wins, losses, level), level)


def _upper_end(n: int, wins: int, losses: int, level: float) -> float:
    if wins == n:
        return 1.0
    quantile, estimate = z_quantile(level), (wins - losses) / n
    return float(brentq(lambda d: score(n, wins, losses, d) + quantile, estimate, 1.0, xtol=1e-15))


def score(n: int, wins: int, losses: int, difference: float) -> float:
    """Return the score statistic of a true difference, which is about normal."""
    excess = wins - losses - n * difference
    if not excess:
        return 0.0
    # The most likely rate of losses, if the difference is true: the root of a quadratic equation.
    b = (2 * n - wins + losses) * difference - wins - losses
    c = -losses * difference * (1 - difference)
    rate = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * rate + difference * (1 - difference))
    return excess / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, excess)
