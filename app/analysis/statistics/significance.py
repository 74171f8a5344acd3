"""Significance: tests of whether two samples differ, paired or not, with intervals and power."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import bdtr, betaln, stdtr

from app.analysis.statistics.estimates import (
    LEVEL,
    exponent_of,
    finite_interval,
    interval,
    moments_of,
    rate_interval,
    t_quantile,
)
from app.analysis.statistics.paired_rates import tango_interval
from app.analysis.statistics.power import detectable, detectable_rate

ALPHA = 0.05
"""The p-value from which on nothing is shown."""

ONE_SIDED = 0.9
"""The level of a two-sided interval whose ends are both bounds with 95 % confidence."""

IntervalAt = Callable[[float], dict[str, Any] | None]
"""A function that returns an interval, given its level."""


def no_interval(_: float) -> None:
    """Return None, where an interval cannot be computed."""


@dataclass(frozen=True)
class Difference:
    """The difference between a candidate and its baseline, and the test of it.

    `p_value` is two-sided. It and the intervals are None when they cannot be computed.
    """

    mean: float | None
    interval: dict[str, Any] | None
    p_value: float | None
    method: str
    interval_at: IntervalAt = field(default=no_interval, repr=False, compare=False)
    """Returns the interval at another level."""
    least_p_value: float = 0.0
    """The smallest p-value that the test could have had; above ALPHA it could show nothing."""
    detectable: float | None = None
    """The smallest difference that is found with a power of 80 %; None where it is unknown."""
    deviation: float | None = None
    """The deviation of a pair's difference, from which `power.pairs_needed` follows."""

    @property
    def one_sided(self) -> dict[str, Any] | None:
        """The interval at the level ONE_SIDED: for a margin that the candidate may be worse by."""
        return self.interval_at(ONE_SIDED)


def of_pairs(differences: NDArray[np.float64], reach: float | None = None) -> Difference:
    """Test paired numbers, given their differences, by Student's paired t test.

    When all differences are equal, the t statistic is undefined and the exact permutation test of
    their signs is used. Then an interval needs `reach`, the range of the values, if they have one.
    """
    moments = moments_of(differences)
    mean, deviation, n = _finite(moments.mean), moments.deviation, moments.n
    least = _least(2.0 ** (1 - n))
    if mean is None or deviation is None:
        return Difference(mean, None, None, "paired_t", least_p_value=least)
    # A deviation this small is rounding error: the differences are equal.
    if deviation <= abs(mean) * 1e-12:
        return _of_equal_pairs(n, mean, reach)
    error = deviation / math.sqrt(n) or deviation  # It may be below the smallest double.
    return _t_test("paired_t", mean, error, n - 1, least, deviation)


def _of_equal_pairs(n: int, mean: float, reach: float | None) -> Difference:
    p_value = 2.0 ** (1 - n) if mean else 1.0
    interval_at = partial(_equal_interval, n, mean, reach)
    least = 2.0 ** (1 - n)
    return Difference(
        mean, interval_at(LEVEL), p_value, "exact_permutation", interval_at, least, None, 0.0
    )


def _equal_interval(
    n: int, mean: float, reach: float | None, level: float
) -> dict[str, Any] | None:
    """Return bounds of a mean difference, where all that were seen are equal.

    With the confidence `level`, at most a part of `1 - a ** (1 / n)` of all pairs differ otherwise
    (the rule of three), and by `reach` at most. Against what was seen, they are only as large as
    what was seen: the test assumes so too, and the interval must not deny what it shows.
    Source: Jovanovic and Levy (1997), American Statistician 51, 137-139.
    """
    if not reach:
        return None
    others = -math.expm1(math.log((1 - level) / 2) / n)
    farthest = max(reach, abs(mean))  # Rounding may make it less.
    least = -mean if mean > 0 else -farthest
    most = -mean if mean < 0 else farthest
    low, high = mean + others * (least - mean), mean + others * (most - mean)
    return finite_interval("rule_of_three", low, high, level)


def _t_test(
    method: str, mean: float, error: float, df: float, least: float, deviation: float | None
) -> Difference:
    """Return the difference with its t test, given its standard error and degrees of freedom."""
    if not math.isfinite(error):
        return Difference(mean, None, None, method, least_p_value=least)
    p_value = float(2 * stdtr(df, -abs(mean / error)))

    def interval_at(level: float) -> dict[str, Any] | None:
        half = t_quantile(df, level) * error
        return finite_interval(method, mean - half, mean + half, level)

    power = detectable(error, df)
    return Difference(
        mean, interval_at(LEVEL), p_value, method, interval_at, least, power, deviation
    )


def sign_test(wins: int, losses: int) -> float:
    """Return the exact two-sided p-value of the sign test, which ignores ties.

    Of failures in only one of two runs it is McNemar's exact test.
    Source: Dixon and Mood (1946), J. Am. Stat. Assoc. 41, 557-566.
    """
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))


def of_paired_booleans(n: int, wins: int, losses: int) -> Difference:
    """Test `n` pairs of booleans by McNemar's mid-p test, with Tango's score interval.

    The interval of Agresti and Min is too narrow where hardly any pair changed: tests of coverage
    show it. Sources: Fagerland, Lydersen and Laake (2013), BMC Med. Res. Methodol. 13:91; Tango
    (1998), Statistics in Medicine 17, 891-908.
    """
    if not n:
        return Difference(None, None, None, "mcnemar_mid_p", least_p_value=1.0)
    changed = wins + losses
    mean = (wins - losses) / n
    interval_at = partial(tango_interval, n, wins, losses)
    deviation = math.sqrt(max(changed / n - mean * mean, 0.0))
    return Difference(
        mean,
        interval_at(LEVEL),
        mcnemar_mid_p(wins, losses),
        "mcnemar_mid_p",
        interval_at,
        0.5**changed,
        detectable_rate(n, changed),
        deviation,
    )


def mcnemar_mid_p(wins: int, losses: int) -> float:
    """Return the two-sided mid-p value of McNemar's test: half of what was seen counts."""
    changed, fewer = wins + losses, min(wins, losses)
    upto = float(bdtr(fewer, changed, 0.5))
    below = float(bdtr(fewer - 1, changed, 0.5)) if fewer else 0.0
    if wins == losses:
        return 1 - (upto - below) / 2 if changed else 1.0
    return upto + below


def of_samples(baseline: NDArray[np.float64], candidate: NDArray[np.float64]) -> Difference:
    """Test two samples of numbers by Welch's t test; two constants by exact permutation.

    Source: Welch (1947), Biometrika 34, 28-35.
    """
    before, after = moments_of(baseline), moments_of(candidate)
    if not (before.n and after.n):
        return Difference(None, None, None, "welch_t", least_p_value=1.0)
    mean, least = _finite(before.distance(after)), _least_permutation(before.n, after.n)
    if mean is None:
        return Difference(None, None, None, "welch_t", least_p_value=_least(least))
    if before.spread == 0 == after.spread:
        p_value = least if mean else 1.0
        return Difference(mean, None, p_value, "exact_permutation", least_p_value=least)
    one, two = before.standard_error, after.standard_error
    if one is None or two is None:
        return Difference(mean, None, None, "welch_t", least_p_value=_least(least))
    error = math.hypot(one, two)
    df = welch_df(one, two, before.n, after.n)
    deviation = _finite(math.hypot(one * math.sqrt(before.n), two * math.sqrt(after.n)))
    return _t_test("welch_t", mean, error, df, _least(least), deviation)


def welch_df(one: float, two: float, n_one: int, n_two: int) -> float:
    """Return Satterthwaite's degrees of freedom, given two standard errors that are not both 0."""
    unit = max(one, two)  # The ratios neither overflow nor vanish.
    square, other = (one / unit) ** 2, (two / unit) ** 2
    return (square + other) ** 2 / (square**2 / (n_one - 1) + other**2 / (n_two - 1))


def of_overlap(
    baseline_only: NDArray[np.float64],
    candidate_only: NDArray[np.float64],
    baseline_paired: NDArray[np.float64],
    candidate_paired: NDArray[np.float64],
) -> Difference:
    """Test two samples of which only a part is paired, with all their values.

    Source: Derrick, Russ, Toher and White (2017), J. Mod. Appl. Stat. Methods 16, 137-157: the
    partially overlapping t test, for unequal variances.
    """
    baseline = np.concatenate([baseline_paired, baseline_only])
    candidate = np.concatenate([candidate_paired, candidate_only])
    before, after = moments_of(baseline), moments_of(candidate)
    pairs, singles = len(baseline_paired), len(baseline_only) + len(candidate_only)
    if before.spread == 0 == after.spread:
        return of_samples(baseline, candidate)
    mean = _finite(before.distance(after)) if before.n and after.n else None
    one, two = before.standard_error, after.standard_error
    least = _least(min(2.0 ** (1 - pairs), _least_permutation(before.n, after.n)))
    if mean is None or one is None or two is None:
        return Difference(mean, None, None, "partially_overlapping_t", least_p_value=least)
    welch = welch_df(one, two, before.n, after.n)
    total = singles + 2 * pairs
    df = welch if pairs < 2 else (pairs - 1) + (welch - pairs + 1) / total * singles
    shared = pairs / math.sqrt(before.n * after.n) * _correlation(baseline_paired, candidate_paired)
    unit = max(one, two)
    square = (one / unit) ** 2 + (two / unit) ** 2 - 2 * shared * (one / unit) * (two / unit)
    if square <= 1e-12:  # Rounding error: the pairs' differences are equal.
        return Difference(mean, None, None, "partially_overlapping_t", least_p_value=least)
    return _t_test("partially_overlapping_t", mean, unit * math.sqrt(square), df, least, None)


def _correlation(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Return Pearson's correlation, 0 where either is constant."""
    if len(one) < 2:
        return 0.0
    scaled = [
        np.ldexp(values, -exponent_of(float(values.min()), float(values.max())))
        for values in (one, two)
    ]
    moments = [moments_of(values) for values in scaled]
    if not all(each.spread for each in moments):
        return 0.0
    parts = [(v - each.mean) / each.spread for v, each in zip(scaled, moments, strict=True)]
    return min(max(float((parts[0] * parts[1]).mean()), -1.0), 1.0)


def of_rates(baseline: tuple[int, int], candidate: tuple[int, int]) -> Difference:
    """Test two rates, each given as (successes, n), by Fisher's exact test.

    The interval is Newcombe's (1998), Statistics in Medicine 17, 873-890, method 10.
    """
    (before, before_n), (after, after_n) = baseline, candidate
    if not (before_n and after_n):
        return Difference(None, None, None, "fisher_exact", least_p_value=1.0)
    p_value, least = _fisher(after, after_n, before + after, before_n + after_n)
    rates = before / before_n, after / after_n
    # With a success and a failure more in each sample, so that no rate is certain.
    error = math.hypot(_rate_error(before, before_n), _rate_error(after, after_n))
    interval_at = partial(_newcombe, baseline, candidate)
    return Difference(
        rates[1] - rates[0],
        interval_at(LEVEL),
        p_value,
        "fisher_exact",
        interval_at,
        least,
        detectable(error, before_n + after_n - 2),
        math.sqrt(sum(rate * (1 - rate) for rate in rates)),
    )


def _fisher(after: int, after_n: int, passed: int, n: int) -> tuple[float, float]:
    """Return the p-value of `after` of all `passed` values in one sample, and the least possible.

    Source: Fisher (1935), J. R. Stat. Soc. 98, 39-54; as unlikely counts as those less likely.
    """
    first = max(0, passed + after_n - n)
    counts = np.arange(first, min(passed, after_n) + 1)
    chances = stats.hypergeom.pmf(counts, n, passed, after_n)
    p_value, least = (
        min(1.0, float(chances[chances <= chance * (1 + 1e-7)].sum()))
        for chance in (chances[after - first], chances.min())
    )
    return p_value, least


def _rate_error(successes: int, n: int) -> float:
    """Return the standard error of a rate, of Agresti and Caffo's (2000) adjusted one."""
    rate = (successes + 1) / (n + 2)
    return math.sqrt(rate * (1 - rate) / (n + 2))


def _newcombe(
    baseline: tuple[int, int], candidate: tuple[int, int], level: float
) -> dict[str, Any]:
    before, after = baseline[0] / baseline[1], candidate[0] / candidate[1]
    one, two = rate_interval(*baseline, level), rate_interval(*candidate, level)
    low = after - before - math.hypot(after - two["low"], one["high"] - before)
    high = after - before + math.hypot(two["high"] - after, before - one["low"])
    return interval("newcombe", low, high, level)


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


def holm_of_possible(
    p_values: Sequence[float], least_p_values: Sequence[float]
) -> list[float | None]:
    """Return adjusted p-values by Holm's method over those that could be significant at all.

    `least_p_values` has the smallest p-value that each test could have had. Those that could not
    reach significance in the family are None, and make no other result weaker.
    Source: Tarone (1990), Biometrics 46, 515-522.
    """
    least = sorted(least_p_values)
    size = next(k for k in range(len(least) + 1) if bisect_right(least, ALPHA / max(k, 1)) <= k)
    possible = [each <= ALPHA / max(size, 1) for each in least_p_values]
    adjusted = iter(
        holm([p for p, is_possible in zip(p_values, possible, strict=True) if is_possible])
    )
    return [next(adjusted) if is_possible else None for is_possible in possible]


def _least_permutation(n: int, other: int) -> float:
    """Return the smallest two-sided p-value of an exact permutation test of two samples."""
    log_splits = -math.log(n + other + 1) - float(betaln(n + 1, other + 1))
    return min(1.0, (2 if n == other else 1) * math.exp(-log_splits))


def _least(p_value: float) -> float:
    """Return the least p-value of a t test: 0, unless even exact permutation can show nothing."""
    return p_value if p_value > ALPHA else 0.0


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
