"""Confidence intervals against statsmodels, and their notes on small samples."""

from __future__ import annotations

import pytest

from app.analysis.statistics.distributions import Numbers
from app.analysis.statistics.estimates import Moments, mean_interval, rate_interval


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
        ([0.5, 0.5], "all values are equal: an interval of zero width does not mean certainty"),
        ([0.5, 0.7], "fewer than 30 values: the interval assumes that they are about normal"),
        ([number / 30 for number in range(30)], None),
    ],
)
def test_small_samples_have_a_note(values: list[float], note: str | None) -> None:
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


def test_equal_values_have_no_deviation_despite_rounding() -> None:
    numbers = Numbers()
    numbers.values.extend([0.1] * 7)
    summary = numbers.summary()
    assert summary["mean"] == 0.1
    assert summary["standard_deviation"] == 0.0
    assert (summary["interval"]["low"], summary["interval"]["high"]) == (0.1, 0.1)


def test_merging_an_empty_sample_changes_nothing() -> None:
    some = Moments(2, 1.0, 1.0, 0.0, 2.0)
    assert Moments().merge(some) == some == some.merge(Moments())
