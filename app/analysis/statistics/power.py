"""Power: the smallest difference that a comparison finds, and how many pairs a difference needs."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import ndtri

from app.analysis.statistics.estimates import t_quantile, z_quantile

POWER = 0.8
"""The probability with which a difference is to be found."""

MAX_PAIRS = 10**12
"""More pairs than this are no answer."""


def detectable(standard_error: float, df: float) -> float | None:
    """Return the smallest difference that a t test finds with POWER; None without a deviation.

    Source: Bloom (1995), Evaluation Review 19, 547-556: (t_.975 + z_.8) * SE.
    """
    if not standard_error or df <= 0:
        return None
    difference = (t_quantile(df) + float(ndtri(POWER))) * standard_error
    return difference if math.isfinite(difference) else None


def pairs_needed(deviation: float, effect: float) -> int | None:
    """Return how many pairs find a difference of `effect` with POWER; None if far too many.

    `deviation` is that of the differences; of two independent samples, it is hypot(s1, s2), and the
    result is the size of each.
    """
    if not (deviation and effect):
        return None
    ratio, power = deviation / abs(effect), float(ndtri(POWER))

    def missing(n: float) -> float:
        return ratio * (t_quantile(n - 1) + power) / math.sqrt(n) - 1

    if not math.isfinite(ratio) or missing(MAX_PAIRS) > 0:
        return None
    return math.ceil(brentq(missing, 2, MAX_PAIRS)) if missing(2) > 0 else 2


def detectable_rate(n: int, changed: int) -> float | None:
    """Return the smallest difference of two paired rates that is found with POWER.

    `changed` of `n` pairs differ between the runs; a difference of d needs d * n at least. None
    where no difference would be found.
    Source: Connor (1987), Biometrics 43, 207-211.
    """
    if not n or _missing_rate(n, changed, 1.0) > 0:
        return None
    return float(brentq(lambda difference: _missing_rate(n, changed, difference), 1 / n, 1.0))


def pairs_needed_for_rate(n: int, changed: int, effect: float) -> int | None:
    """Return how many pairs find a difference of `effect` between two paired rates with POWER.

    `changed` of `n` pairs differ today. None if far too many, or for an effect beyond -1 to 1.
    """
    if not n or not 0 < abs(effect) <= 1:
        return None
    root = _root_of_pairs(changed / n, abs(effect)) / abs(effect)
    return math.ceil(root * root) if root * root <= MAX_PAIRS else None


def _missing_rate(n: int, changed: int, difference: float) -> float:
    return _root_of_pairs(changed / n, difference) - difference * math.sqrt(n)


def _root_of_pairs(changed: float, difference: float) -> float:
    changed = max(changed, difference)
    return z_quantile() * math.sqrt(changed) + float(ndtri(POWER)) * math.sqrt(
        max(changed - difference**2, 0.0)
    )
