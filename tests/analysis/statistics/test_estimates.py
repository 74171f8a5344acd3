"""Confidence intervals against statsmodels, and their notes on small samples."""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
from scipy import stats

from app.analysis.statistics.distributions import Numbers
from app.analysis.statistics.estimates import (
    Moments,
    mean_interval,
    means_of_rows,
    moments_of,
    rate_interval,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.27753279986288926),
        (7, 10, 0.39677814746114537, 0.8922087325936989),
        (10, 10, 0.7224672001371106, 1.0),
        (1, 3, 0.06149194472039626, 0.7923403991979523),
        (450, 1000, 0.4194153840742968, 0.4809672917742588),
    ],
)
def test_a_rate_has_the_wilson_interval_that_statsmodels_computes(
    successes: int, n: int, low: float, high: float
) -> None:
    # statsmodels 0.15.0: proportion_confint(successes, n, method="wilson")
    interval = rate_interval(successes, n)
    assert interval["method"] == "wilson"
    assert interval["level"] == 0.95
    assert interval["low"] == pytest.approx(low, rel=1e-12)
    assert interval["high"] == pytest.approx(high, rel=1e-12)


def test_a_mean_has_the_t_interval_that_statsmodels_computes() -> None:
    # statsmodels 0.15.0: DescrStatsW([0.2, 0.4, 0.5, 0.9, 1.0]).tconfint_mean()
    interval = mean_interval(5, 0.6, 0.3391164991562634)
    assert interval is not None
    assert interval["method"] == "student_t"
    assert interval["low"] == pytest.approx(0.17893125180077052, rel=1e-12)
    assert interval["high"] == pytest.approx(1.0210687481992293, rel=1e-12)


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([0.5], "one value: it has no interval and no deviation"),
        (
            [0.5, 0.5],
            "all values are equal: their spread is unknown, so the mean has no interval",
        ),
        ([0.5, 0.7], "two values: the interval assumes that they are about normal"),
        ([0.1, 0.2, 0.3, 0.4, 0.5], None),
        (
            [0.0] * 95 + [20.0] * 5,
            "the values are skewed (4.2): with only 100 of them,"
            " the interval covers the mean less often than it says",
        ),
        ([0.0] * 9_500 + [20.0] * 500, None),
    ],
)
def test_a_note_warns_of_skewed_values_by_their_number(
    values: list[float], note: str | None
) -> None:
    numbers = Numbers()
    numbers.values.extend(values)
    assert numbers.summary()["note"] == note


def test_one_value_has_neither_interval_nor_deviation() -> None:
    numbers = Numbers()
    numbers.add({"number": 0.25})
    summary = numbers.summary()
    assert summary["mean"] == 0.25
    assert summary["interval"] is None
    assert summary["standard_deviation"] is None


def test_equal_values_have_neither_deviation_nor_interval_despite_rounding() -> None:
    numbers = Numbers()
    numbers.values.extend([0.1] * 7)
    summary = numbers.summary()
    assert summary["mean"] == 0.1
    assert summary["standard_deviation"] == 0.0
    assert summary["interval"] is None


def test_merging_an_empty_sample_changes_nothing() -> None:
    some = Moments(2, 1.0, 1.0, 0.0, 2.0)
    assert Moments().merge(some) == some == some.merge(Moments())


def test_numbers_that_are_all_0_or_1_have_the_interval_of_a_rate() -> None:
    numbers = Numbers()
    numbers.values.extend([1.0] * 9 + [0.0])
    assert numbers.summary()["interval"] == rate_interval(9, 10)
    numbers.shrink()
    numbers.values.extend([1.0] * 10)
    assert numbers.summary()["interval"] == rate_interval(19, 20)
    numbers.values.append(0.5)
    assert numbers.summary()["interval"]["method"] == "student_t"


@pytest.mark.parametrize("n", [10, 30, 100, 1_000])
def test_the_interval_of_a_rate_covers_it_by_exact_enumeration(n: int) -> None:
    intervals = [rate_interval(successes, n) for successes in range(n + 1)]
    low, high = (np.array([each[end] for each in intervals]) for end in ("low", "high"))
    coverage = [
        stats.binom.pmf(np.arange(n + 1), n, rate)[(low <= rate) & (rate <= high)].sum()
        for rate in np.arange(1, 20) / 20
    ]
    assert np.mean(coverage) >= 0.94
    assert min(coverage) >= 0.9


def test_a_rate_of_no_values_may_be_any() -> None:
    interval = rate_interval(0, 0)
    assert (interval["low"], interval["high"]) == (0.0, 1.0)


def test_an_interval_has_the_level_that_is_asked_for() -> None:
    # statsmodels 0.15.0: proportion_confint(3, 60, alpha=0.1, method="wilson")
    interval = rate_interval(3, 60, 0.9)
    assert interval["level"] == 0.9
    assert interval["low"] == pytest.approx(0.020156986146679462, rel=1e-12)
    assert interval["high"] == pytest.approx(0.11867513258726384, rel=1e-12)
    narrow, wide = mean_interval(5, 0.6, 0.3, 0.9), mean_interval(5, 0.6, 0.3, 0.95)
    assert narrow is not None
    assert wide is not None
    assert wide["low"] < narrow["low"] < 0.6 < narrow["high"] < wide["high"]


EDGES = [
    [1e15, 1e15 + 0.125, 1e15 + 0.125],
    [0.1, 0.1, math.nextafter(0.1, 1)],
    [1e15 + number / 8 for number in range(100)],
    [1.7e308, -1.7e308] * 5,
    [1.7e308] * 99 + [-1.7e308],
    [1e-300, 3e-300, 0.0],
    [1e300, 1e-300, -1e300],
]
"""Samples at the edges of what doubles can tell apart."""


def exact_figures(values: list[float]) -> tuple[float, float]:
    """Return the mean and the sample standard deviation, with 60 digits on the way."""
    with localcontext(Context(prec=60, Emin=-2_000, Emax=2_000)):
        exact = [Decimal(value) for value in values]
        mean = sum(exact, Decimal()) / len(exact)
        squares = [(value - mean) ** 2 for value in exact]
        variance = sum(squares, Decimal()) / (len(exact) - 1)
        return float(mean), float(variance.sqrt())


@pytest.mark.parametrize("values", EDGES)
def test_mean_and_deviation_are_right_at_the_edge_of_doubles(values: list[float]) -> None:
    mean, deviation = exact_figures(values)
    moments = moments_of(np.array(values))
    assert moments.mean == pytest.approx(mean, rel=1e-15, abs=deviation * 1e-15)
    assert moments.deviation == pytest.approx(deviation, rel=1e-14)


@pytest.mark.parametrize("values", EDGES)
def test_merging_parts_gives_the_moments_of_the_whole(values: list[float]) -> None:
    whole, half = moments_of(np.array(values)), len(values) // 2
    merged = moments_of(np.array(values[:half])).merge(moments_of(np.array(values[half:])))
    assert (merged.n, merged.low, merged.high) == (whole.n, whole.low, whole.high)
    assert merged.mean == pytest.approx(whole.mean, rel=2e-16, abs=whole.spread * 1e-15)
    assert merged.deviation == pytest.approx(whole.deviation, rel=1e-14)
    assert merged.skewness == pytest.approx(whole.skewness, abs=1e-9)


def test_skewness_is_the_adjusted_one_of_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=50)
    expected = stats.skew(values, bias=False)
    assert moments_of(values).sample_skewness == pytest.approx(expected, rel=1e-12)


def test_a_deviation_that_overflows_is_none() -> None:
    assert moments_of(np.array([1.7e308, -1.7e308])).deviation is None


@pytest.mark.parametrize("size", [1, 2, 5, 9, 300])
@pytest.mark.parametrize("scale", [1.0, 1e-320, 1e306])
def test_means_of_rows_have_the_digits_of_the_moments_of_each_row(size: int, scale: float) -> None:
    rows = scale * np.random.default_rng(1).normal(size=(50, size))
    rows[0] = 0.1
    expected = [moments_of(row.copy()).mean for row in rows]
    assert means_of_rows(rows).tolist() == expected
