"""Tango's interval against published and brute-force figures, and its exact coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from app.analysis.statistics.estimates import rate_interval
from app.analysis.statistics.paired_rates import score, tango_interval
from app.analysis.statistics.significance import mcnemar_mid_p

RATES = [
    (changed, difference)
    for changed in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8)
    for difference in (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
    if difference <= changed
]
"""How many pairs change, and how much worse the candidate is."""


def test_the_interval_is_that_of_fagerland_s_example() -> None:
    # Fagerland, Lydersen and Laake (2014), Statistics in Medicine 33, 2850-2875.
    interval = tango_interval(21, 1, 7)
    assert interval["low"] == pytest.approx(-0.517, abs=5e-4)
    assert interval["high"] == pytest.approx(-0.026, abs=5e-4)


@pytest.mark.parametrize(("n", "wins", "losses"), [(20, 3, 1), (44, 0, 1), (100, 12, 3)])
def test_the_score_takes_the_most_likely_rates_of_a_given_difference(
    n: int, wins: int, losses: int
) -> None:
    for difference in (-0.2, 0.05, 0.3):
        rates = np.linspace(max(0, -difference), (1 - difference) / 2, 400_001)[1:-1]
        likelihood = losses * np.log(rates) + (n - wins - losses) * np.log1p(
            -2 * rates - difference
        )
        if wins:
            likelihood += wins * np.log(rates + difference)
        best = rates[likelihood.argmax()]
        variance = n * (2 * best + difference - difference**2)
        expected = (wins - losses - n * difference) / math.sqrt(variance)
        assert score(n, wins, losses, difference) == pytest.approx(expected, abs=1e-3)


def test_without_a_changed_pair_the_interval_is_that_of_no_successes() -> None:
    interval, known = tango_interval(50, 0, 0), rate_interval(0, 50)
    assert interval["high"] == pytest.approx(known["high"])
    assert interval["low"] == -interval["high"]


@pytest.mark.parametrize(
    ("n", "wins", "losses"), [(0, 0, 0), (1, 1, 0), (1, 0, 1), (9, 9, 0), (9, 0, 9), (10**7, 5, 9)]
)
def test_an_interval_has_a_width_and_stays_within_what_is_possible(
    n: int, wins: int, losses: int
) -> None:
    interval = tango_interval(n, wins, losses)
    assert -1 <= interval["low"] < interval["high"] <= 1
    mirrored = tango_interval(n, losses, wins)
    assert (mirrored["low"], mirrored["high"]) == (-interval["high"], -interval["low"])


@pytest.mark.parametrize("n", [10, 30])
def test_coverage_and_size_are_as_stated_by_exact_enumeration(n: int) -> None:
    tables = [(wins, losses) for wins in range(n + 1) for losses in range(n + 1 - wins)]
    counts = np.array([(wins, losses, n - wins - losses) for wins, losses in tables])
    ends = np.array([list(tango_interval(n, *table).values())[2:] for table in tables], dtype=float)
    lower = np.array([tango_interval(n, *table, 0.9)["low"] for table in tables])
    is_shown = np.array([mcnemar_mid_p(*table) < 0.05 for table in tables])
    for changed, difference in RATES:
        rates = [(changed - difference) / 2, (changed + difference) / 2, 1 - changed]
        chances = stats.multinomial.pmf(counts, n, rates)
        covered = (ends[:, 0] <= -difference) & (-difference <= ends[:, 1])
        assert chances[covered].sum() > 0.93
        if difference:
            # A candidate that is worse by the margin passes as "not worse" in 5 % of all runs.
            assert chances[lower > -difference].sum() < 0.07
        else:
            assert chances[is_shown].sum() < 0.05
