"""pass@k and pass^k against enumeration of all draws."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean

import numpy as np
import pytest

from app.analysis.statistics.trials import are_flaky, pass_at_k, pass_hat_k

TRIALS = np.array([5, 5, 4, 6, 2])
PASSES = np.array([0, 2, 4, 3, 1])


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_rates_are_the_means_over_all_draws_of_k_trials(k: int) -> None:
    any_passed, all_passed = [], []
    for trials, passes in zip(TRIALS, PASSES, strict=True):
        draws = list(combinations([True] * passes + [False] * (trials - passes), k))
        if draws:
            any_passed.append(fmean(map(any, draws)))
            all_passed.append(fmean(map(all, draws)))
    assert pass_at_k(TRIALS, PASSES, k).rate == pytest.approx(fmean(any_passed))
    assert pass_hat_k(TRIALS, PASSES, k).rate == pytest.approx(fmean(all_passed))


def test_examples_with_too_few_trials_are_left_out_and_counted() -> None:
    result = pass_hat_k(TRIALS, PASSES, 5)
    assert (result.examples, result.left_out) == (3, 2)
    none = pass_at_k(TRIALS, PASSES, 7)
    assert (none.rate, none.interval, none.examples, none.left_out) == (None, None, 0, 5)


def test_a_rate_of_one_or_none_has_an_interval_by_the_number_of_examples() -> None:
    trials = np.full(20, 8)
    best, worst = pass_hat_k(trials, trials, 3), pass_at_k(trials, trials * 0, 3)
    assert (best.rate, worst.rate) == (1.0, 0.0)
    assert best.interval is not None
    assert worst.interval is not None
    assert 0.75 < best.interval["low"] < 0.85
    assert (best.interval["high"], worst.interval["low"]) == (1.0, 0.0)
    assert worst.interval["high"] == pytest.approx(1 - best.interval["low"])


def test_one_example_has_no_interval() -> None:
    assert pass_at_k(np.array([5]), np.array([2]), 2).interval is None


def test_flaky_examples_passed_some_trials_and_failed_others() -> None:
    assert are_flaky(TRIALS, PASSES).tolist() == [False, True, False, True, True]
