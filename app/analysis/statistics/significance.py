"""Whether two runs differ: paired and unpaired tests, each named, and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from app.analysis.statistics.intervals import LEVEL, Z, between, finite, of_rate
from app.analysis.statistics.moments import moments_of


@dataclass(frozen=True)
class Difference:
    """How much a candidate differs from its baseline, and how likely by chance alone.

    `p_value` is two-sided; None, as the interval, where it cannot be computed.
    """

    mean: float | None
    interval: dict[str, Any] | None
    p_value: float | None
    method: str


def of_pairs(differences: NDArray[np.float64]) -> Difference:
    """Of paired numbers, at least one: Student's paired t test and interval.

    Where all differences are the same the t statistic has no value, and the sign test tells.
    """
    moments = moments_of(differences)
    mean, deviation = moments.mean, moments.deviation
    if not math.isfinite(mean) or deviation is None:
        return Difference(_finite(mean), None, None, "paired_t")
    # Equal up to rounding: what is left of their deviation is the arithmetic's own.
    if deviation <= abs(mean) * 1e-12:
        wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
        return Difference(
            mean, finite("paired_t", mean, mean), sign_test(wins, losses), "sign_test"
        )
    with np.errstate(all="ignore"):  # What is beyond a double is told as None.
        unit = _unit(differences)
        found = stats.ttest_1samp(differences / unit, 0.0)
        low, high = found.confidence_interval(LEVEL)
        interval = finite("paired_t", float(low * unit), float(high * unit))
    return Difference(mean, interval, _finite(found.pvalue), "paired_t")


def sign_test(wins: int, losses: int) -> float:
    """The exact two-sided p-value of the sign test, without ties (Dixon and Mood 1946)."""
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def of_paired_booleans(n: int, wins: int, losses: int) -> Difference:
    """Of paired booleans: McNemar's exact test, and Agresti and Min's interval.

    Source of the interval: Agresti and Min (2005), Statistics in Medicine 24, 729-740: Wald's, with
    a half added to each of the four counts.
    """
    mean = (wins - losses) / n
    won, lost, of = wins + 0.5, losses + 0.5, n + 2
    centre = (won - lost) / of
    half = Z * math.sqrt(won + lost - (won - lost) ** 2 / of) / of
    interval = between("agresti_min", max(centre - half, -1.0), min(centre + half, 1.0))
    return Difference(mean, interval, sign_test(wins, losses), "mcnemar_exact")


def of_unpaired(baseline: NDArray[np.float64], candidate: NDArray[np.float64]) -> Difference:
    """Of two samples of numbers, each of at least two: Welch's t test and interval."""
    before, after = moments_of(baseline), moments_of(candidate)
    mean = _finite(after.mean - before.mean)
    if mean is None or not (before.deviation or after.deviation):
        return Difference(mean, None, None, "welch_t")
    with np.errstate(all="ignore"):
        unit = _unit(np.concatenate([baseline, candidate]))
        found = stats.ttest_ind(candidate / unit, baseline / unit, equal_var=False)
        low, high = found.confidence_interval(LEVEL)
        interval = finite("welch_t", float(low * unit), float(high * unit))
    return Difference(mean, interval, _finite(found.pvalue), "welch_t")


def of_rates(baseline: tuple[int, int], candidate: tuple[int, int]) -> Difference:
    """Of two samples of booleans, each how many are true of how many: Fisher's exact test.

    The interval is Newcombe's (1998, Statistics in Medicine 17, 873-890, method 10).
    """
    (true, n), (other_true, other_n) = candidate, baseline
    table = [[true, n - true], [other_true, other_n - other_true]]
    one, other = true / n, other_true / other_n
    ours, theirs = of_rate(true, n), of_rate(other_true, other_n)
    low = one - other - math.hypot(one - ours["low"], theirs["high"] - other)
    high = one - other + math.hypot(ours["high"] - one, other - theirs["low"])
    p_value = float(stats.fisher_exact(table).pvalue)
    return Difference(one - other, between("newcombe", low, high), p_value, "fisher_exact")


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of one family, adjusted (Holm 1979, Scand. J. Stat. 6, 65-70)."""
    adjusted = [0.0] * len(p_values)
    so_far = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = so_far
    return adjusted


def _unit(values: NDArray[np.float64]) -> float:
    """A power of two near the greatest: squares of values by it are no infinity and no zero."""
    _, exponent = math.frexp(float(np.abs(values).max()))
    return math.ldexp(1.0, exponent - 1)


def _finite(number: Any) -> float | None:
    return float(number) if math.isfinite(number) else None
