"""Power: what can be found, against statsmodels and exact enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from app.analysis.statistics.power import (
    detectable,
    detectable_rate,
    pairs_needed,
    pairs_needed_for_rate,
)
from app.analysis.statistics.significance import mcnemar_mid_p


def test_what_is_detectable_is_near_the_exact_power_of_statsmodels() -> None:
    # statsmodels 0.15.0: TTestPower().solve_power(nobs=50, alpha=0.05, power=0.8)
    assert detectable(1 / 50**0.5, 49) == pytest.approx(0.4041829997377859, rel=0.005)


def test_the_pairs_needed_are_near_the_exact_power_of_statsmodels() -> None:
    # statsmodels 0.15.0: TTestPower().solve_power(effect_size=0.3, alpha=0.05, power=0.8)
    assert pairs_needed(1.0, 0.3) == pytest.approx(89.14936472045834, abs=1)
    assert pairs_needed(2.0, -0.6) == pairs_needed(1.0, 0.3)


def test_as_many_pairs_as_needed_detect_the_effect() -> None:
    for effect in (0.02, 0.2, 0.9):
        n = pairs_needed(1.0, effect)
        assert n is not None
        assert (detectable(1 / n**0.5, n - 1) or 1) <= effect
        assert (detectable(1 / (n - 1) ** 0.5, n - 2) or 1) > effect


@pytest.mark.parametrize(("n", "changed"), [(20, 0), (100, 0), (100, 10), (100, 30)])
def test_a_detectable_difference_of_rates_is_found_in_four_of_five_runs(
    n: int, changed: int
) -> None:
    difference = detectable_rate(n, changed)
    assert difference is not None
    part = max(difference, changed / n)
    found = 0.0
    for pairs in range(n + 1):
        wins = np.arange(pairs + 1)
        chances = stats.binom.pmf(wins, pairs, (part + difference) / 2 / part)
        shown = [mcnemar_mid_p(each, pairs - each) < 0.05 for each in range(pairs + 1)]
        found += stats.binom.pmf(pairs, n, part) * chances[shown].sum()
    assert 0.79 < found < 0.9


def test_as_many_pairs_as_needed_detect_a_difference_of_rates() -> None:
    n = pairs_needed_for_rate(100, 10, 0.05)
    assert n is not None
    assert detectable_rate(n, round(n / 10)) == pytest.approx(0.05, rel=0.01)


def test_what_cannot_be_known_or_found_is_none() -> None:
    assert detectable(0.0, 9) is None
    assert detectable(0.1, 0) is None
    assert detectable(1e308, 1) is None
    assert detectable_rate(0, 0) is None
    assert detectable_rate(3, 0) is None
    assert pairs_needed(0.0, 0.1) is None
    assert pairs_needed(1.0, 0.0) is None
    assert pairs_needed(1.0, 1e-300) is None
    assert pairs_needed_for_rate(10, 1, 1.5) is None
    assert pairs_needed_for_rate(10, 1, 1e-300) is None


def test_two_pairs_are_the_fewest_that_are_needed() -> None:
    assert pairs_needed(0.001, 1.0) == 2
