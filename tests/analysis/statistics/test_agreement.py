"""Agreement against statsmodels, SciPy and Krippendorff's own example."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from app.analysis.statistics.agreement import (
    Metric,
    bootstrap_intervals,
    confusion_table,
    kappa,
    krippendorff_alpha,
    spearman,
)

VISION = np.array(
    [[1520, 266, 124, 66], [234, 1512, 432, 78], [117, 362, 1772, 205], [36, 82, 179, 492]],
    dtype=float,
)
"""Stuart (1953): the right and the left eye of 7,477 women."""

_ = np.nan
RELIABILITY = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
)
"""Krippendorff (2011), example C: four observers of twelve units."""

UNITS, OBSERVED = np.nonzero(~np.isnan(RELIABILITY.T))[0], RELIABILITY.T[~np.isnan(RELIABILITY.T)]


def alpha_of(units: NDArray[Any], scale: NDArray[Any], codes: Any, metric: Metric) -> float | None:
    return krippendorff_alpha(units, scale, codes, metric)(np.ones(units.max(initial=-1) + 1))


def coded(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the distinct values, ascending, and the place of each value among them."""
    scale, codes = np.unique(values, return_inverse=True)
    return scale, codes


def test_a_confusion_table_counts_each_pair_once() -> None:
    first, second = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, 0])
    assert confusion_table(first, second, 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    weights = np.array([2.0, 0.0, 1.0, 3.0, 0.0])
    assert confusion_table(first, second, 3, weights).tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 3]]


def test_kappas_match_statsmodels() -> None:
    # statsmodels 0.15.0: cohens_kappa(VISION), wt="linear", wt="quadratic"
    assert kappa(VISION) == pytest.approx(0.5953888280894342)
    assert kappa(VISION, np.arange(4.0)) == pytest.approx(0.6523804295005982)
    assert kappa(VISION, np.arange(4.0), power=2) == pytest.approx(0.7023342524900977)


@pytest.mark.parametrize(("metric", "alpha"), [("nominal", 0.743), ("interval", 0.849)])
def test_alpha_is_that_of_krippendorff_s_example(metric: Metric, alpha: float) -> None:
    assert alpha_of(UNITS, *coded(OBSERVED), metric) == pytest.approx(alpha, abs=5e-4)


@pytest.mark.parametrize("metric", ["nominal", "interval"])
def test_a_weight_counts_a_unit_as_often(metric: Metric) -> None:
    weights = np.array([2, 1, 0, 1, 3, 1, 1, 2, 1, 1, 2, 1])
    copies = np.repeat(np.arange(12), weights)
    units = np.concatenate(
        [np.full((unit == UNITS).sum(), place) for place, unit in enumerate(copies)]
    )
    values = np.concatenate([OBSERVED[unit == UNITS] for unit in copies])
    weighted = krippendorff_alpha(UNITS, *coded(OBSERVED), metric)(weights.astype(float))
    assert weighted == pytest.approx(alpha_of(units, *coded(values), metric))


def test_spearman_matches_scipy_with_and_without_weights() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 5, 50)
    second = first + rng.integers(-1, 2, 50)
    codes = coded(first)[1], coded(second)[1]
    assert spearman(*codes) == pytest.approx(stats.spearmanr(first, second).statistic)
    weights = rng.integers(0, 3, 50)
    repeated = stats.spearmanr(np.repeat(first, weights), np.repeat(second, weights)).statistic
    assert spearman(*codes, weights.astype(float)) == pytest.approx(repeated)


def test_agreement_of_constant_or_no_judgements_is_undefined() -> None:
    none: NDArray[np.int64] = np.array([], dtype=int)
    same = np.zeros(5, dtype=int)
    assert kappa(np.zeros((2, 2))) is None
    assert kappa(np.array([[5.0, 0.0], [0.0, 0.0]])) is None
    assert spearman(none, none) is None
    assert spearman(same, np.arange(5)) is None
    for metric in ("nominal", "interval"):
        assert alpha_of(none, none.astype(float), none, metric) is None
        pairs = np.array([0, 0, 1, 1, 2])
        assert alpha_of(pairs, np.array([0.1]), same, metric) is None
        assert alpha_of(np.arange(5), np.arange(5.0), np.arange(5), metric) is None


def test_judgements_that_differ_by_less_than_their_scale_tells_have_no_alpha() -> None:
    units, values = np.array([0, 0, 1, 1, 2]), np.array([0.0, 5e-324, 0.0, 0.0, 1e308])
    assert alpha_of(units, *coded(values), "interval") is None


def test_alpha_of_numbers_is_the_same_at_an_offset_and_in_any_unit() -> None:
    known = alpha_of(UNITS, *coded(OBSERVED), "interval")
    for changed in (OBSERVED + 1e12, OBSERVED * 1e300, OBSERVED * 1e-300):
        assert alpha_of(UNITS, *coded(changed), "interval") == pytest.approx(known)


def test_an_interval_is_reproducible_and_contains_the_figure() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(0, 3, 80)
    second = np.where(rng.random(80) < 0.7, first, rng.integers(0, 3, 80))

    def figure(weights: NDArray[np.float64]) -> float | None:
        return kappa(confusion_table(first, second, 3, weights))

    interval = bootstrap_intervals(lambda w: [figure(w)], 1, 80)[0]
    known = figure(np.ones(80))
    assert interval is not None
    assert known is not None
    assert interval == bootstrap_intervals(lambda w: [figure(w)], 1, 80)[0]
    assert interval["low"] < known < interval["high"]
    # The asymptotic interval of statsmodels has about the same width.
    assert interval["high"] - interval["low"] == pytest.approx(0.29, abs=0.05)


def test_perfect_agreement_and_few_examples_have_no_interval() -> None:
    codes = np.arange(20) % 2
    assert bootstrap_intervals(lambda w: [kappa(confusion_table(codes, codes, 2, w))], 1, 20) == [
        None
    ]
    assert bootstrap_intervals(lambda weights: [float(weights[0])], 1, 9) == [None]
    assert bootstrap_intervals(lambda weights: [float(weights[0]) or None], 1, 20) == [None]
