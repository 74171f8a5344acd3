"""Significance: tests of whether two samples differ, paired or not, and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from app.analysis.statistics.estimates import (
    LEVEL,
    Z,
    finite_interval,
    interval,
    moments_of,
    rate_interval,
)


@dataclass(frozen=True)
class Difference:
    """The difference between a candidate and its baseline, and the test of it.

    `p_value` is two-sided. It and `interval` are None when they cannot be computed.
    """

    mean: float | None
    interval: dict[str, Any] | None
    p_value: float | None
    method: str


def of_pairs(differences: NDArray[np.float64]) -> Difference:
    """Test paired numbers, given their differences, by Student's paired t test.

    When all differences are equal, the t statistic is undefined and the sign test is used.
    """
    moments = moments_of(differences)
    mean, deviation = moments.mean, moments.deviation
    if not math.isfinite(mean) or deviation is None:
        return Difference(_finite(mean), None, None, "paired_t")
    # A deviation this small is rounding error: the differences are equal.
    if deviation <= abs(mean) * 1e-12:
        wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
        return Difference(
            mean, finite_interval("paired_t", mean, mean), sign_test(wins, losses), "sign_test"
        )
    with np.errstate(all="ignore"):  # An overflow is returned as None.
        unit = _unit(differences)
        test = stats.ttest_1samp(differences / unit, 0.0)
        low, high = test.confidence_interval(LEVEL)
        bounds = finite_interval("paired_t", float(low * unit), float(high * unit))
    return Difference(mean, bounds, _finite(test.pvalue), "paired_t")


def sign_test(wins: int, losses: int) -> float:
    """Return the exact two-sided p-value of the sign test, which ignores ties.

    Source: Dixon and Mood (1946), J. Am. Stat. Assoc. 41, 557-566.
    """
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def of_paired_booleans(n: int, wins: int, losses: int) -> Difference:
    """Test `n` pairs of booleans by McNemar's exact test, with Agresti and Min's interval.

    Source of the interval: Agresti and Min (2005), Statistics in Medicine 24, 729-740; it is Wald's
    interval with a half added to each of the four counts.
    """
    mean = (wins - losses) / n
    won, lost, total = wins + 0.5, losses + 0.5, n + 2
    centre = (won - lost) / total
    half = Z * math.sqrt(won + lost - (won - lost) ** 2 / total) / total
    bounds = interval("agresti_min", max(centre - half, -1.0), min(centre + half, 1.0))
    return Difference(mean, bounds, sign_test(wins, losses), "mcnemar_exact")


def of_samples(baseline: NDArray[np.float64], candidate: NDArray[np.float64]) -> Difference:
    """Test two samples of at least two numbers each by Welch's t test."""
    before, after = moments_of(baseline), moments_of(candidate)
    mean = _finite(after.mean - before.mean)
    if mean is None or not (before.deviation or after.deviation):
        return Difference(mean, None, None, "welch_t")
    with np.errstate(all="ignore"):  # An overflow is returned as None.
        unit = _unit(np.concatenate([baseline, candidate]))
        test = stats.ttest_ind(candidate / unit, baseline / unit, equal_var=False)
        low, high = test.confidence_interval(LEVEL)
        bounds = finite_interval("welch_t", float(low * unit), float(high * unit))
    return Difference(mean, bounds, _finite(test.pvalue), "welch_t")


def of_rates(baseline: tuple[int, int], candidate: tuple[int, int]) -> Difference:
    """Test two rates, each given as (successes, n), by Fisher's exact test.

    The interval is Newcombe's (1998), Statistics in Medicine 17, 873-890, method 10.
    """
    (before, before_n), (after, after_n) = baseline, candidate
    before_rate, after_rate = before / before_n, after / after_n
    before_interval = rate_interval(before, before_n)
    after_interval = rate_interval(after, after_n)
    mean = after_rate - before_rate
    low = mean - math.hypot(
        after_rate - after_interval["low"], before_interval["high"] - before_rate
    )
    high = mean + math.hypot(
        after_interval["high"] - after_rate, before_rate - before_interval["low"]
    )
    table = [[after, after_n - after], [before, before_n - before]]
    p_value = float(stats.fisher_exact(table).pvalue)
    return Difference(mean, interval("newcombe", low, high), p_value, "fisher_exact")


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for multiple comparisons by Holm's method, in their order.

    Source: Holm (1979), Scand. J. Stat. 6, 65-70.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


def _unit(values: NDArray[np.float64]) -> float:
    """Return a power of two near the largest magnitude: squares of scaled values stay in range."""
    _, exponent = math.frexp(float(np.abs(values).max()))
    return math.ldexp(1.0, exponent - 1)


def _finite(number: Any) -> float | None:
    return float(number) if math.isfinite(number) else None
