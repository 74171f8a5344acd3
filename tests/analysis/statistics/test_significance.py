"""Significance tests against SciPy and statsmodels, and edge cases without a p-value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from app.analysis.statistics.significance import (
    holm,
    of_paired_booleans,
    of_pairs,
    of_rates,
    of_samples,
    sign_test,
)

BASELINE = np.array([1, 2, 3, 4, 5, 6.5, 8])
CANDIDATE = np.array([2, 2, 5, 4, 7, 9, 1], dtype=float)


def test_pairs_of_numbers_match_the_paired_t_test_of_statsmodels() -> None:
    # statsmodels 0.15.0: DescrStatsW(candidate - baseline)
    result = of_pairs(CANDIDATE - BASELINE)
    assert result.method == "paired_t"
    assert result.mean == pytest.approx(0.07142857142857142)
    assert result.p_value == pytest.approx(0.9558099240293646, rel=1e-9)
    assert result.interval is not None
    assert result.interval["low"] == pytest.approx(-2.9541574652827767)
    assert result.interval["high"] == pytest.approx(3.09701460813992)


def test_two_samples_match_the_welch_test_of_statsmodels() -> None:
    # statsmodels 0.15.0: CompareMeans, usevar="unequal"
    result = of_samples(BASELINE, CANDIDATE)
    assert result.method == "welch_t"
    assert result.p_value == pytest.approx(0.9615545371633863, rel=1e-9)
    assert result.interval is not None
    assert result.interval["low"] == pytest.approx(-3.098247734806544)
    assert result.interval["high"] == pytest.approx(3.241104877663686)


def test_pairs_of_booleans_match_the_exact_mcnemar_test_of_statsmodels() -> None:
    # statsmodels 0.15.0: mcnemar([[50, 3], [12, 35]], exact=True)
    result = of_paired_booleans(100, 12, 3)
    assert result.method == "mcnemar_exact"
    assert result.mean == pytest.approx(0.09)
    assert result.p_value == pytest.approx(0.03515625)
    # By hand: (9 / 102) ± 1.959964 * sqrt(16 - 81 / 102) / 102
    assert result.interval is not None
    assert result.interval["low"] == pytest.approx(0.01330, abs=1e-4)
    assert result.interval["high"] == pytest.approx(0.16317, abs=1e-4)


def test_two_rates_match_fisher_s_test_and_newcombe_s_interval_of_statsmodels() -> None:
    # statsmodels 0.15.0: confint_proportions_2indep(56, 70, 48, 80, method="newcomb")
    result = of_rates((48, 80), (56, 70))
    assert result.p_value == pytest.approx(0.012521129749209154, rel=1e-9)
    assert result.interval is not None
    assert result.interval["low"] == pytest.approx(0.05243147240236498)
    assert result.interval["high"] == pytest.approx(0.33387265403690614)


def test_holm_s_correction_matches_statsmodels() -> None:
    # statsmodels 0.15.0: multipletests(..., method="holm")
    assert holm([0.01, 0.04, 0.03, 0.005, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.5])
    assert holm([]) == []


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (6, 0), (3, 3), (10, 2), (2_000, 1_900)])
def test_the_sign_test_matches_the_exact_binomial_test(wins: int, losses: int) -> None:
    n = wins + losses
    expected = stats.binomtest(min(wins, losses), n).pvalue if n else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected)


def test_equal_differences_are_tested_by_their_sign() -> None:
    result = of_pairs(np.full(8, 0.1))
    assert (result.method, result.p_value) == ("sign_test", 2 / 2**8)
    assert result.mean == pytest.approx(0.1)


def test_zero_differences_have_a_p_value_of_one() -> None:
    result = of_pairs(np.zeros(8))
    assert (result.mean, result.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("values", [[0.5], [1e308, -1e308, float("inf")]])
def test_a_figure_that_cannot_be_computed_is_none(values: list[float]) -> None:
    result = of_pairs(np.array(values))
    assert result.p_value is None
    assert result.interval is None


@pytest.mark.parametrize("unit", [1e-300, 1e-170, 1e160, 1e300])
def test_the_unit_of_the_numbers_does_not_change_the_p_value(unit: float) -> None:
    differences = np.array([1.0, -0.5, 2.0, 3.0, 0.25, -1.0, 2.5])
    before = differences - 1
    for scaled, known in (
        (of_pairs(differences * unit), of_pairs(differences)),
        (of_samples(before * unit, differences * unit), of_samples(before, differences)),
    ):
        assert scaled.p_value == pytest.approx(known.p_value, rel=1e-9)
        assert scaled.interval is not None
        assert known.interval is not None
        for end in ("low", "high"):
            assert scaled.interval[end] == pytest.approx(known.interval[end] * unit, rel=1e-9)


def test_two_constant_samples_have_no_p_value() -> None:
    assert of_samples(np.ones(9), np.zeros(9)).p_value is None
