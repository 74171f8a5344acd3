"""Means and rates of clusters, against statsmodels and known special cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from app.analysis.statistics.clusters import ClusteredMean, mean_of_clusters
from app.analysis.statistics.estimates import mean_interval, rate_interval

TRIALS = [[0.2, 0.4, 0.3], [0.9, 0.8], [0.5], [0.1, 0.0, 0.2, 0.1], [0.7, 0.9]]


def clustered(trials: Sequence[Sequence[float]]) -> ClusteredMean:
    means = np.array([np.mean(each) for each in trials])
    result = mean_of_clusters(means, np.array([len(each) for each in trials]))
    assert result is not None
    return result


def test_a_mean_has_the_clustered_standard_error_of_statsmodels() -> None:
    # statsmodels 0.15.0: OLS(values, ones).fit(cov_type="cluster", cov_kwds={"groups": groups})
    result = clustered(TRIALS)
    assert (result.n, result.clusters) == (12, 5)
    assert result.mean == pytest.approx(0.425)
    assert result.standard_error == pytest.approx(0.16460311)
    half = stats.t.ppf(0.975, 4) * 0.16460311
    assert result.interval() == {
        "method": "clustered_t",
        "level": 0.95,
        "low": pytest.approx(0.425 - half),
        "high": pytest.approx(0.425 + half),
    }


def test_clusters_of_one_value_are_an_ordinary_sample() -> None:
    values = [0.1, 0.5, 0.4, 0.9]
    interval = clustered([[value] for value in values]).interval()
    known = mean_interval(4, float(np.mean(values)), float(np.std(values, ddof=1)))
    assert interval is not None
    assert known is not None
    assert (interval["low"], interval["high"]) == pytest.approx((known["low"], known["high"]))
    rate = clustered([[1.0]] * 7 + [[0.0]] * 3).rate_interval()
    known_rate = rate_interval(7, 10)
    assert rate == {**known_rate, "low": pytest.approx(known_rate["low"])}


def test_copies_of_a_value_add_nothing_to_a_rate() -> None:
    once = clustered([[1.0] * 2] * 20 + [[0.0] * 2] * 10).rate_interval()
    often = clustered([[1.0] * 50] * 20 + [[0.0] * 50] * 10).rate_interval()
    assert once is not None
    assert once == often
    assert once["low"] < rate_interval(20, 30)["low"]


def test_trials_that_all_passed_count_once_per_cluster() -> None:
    interval = clustered([[1.0] * 10] * 20).rate_interval()
    assert interval is not None
    assert interval["method"] == "clustered_wilson"
    assert interval["high"] == 1.0
    quantile = stats.t.ppf(0.975, 19)
    assert interval["low"] == pytest.approx(20 / (20 + quantile**2))


def test_clusters_with_equal_rates_count_every_value_and_no_more() -> None:
    interval = clustered([[1.0, 0.0]] * 30).rate_interval()
    assert interval is not None
    quantile = stats.t.ppf(0.975, 29)
    half = quantile / np.sqrt(60 + quantile**2) / 2
    assert (interval["low"], interval["high"]) == pytest.approx((0.5 - half, 0.5 + half))


def test_one_cluster_and_equal_means_claim_no_certainty() -> None:
    assert clustered([[0.5, 0.7]]).interval() is None
    assert clustered([[1.0, 0.0]]).rate_interval() is None
    assert clustered([[0.5, 0.5], [0.5]]).interval() is None
    assert mean_of_clusters(np.array([]), np.array([], dtype=int)) is None


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_the_unit_does_not_change_the_interval(scale: float) -> None:
    known = clustered(TRIALS).interval()
    scaled = clustered([[value * scale for value in each] for each in TRIALS]).interval()
    assert known is not None
    assert scaled is not None
    assert scaled["high"] == pytest.approx(known["high"] * scale)


def test_an_error_that_overflows_is_none() -> None:
    assert clustered([[1.7e308], [-1.7e308]]).standard_error == pytest.approx(1.7e308)
    assert clustered([[1.7e308], [-1.7e308]]).interval() is None
