"""pass@k and pass^k of trials, flaky examples, and the gates on them."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from typing import Any

import pytest

from app.errors import InvalidParameter
from app.stores.base import Store
from tests.analysis.test_comparisons import add, compared, predict
from tests.analysis.test_gates import check, gate, outcome


@pytest.fixture
def store(embedded_store: Store) -> Store:
    """Return an empty embedded store: what is tested here is the same on every engine."""
    return embedded_store


def add_trials(store: Store, outcomes: Mapping[str, list[Any]], run: str = "B") -> None:
    """Add the trials of examples, by the names of the examples."""
    values = {
        f"{run}-{name}-{trial}": value
        for name, each in outcomes.items()
        for trial, value in enumerate(each)
    }
    predict(store, run, {name: name.split("-")[1] for name in values})
    add(store, run, values)


def passes(store: Store, **wanted: Any) -> Any:
    (row,) = compared(store, **wanted)
    return row["summaries"]["candidate"]["passes"]


MIXED = {
    "always": [True] * 5,
    "often": [True] * 4 + [False],
    "half": [True, False],
    "rare": [True] + [False] * 4,
    "never": [False] * 5,
}


def test_pass_at_k_and_pass_hat_k_are_the_unbiased_means_over_examples(store: Store) -> None:
    for run in "AB":
        add_trials(store, MIXED, run)
    found = passes(store, k=3)
    counts = [5, 4, 1, 0]
    some = [1 - comb(5 - count, 3) / comb(5, 3) for count in counts]
    every = [comb(count, 3) / comb(5, 3) for count in counts]
    assert found["pass_at_k"]["rate"] == pytest.approx(sum(some) / 4)
    assert found["pass_hat_k"]["rate"] == pytest.approx(sum(every) / 4)
    assert (found["k"], found["examples"], found["left_out"]) == (3, 4, 1)
    low, high = (found["pass_hat_k"]["interval"][end] for end in ("low", "high"))
    assert 0 < low < found["pass_hat_k"]["rate"] < high < 1
    assert found["reason"].startswith("One or more of 3 trials pass with a probability of 65 % (")
    assert found["reason"].endswith(
        "over 4 examples (1 of 5 examples have fewer than 3 trials); 3 are flaky."
    )


def test_the_flaky_examples_are_listed_with_a_trial_of_each_kind(store: Store) -> None:
    for run in "AB":
        add_trials(store, MIXED, run)
    found = passes(store, k=1, worst=2)
    assert found["num_flaky"] == 3
    first, second = found["flaky"]
    assert first == {
        "trials": 2,
        "passes": 1,
        "passing_prediction_id": "B-half-0",
        "failing_prediction_id": "B-half-1",
    }
    assert second["passing_prediction_id"] == "B-often-3"


def test_trials_without_a_value_are_left_out_or_false(store: Store) -> None:
    for run in "AB":
        add_trials(store, {"one": [True, True, None], "two": [True, True, True]}, run)
    left_out = passes(store, k=3)
    assert (left_out["examples"], left_out["left_out"], left_out["failed_trials"]) == (1, 1, 1)
    assert passes(store, k=2)["pass_hat_k"]["rate"] == 1.0
    as_false = passes(store, k=2, failures="as_false")
    assert as_false["pass_hat_k"]["rate"] == pytest.approx((1 + 1 / 3) / 2)


def test_a_trial_passes_if_all_its_annotators_say_so(store: Store) -> None:
    for run in "AB":
        add_trials(store, {"one": [True, True]}, run)
        add(store, run, {f"{run}-one-0": False}, annotator="ann")
    assert passes(store, k=2)["flaky"][0]["failing_prediction_id"] == "B-one-0"


def test_what_is_no_rate_has_no_passes(store: Store) -> None:
    for run in "AB":
        add_trials(store, {"one": [0.5, 0.75]}, run)
    assert passes(store, k=2) is None
    assert "passes" not in compared(store)[0]["summaries"]["candidate"]


# Gates

FOUR = {f"e{place}": [True] * 4 for place in range(8)} | {
    "e8": [True, False] * 2,
    "e9": [False] * 4,
}


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ({"min_pass_at_k": 0.9}, "passed"),
        ({"min_pass_at_k": 0.91}, "failed"),
        ({"min_pass_hat_k": 0.8}, "passed"),
        ({"min_pass_hat_k": 0.81}, "failed"),
        ({"min_pass_hat_k": 0.4, "confidence": "true"}, "passed"),
        ({"min_pass_hat_k": 0.7, "confidence": "true"}, "inconclusive"),
        ({"min_pass_hat_k": 0.99, "confidence": "true"}, "failed"),
    ],
)
def test_a_gate_holds_passes_against_limits(
    store: Store, limits: dict[str, Any], wanted: str
) -> None:
    add_trials(store, FOUR)
    assert outcome(store, k=4, **limits) == wanted


def test_a_gate_claims_nothing_that_failures_and_missing_trials_could_change(store: Store) -> None:
    add_trials(store, {**FOUR, "e7": [True, True, True, None], "short": [True, True]})
    found = check(store, "min_pass_hat_k", k=4, min_pass_hat_k=0.7)
    assert (found["outcome"], found["found"]) == ("inconclusive", pytest.approx(7 / 9))
    assert found["why"] == ("2 of 11 examples have fewer than 4 trials and 1 trial has no value")
    assert outcome(store, k=4, min_pass_hat_k=0.6) == "passed"  # 7 of 11
    assert outcome(store, k=4, min_pass_hat_k=0.9) == "failed"  # 9 of 11
    assert outcome(store, k=1, min_pass_hat_k=0.85) == "inconclusive"  # .84 to .86


def test_without_enough_trials_a_gate_is_inconclusive(store: Store) -> None:
    add_trials(store, {"one": [True] * 2})
    assert check(store, "min_pass_at_k", k=3, min_pass_at_k=0.0)["why"] == "no example has 3 trials"


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"min_pass_at_k": 0.5}, "k"),
        ({"min": 0.5, "k": 2}, "k"),
        ({"min_pass_at_k": 0.5, "k": 2, "leaf": "f1"}, "min_pass_at_k"),
    ],
)
def test_limits_on_passes_that_say_nothing_are_refused(
    store: Store, limits: dict[str, Any], field: str
) -> None:
    add(store, "B", {"p": {"f1": 0.5}})
    with pytest.raises(InvalidParameter) as refused:
        gate(store, **{"leaf": "f1", **limits})
    assert refused.value.name == field
