"""Significance tests against SciPy and statsmodels, and edge cases without a p-value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from app.analysis.statistics.paired_rates import tango_interval
from app.analysis.statistics.power import detectable_rate
from app.analysis.statistics.significance import (
    ALPHA,
    Difference,
    holm,
    holm_of_possible,
    mcnemar_mid_p,
    of_overlap,
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


def test_pairs_of_booleans_match_the_mid_p_test_of_fagerland_s_example() -> None:
    # Fagerland, Lydersen and Laake (2013): airway hyper-responsiveness of 21 children,
    # 1 and 7 changed; exact p 0.070, mid-p 0.039.
    result = of_paired_booleans(21, 1, 7)
    assert result.method == "mcnemar_mid_p"
    assert result.mean == pytest.approx(-6 / 21)
    assert sign_test(1, 7) == pytest.approx(0.0703125)  # statsmodels 0.15.0: mcnemar(exact=True)
    assert result.p_value == pytest.approx(0.0390625)
    assert result.interval == tango_interval(21, 1, 7)
    assert result.one_sided == tango_interval(21, 1, 7, 0.9)
    assert result.least_p_value == 0.5**8


def test_as_many_wins_as_losses_have_a_mid_p_below_one_only_where_pairs_changed() -> None:
    assert mcnemar_mid_p(0, 0) == 1.0
    assert mcnemar_mid_p(1, 1) == pytest.approx(1 - 0.5 / 2)


def test_two_rates_match_fisher_s_test_and_newcombe_s_interval_of_statsmodels() -> None:
    # statsmodels 0.15.0: confint_proportions_2indep(56, 70, 48, 80, method="newcomb")
    result = of_rates((48, 80), (56, 70))
    assert result.p_value == pytest.approx(0.012521129749209154, rel=1e-9)
    assert result.interval is not None
    assert result.interval["low"] == pytest.approx(0.05243147240236498)
    assert result.interval["high"] == pytest.approx(0.33387265403690614)


@pytest.mark.parametrize("table", [(3, 9, 8, 9), (0, 5, 5, 5), (1, 40, 9, 17), (0, 9, 0, 30)])
def test_fisher_s_test_matches_scipy_and_knows_its_least_p_value(
    table: tuple[int, int, int, int],
) -> None:
    before, before_n, after, after_n = table
    passed = before + after
    p_values = {
        count: stats.fisher_exact(
            [[count, after_n - count], [passed - count, before_n - passed + count]]
        ).pvalue
        for count in range(max(0, passed - before_n), min(passed, after_n) + 1)
    }
    result = of_rates((before, before_n), (after, after_n))
    assert result.p_value == pytest.approx(p_values[after])
    assert result.least_p_value == pytest.approx(min(p_values.values()))


def test_holm_s_correction_matches_statsmodels() -> None:
    # statsmodels 0.15.0: multipletests(..., method="holm")
    assert holm([0.01, 0.04, 0.03, 0.005, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.5])
    assert holm([]) == []


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (6, 0), (3, 3), (10, 2), (2_000, 1_900)])
def test_the_sign_test_matches_the_exact_binomial_test(wins: int, losses: int) -> None:
    n = wins + losses
    expected = stats.binomtest(min(wins, losses), n).pvalue if n else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected)


def test_equal_differences_are_tested_by_exact_permutation_and_their_interval_is_no_point() -> None:
    result = of_pairs(np.full(8, 0.1))
    assert (result.method, result.p_value) == ("exact_permutation", 2 / 2**8)
    assert result.mean == pytest.approx(0.1)
    assert result.interval is None
    bounded = of_pairs(np.zeros(100), reach=0.5)
    assert bounded.interval is not None
    # By hand: 1 - 0.025 ** (1 / 100) = 0.03622, times 0.5.
    assert bounded.interval["low"] == pytest.approx(-0.01811, abs=1e-5)
    assert bounded.interval["high"] == pytest.approx(0.01811, abs=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n", range(2, 13))
def test_the_interval_of_equal_differences_excludes_0_where_their_test_does(
    n: int, sign: int
) -> None:
    result = of_pairs(np.full(n, 0.1 * sign), reach=5.0)
    assert result.interval is not None
    assert result.p_value is not None
    low, high = result.interval["low"], result.interval["high"]
    assert low < 0.1 * sign < high
    assert (low * high > 0) == (result.p_value < ALPHA)


def test_constants_that_stay_have_no_interval_of_zero_width() -> None:
    result = of_pairs(np.zeros(100), reach=0.0)
    assert (result.p_value, result.interval, result.one_sided) == (1.0, None, None)


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


def test_two_constant_samples_are_tested_by_exact_permutation() -> None:
    result = of_samples(np.ones(9), np.zeros(9))
    assert result.method == "exact_permutation"
    assert result.p_value == pytest.approx(2 / math.comb(18, 9))
    assert of_samples(np.ones(9), np.zeros(6)).p_value == pytest.approx(1 / math.comb(15, 6))
    assert of_samples(np.ones(100_000), np.ones(100_000)).p_value == 1.0
    assert of_samples(np.ones(100_000), np.zeros(100_000)).p_value == 0.0


def test_one_constant_sample_is_tested_by_welch() -> None:
    result = of_samples(np.ones(7), CANDIDATE)
    assert result.p_value == pytest.approx(stats.ttest_1samp(CANDIDATE, 1.0).pvalue)


def test_an_offset_of_all_values_does_not_change_the_test() -> None:
    known, moved = of_samples(BASELINE, CANDIDATE), of_samples(BASELINE + 1e15, CANDIDATE + 1e15)
    assert moved.mean == known.mean
    assert moved.p_value == pytest.approx(known.p_value, rel=1e-12)
    assert moved.interval == pytest.approx(known.interval)


def test_partly_paired_samples_match_the_formulas_of_derrick() -> None:
    rng = np.random.default_rng(4)
    paired = rng.normal(size=9)
    before, after = paired + rng.normal(size=9), paired + rng.normal(1, 1, size=9)
    alone, other = rng.normal(size=5), rng.normal(1, 2, size=7)
    result = of_overlap(alone, other, before, after)
    all_before, all_after = np.concatenate([before, alone]), np.concatenate([after, other])
    r, n_a, n_b = np.corrcoef(before, after)[0, 1], len(all_before), len(all_after)
    v_a, v_b = all_before.var(ddof=1), all_after.var(ddof=1)
    square = v_a / n_a + v_b / n_b - 2 * r * math.sqrt(v_a * v_b) * 9 / (n_a * n_b)
    welch = stats.ttest_ind(all_before, all_after, equal_var=False).df
    df = 8 + (welch - 8) / (5 + 7 + 18) * (5 + 7)
    difference = all_after.mean() - all_before.mean()
    assert result.mean == pytest.approx(difference)
    expected = 2 * stats.t.sf(abs(difference) / math.sqrt(square), df)
    assert result.p_value == pytest.approx(expected, rel=1e-9)


def test_the_test_of_partly_paired_samples_is_the_paired_or_welch_s_at_its_ends() -> None:
    none = np.array([])
    paired = of_overlap(none, none, BASELINE, CANDIDATE)
    assert paired.p_value == pytest.approx(of_pairs(CANDIDATE - BASELINE).p_value, rel=1e-9)
    unpaired = of_overlap(BASELINE, CANDIDATE, none, none)
    assert unpaired.p_value == pytest.approx(of_samples(BASELINE, CANDIDATE).p_value, rel=1e-9)


def test_comparisons_that_could_show_nothing_do_not_weaken_the_others() -> None:
    # Of 8 hypotheses only two could be significant in a family of two.
    least = [0.001, 0.02, *[0.4] * 6]
    assert holm_of_possible([0.02, 0.03, *[0.5] * 6], least) == [
        pytest.approx(0.04),
        pytest.approx(0.04),
        *[None] * 6,
    ]
    # Without any least p-value it is Holm's method.
    p_values = [0.01, 0.04, 0.03, 0.005, 0.5]
    assert holm_of_possible(p_values, [0.0] * 5) == pytest.approx(holm(p_values))
    assert holm_of_possible([0.03], [0.2]) == [None]
    assert holm_of_possible([], []) == []


def test_a_family_counts_those_that_could_be_significant_among_as_many() -> None:
    # Each could have 0.02: two of them are possible in a family of two, but three are in none.
    assert holm_of_possible([0.02, 0.02], [0.02, 0.02]) == [0.04, 0.04]
    assert holm_of_possible([0.02] * 3, [0.02] * 3) == [None] * 3


def test_fewer_than_six_pairs_or_four_values_each_can_show_nothing() -> None:
    values = np.array([1.0, 1.1, 0.9, 1.2, 1.05, 0.95])
    assert of_pairs(values[:5]).least_p_value > 0.05
    assert of_pairs(values).least_p_value == 0.0
    assert of_samples(values[:3], values[3:]).least_p_value > 0.05
    assert of_samples(values[:4], values[:4]).least_p_value == 0.0
    assert of_paired_booleans(100, 0, 4).least_p_value > 0.05
    assert of_rates((1, 1), (3, 3)).least_p_value == 1.0


def test_a_difference_says_what_could_have_been_found() -> None:
    differences = CANDIDATE - BASELINE
    error = float(differences.std(ddof=1)) / math.sqrt(7)
    factor = stats.t.ppf(0.975, 6) + stats.norm.ppf(0.8)
    assert of_pairs(differences).detectable == pytest.approx(factor * error)
    assert of_pairs(np.zeros(8)).detectable is None
    assert of_paired_booleans(100, 10, 5).detectable == detectable_rate(100, 15)
    assert of_samples(BASELINE, CANDIDATE).deviation == pytest.approx(
        math.hypot(BASELINE.std(ddof=1), CANDIDATE.std(ddof=1))
    )


def test_partly_paired_constants_are_tested_by_exact_permutation() -> None:
    result = of_overlap(np.ones(2), np.zeros(3), np.ones(10), np.zeros(10))
    assert result.method == "exact_permutation"
    assert result.p_value == pytest.approx(1 / math.comb(25, 12))


any_doubles = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=8).map(np.array)


@given(any_doubles, any_doubles, any_doubles)
def test_any_doubles_have_finite_figures_or_none(
    one: NDArray[np.float64], two: NDArray[np.float64], three: NDArray[np.float64]
) -> None:
    n = min(len(one), len(two))
    for result in (
        of_pairs(one, 1.0),
        of_samples(one, two),
        of_overlap(one[n:], three, one[:n], two[:n]),
    ):
        figures = [result.mean, result.p_value, result.detectable, result.deviation]
        assert all(figure is None or math.isfinite(figure) for figure in figures)
        for interval in (result.interval, result.one_sided):
            assert interval is None or interval["low"] <= interval["high"]


EMPTY, ONE, TWO = np.array([]), np.array([1.0]), np.array([1.0, 2.0])


@pytest.mark.parametrize(
    "result",
    [
        of_pairs(EMPTY),
        of_pairs(ONE),
        of_samples(EMPTY, EMPTY),
        of_samples(EMPTY, TWO),
        of_samples(ONE, TWO),
        of_overlap(EMPTY, EMPTY, EMPTY, EMPTY),
        of_overlap(ONE, EMPTY, EMPTY, EMPTY),
        of_paired_booleans(0, 0, 0),
        of_rates((0, 0), (3, 5)),
    ],
)
def test_samples_that_are_too_small_have_no_p_value(result: Difference) -> None:
    assert result.p_value is None
    assert result.interval is None
    assert result.least_p_value > 0.05 or result.mean is not None


@pytest.mark.parametrize("n", [3, 12, 500])
def test_differences_at_the_edge_of_doubles_are_tested(n: int) -> None:
    some, others = np.tile([0.0, 5e-324], n), np.tile([0.0, 0.0, 1e-323, 5e-324], n)
    for result in (
        of_pairs(some),
        of_samples(some, others),
        of_overlap(some, others, some, others[: 2 * n]),
    ):
        assert result.p_value is not None
        assert 0 <= result.p_value <= 1
