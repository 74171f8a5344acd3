"""Verdicts of comparisons: what they claim, of what they say nothing, and their sentences."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from scipy import stats

from app.errors import InvalidParameter
from app.services.metrics import declare_metrics
from app.stores.base import Store
from app.stores.model import ApiKey
from tests.analysis.test_comparisons import add, answered, compared, numbered
from tests.services.test_metrics import OLGA, a_body


@pytest.fixture
def store(embedded_store: Store) -> Store:
    """Return an empty embedded store: what is tested here is the same on every engine."""
    return embedded_store


def only(store: Store, **wanted: Any) -> dict[str, Any]:
    (row,) = compared(store, **wanted)
    return row


def normal(n: int, mean: float = 0.0, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(mean, 1.0) for _ in range(n)]


# Directions


@pytest.mark.parametrize(
    ("shift", "declared", "verdict"),
    [
        (0.5, {}, "higher"),
        (-0.5, {}, "lower"),
        (0.5, {"higher_is_better": [""]}, "better"),
        (0.5, {"lower_is_better": [""]}, "worse"),
        (-0.5, {"lower_is_better": [""]}, "better"),
    ],
)
def test_better_and_worse_need_a_declared_direction(
    store: Store, shift: float, declared: dict[str, Any], verdict: str
) -> None:
    before = normal(50)
    after = [
        value + shift + noise / 10 for value, noise in zip(before, normal(50, 0, 2), strict=True)
    ]
    add(store, "A", numbered(before))
    add(store, "B", numbered(after))
    row = only(store, **declared)
    assert row["verdict"] == verdict
    assert row["direction"] == next((name.partition("_")[0] for name in declared), None)


def test_a_leaf_that_is_declared_twice_is_refused(store: Store) -> None:
    for run in "AB":
        add(store, run, numbered([1.0]))
    with pytest.raises(InvalidParameter, match="is also in lower_is_better"):
        compared(store, lower_is_better=[""], higher_is_better=[""])


def declare(store: Store, scorer: str, leaf: str = "", **fields: Any) -> None:
    body = {
        "scorer": scorer,
        "leaf": leaf,
        "direction": "none",
        "true_when": None,
        "unit": None,
        "schema": None,
        "schema_mode": "warn",
        "primary": False,
        **fields,
    }
    caller = ApiKey("k", "k", "admin", "*", "me", "", datetime.now(UTC))
    declare_metrics(store, "acme", "demo", [body], caller)


def test_a_direction_that_the_project_declares_decides_unless_the_request_does(
    store: Store,
) -> None:
    for scorer in "st":
        add(store, "A", numbered([1.0 + number / 10 for number in range(10)]), scorer)
        add(store, "B", numbered([2.0 + number / 9 for number in range(10)]), scorer)
    declare(store, "s", direction="lower", unit="seconds")
    rows = {row["scorer"]: row for row in compared(store)}
    assert (rows["s"]["verdict"], rows["t"]["verdict"]) == ("worse", "higher")
    assert (rows["s"]["unit"], rows["t"]["unit"]) == ("seconds", None)
    assert "2.5 seconds" in rows["s"]["reason"]
    assert {row["verdict"] for row in compared(store, higher_is_better=[""])} == {"better"}


def test_texts_that_count_as_true_are_compared_as_rates(store: Store) -> None:
    declare(store, "s", direction="higher", true_when=["yes", "mostly"])
    add(store, "A", numbered(["yes"] * 10 + ["no"] * 30))
    add(store, "B", numbered(["yes"] * 10 + ["mostly"] * 25 + ["no"] * 5))
    row = only(store)
    assert (row["kind"], row["is_rate"], row["verdict"]) == ("text", True, "better")
    assert row["difference"]["mean"] == pytest.approx(25 / 40)
    assert row["improvements"][0]["baseline_value"] == "no"
    assert row["improvements"][0]["candidate_value"] == "mostly"


def test_numbers_that_count_as_true_are_compared_as_rates(store: Store) -> None:
    declare(store, "s", true_when=">= 3")
    add(store, "A", numbered([1, 2, 3, 4, 5] * 8))
    add(store, "B", numbered([3, 4, 3, 4, 5] * 8))
    row = only(store)
    assert (row["kind"], row["verdict"]) == ("number", "higher")
    assert (row["difference"]["baseline"], row["difference"]["candidate"]) == (0.6, 1.0)


def test_primary_metrics_are_a_family_of_their_own(store: Store) -> None:
    declare(store, "main", primary=True)
    chance = random.Random(6)
    for run in "AB":
        for scorer in ("main", "a", "b", "c"):
            add(store, run, numbered([chance.random() for _ in range(9)]), scorer)
    families = {row["scorer"]: row["difference"]["family"] for row in compared(store)}
    assert families == {"main": 1, "a": 3, "b": 3, "c": 3}
    assert [row["scorer"] for row in compared(store) if row["primary"]] == ["main"]


# Failures and what is missing


def test_a_candidate_that_fails_on_what_the_baseline_passes_is_not_comparable(
    store: Store,
) -> None:
    add(store, "A", numbered([True] * 50 + [False] * 50))
    add(store, "B", numbered([True] * 25 + [None] * 25 + [False] * 50))
    row = only(store, higher_is_better=[""])
    assert row["verdict"] == "not comparable"
    assert "failed on 25 examples" in row["reason"]
    assert row["difference"]["mean"] == 0.0
    as_false = only(store, higher_is_better=[""], failures="as_false")
    assert as_false["verdict"] == "worse"
    assert as_false["difference"]["mean"] == pytest.approx(-0.25)
    worst = only(store, higher_is_better=[""], failures="worst")
    assert worst["difference"]["bounds"] == {"low": pytest.approx(-0.25), "high": 0.0}
    assert worst["verdict"] == "no difference shown"
    assert worst["difference"]["interval"]["low"] < -0.25


def test_few_failures_on_both_sides_leave_runs_comparable(store: Store) -> None:
    add(store, "A", numbered([True] * 95 + [None] * 3 + [False] * 2))
    add(store, "B", numbered([None] * 5 + [True] * 93 + [False] * 2))
    assert only(store)["verdict"] == "no difference shown"


def test_failures_at_their_worst_still_show_a_large_difference(store: Store) -> None:
    add(store, "A", numbered([False] * 60 + [True] * 40))
    add(store, "B", numbered([None] * 2 + [True] * 98))
    row = only(store, higher_is_better=[""], failures="worst")
    assert row["verdict"] == "better"
    assert 0 < row["difference"]["bounds"]["low"] < row["difference"]["bounds"]["high"]


def tried(*examples: list[Any]) -> dict[str, Any]:
    """Return values by prediction id, of which the part before # is the example."""
    return {
        f"e{place}#{trial}": value
        for place, values in enumerate(examples)
        for trial, value in enumerate(values)
    }


@pytest.mark.parametrize("of_trials", [[True], [True, True, True, True, True]])
def test_a_candidate_that_fails_on_trials_is_not_comparable(
    store: Store, of_trials: list[Any]
) -> None:
    add(store, "A", tried(*[of_trials] * 20))
    add(store, "B", tried(*[[True, None, None, None, None]] * 20))
    given = {"pair_by": "before:#", "higher_is_better": [""]}
    row = only(store, **given)
    assert row["verdict"] == "not comparable"
    assert row["reason"].endswith(
        "the candidate failed on more trials than the baseline of 20 examples, and on fewer of 0 "
        "examples."
    )
    as_false = only(store, failures="as_false", **given)
    assert as_false["verdict"] == "worse"
    assert as_false["difference"]["mean"] == pytest.approx(-0.8)
    worst = only(store, failures="worst", **given)
    assert worst["verdict"] == "no difference shown"
    assert worst["difference"]["bounds"] == {"low": pytest.approx(-0.8), "high": 0.0}


def test_runs_that_fail_on_as_many_trials_are_comparable(store: Store) -> None:
    add(store, "A", tried(*[[True, None], [None, False]] * 10))
    add(store, "B", tried(*[[None, True], [True, None]] * 10))
    row = only(store, pair_by="before:#")
    assert row["verdict"] == "higher"
    assert row["difference"]["mean"] == 0.5


def test_failed_trials_of_numbers_are_between_their_worst_and_their_best(store: Store) -> None:
    before = normal(30)
    add(store, "A", tried(*[[value] for value in before]))
    add(store, "B", tried(*[[value, None] for value in before]))
    bounds = only(store, pair_by="before:#", failures="worst")["difference"]["bounds"]
    mean = math.fsum(before) / 30
    assert bounds["low"] == pytest.approx((min(before) - mean) / 2)
    assert bounds["high"] == pytest.approx((max(before) - mean) / 2)


def test_texts_of_a_candidate_that_fails_are_not_comparable(store: Store) -> None:
    add(store, "A", numbered(["x", "y"] * 50))
    add(store, "B", numbered([None] * 50 + ["x", "y"] * 25))
    row = only(store)
    assert row["verdict"] == "not comparable"
    assert "failed on 50 examples that the baseline has a value for" in row["reason"]
    add(store, "C", numbered(["x", "y"] * 10))
    row = only(store, candidate=["C"])
    assert "80 of the 100 examples of the baseline are not in the candidate" in row["reason"]


@pytest.mark.parametrize("failures", ["exclude", "as_false", "worst"])
def test_two_samples_of_which_one_failed_more_often_are_not_comparable(
    store: Store, failures: str
) -> None:
    add(store, "A", numbered([True] * 60 + [False] * 40, "a"))
    add(store, "B", numbered([True] * 60 + [None] * 40, "b"))
    row = only(store, failures=failures)
    assert row["verdict"] == "not comparable"
    assert row["reason"].endswith(
        "the candidate failed on 40 of its 100 examples, the baseline on 0 of its 100 examples."
    )


@pytest.mark.parametrize("failed", [30, 3])
def test_runs_whose_shared_examples_failed_are_not_taken_for_two_samples(
    store: Store, failed: int
) -> None:
    add(store, "A", numbered([None] * failed + [True] * 30 + [False] * 40))
    add(store, "B", numbered([True] * 8))
    row = only(store, higher_is_better=[""])
    assert row["verdict"] == "not comparable"
    assert row["pairs"]["compared"] == max(8 - failed, 0)


def test_values_of_another_kind_are_not_called_failures(store: Store) -> None:
    add(store, "A", numbered([1, 0] * 20))
    add(store, "B", numbered([True, False] * 20))
    for row, kind in zip(compared(store), ("boolean", "number"), strict=True):
        assert (row["kind"], row["verdict"]) == (kind, "not comparable")
        assert f"the candidate has no {kind} for " in row["reason"]
        assert "failed" not in row["reason"]


def test_numbers_have_no_false_for_failures(store: Store) -> None:
    add(store, "A", numbered(normal(20)))
    add(store, "B", numbered([None, *normal(19, 0, 2)]))
    row = only(store, failures="as_false")
    assert row["pairs"]["compared"] == 19
    assert "neither true nor false" in row["difference"]["note"]


def test_a_candidate_that_ran_only_the_easiest_examples_is_not_comparable(store: Store) -> None:
    add(store, "A", numbered([True] * 50 + [False] * 50))
    add(store, "B", numbered([True] * 10))
    row = only(store)
    assert row["verdict"] == "not comparable"
    assert "90 of the 100 examples of the baseline are not in the candidate" in row["reason"]
    assert only(store, max_unpaired=0.9)["verdict"] == "no difference shown"


def test_a_note_says_that_most_of_the_smaller_run_is_not_paired(store: Store) -> None:
    add(store, "A", numbered(normal(100)))
    add(store, "B", {f"p{number}": value for number, value in enumerate(normal(100, 0, 2), 60)})
    row = only(store, max_unpaired=1.0)
    assert row["difference"]["note"] == "only 40 of the smaller run's 100 examples are paired"
    overlap = row["difference"]["overlap"]
    assert overlap["method"] == "partially_overlapping_t"
    means = [row["summaries"][run]["number"]["mean"] for run in ("baseline", "candidate")]
    assert overlap["mean"] == pytest.approx(means[1] - means[0])
    assert "overlap" not in only(store, candidate=["A"])["difference"]


# Methods


def test_numbers_that_are_all_0_or_1_are_compared_as_rates(store: Store) -> None:
    add(store, "A", numbered([1] * 20 + [0] * 20))
    add(store, "B", numbered([1.0] * 35 + [0.0] * 5))
    row = only(store)
    assert (row["kind"], row["is_rate"]) == ("number", True)
    assert row["difference"]["method"] == "mcnemar_mid_p"
    assert row["rises"][0]["candidate_value"] == 1.0
    assert row["summaries"]["candidate"]["number"]["interval"]["method"] == "wilson"
    add(store, "B", {"more": 0.5})
    assert only(store)["difference"]["method"] == "paired_t"


def test_equal_differences_are_tested_by_permutation_and_are_not_certain(store: Store) -> None:
    before = normal(20)
    add(store, "A", numbered(before))
    add(store, "B", numbered([value + 0.5 for value in before]))
    row = only(store)
    assert row["difference"]["method"] == "exact_permutation"
    assert row["difference"]["p_value"] == pytest.approx(2 / 2**20)
    assert row["verdict"] == "higher"
    interval = row["difference"]["interval"]
    assert interval is None or interval["low"] < 0.5 < interval["high"]


def test_constants_of_unpaired_runs_differ_by_permutation(store: Store) -> None:
    add(store, "A", numbered([0.25] * 100, "a"))
    add(store, "B", numbered([0.75] * 100, "b"))
    row = only(store)
    assert row["difference"]["paired"] is False
    assert row["difference"]["method"] == "exact_permutation"
    assert row["verdict"] == "higher"


def test_five_pairs_are_not_enough_data(store: Store) -> None:
    add(store, "A", numbered([0.1, 0.2, 0.3, 0.4, 0.5]))
    add(store, "B", numbered([0.6, 0.7, 0.9, 0.9, 0.91]))
    row = only(store)
    assert row["verdict"] == "not enough data"
    assert row["reason"].endswith(
        "5 examples with a value in both runs could not show any difference; at least 6 are needed."
    )


# Many comparisons


def test_comparisons_that_can_show_nothing_weaken_no_other(store: Store) -> None:
    chance = random.Random(4)
    before = [chance.random() for _ in range(30)]
    for scorer in "abcdefgh":
        add(store, "A", numbered([0.5, 0.5]), f"tiny {scorer}")
        add(store, "B", numbered([0.7, 0.5]), f"tiny {scorer}")
    add(store, "A", numbered(before), "real")
    add(store, "B", numbered([each + 0.1 + chance.gauss(0, 0.2) for each in before]), "real")
    answer = answered(store)
    rows = {row["scorer"]: row for row in answer["comparisons"]}
    assert rows["real"]["difference"]["family"] == 1
    assert rows["real"]["difference"]["p_adjusted"] == rows["real"]["difference"]["p_value"]
    assert rows["tiny a"]["difference"]["p_adjusted"] is None
    assert rows["tiny a"]["verdict"] == "not enough data"


def test_named_leaves_and_scorers_are_the_whole_family(store: Store) -> None:
    chance = random.Random(5)
    for run in "AB":
        for scorer in "st":
            add(
                store,
                run,
                numbered([{"x": chance.random(), "y": chance.random()} for _ in range(9)]),
                scorer,
            )
    assert {row["difference"]["family"] for row in compared(store)} == {4}
    rows = compared(store, scorer=["s", "t"], leaf=["x"])
    assert {row["difference"]["family"] for row in rows} == {2}
    assert [row["scorer"] for row in rows] == ["s", "t"]
    with pytest.raises(InvalidParameter, match="has the leaf 'z'"):
        compared(store, leaf=["z"])


# Power


def test_a_comparison_says_what_it_could_have_found(store: Store) -> None:
    before, noise = normal(100), normal(50, 0, 2)
    noise += [-each for each in noise]
    after = [value + each / 2 for value, each in zip(before, noise, strict=True)]
    add(store, "A", numbered(before))
    add(store, "B", numbered(after))
    row = only(store, effect=0.05)
    changes = [one - other for one, other in zip(after, before, strict=True)]
    error = stats.sem(changes)
    found = (stats.t.ppf(0.975, 99) + stats.norm.ppf(0.8)) * error
    assert row["difference"]["detectable"] == pytest.approx(found)
    assert f"{found:.4g}" in row["reason"]
    needed = row["difference"]["pairs_needed"]
    assert needed == pytest.approx(((1.96 + 0.8416) * error * 10 / 0.05) ** 2, rel=0.01)
    assert "pairs_needed" not in only(store)["difference"]


def test_the_figures_of_a_metric_whose_true_values_are_declared_fit_together(
    store: Store,
) -> None:
    bodies: list[dict[str, Any]] = [
        {"scorer": "s", "true_when": ">= 0.5"},
        {"scorer": "t", "true_when": ["yes"]},
        {"scorer": "u"},
    ]
    declare_metrics(store, "acme", "demo", [a_body(**each) for each in bodies], OLGA)
    for run, true in (("A", 47), ("B", 57)):
        add(store, run, numbered([0.7 if place < true else 0.1 for place in range(100)]))
        texts = ["yes" if place < true else "no" for place in range(100)]
        add(store, run, numbered(texts), "t")
        add(store, run, numbered([place < true for place in range(100)]), "u")
    numbers, words, booleans = (row["summaries"]["candidate"] for row in compared(store))
    assert numbers["rate"] == words["rate"] == booleans["boolean"]
    assert numbers["rate"]["true"] == 57
    interval = numbers["number"]["interval"]
    assert interval["method"] == "student_t"
    assert interval["low"] < numbers["number"]["mean"] < interval["high"]


# Sentences


def test_the_reason_of_a_verdict_has_its_figures(store: Store) -> None:
    add(store, "A", numbered([True] * 50 + [False] * 50), "Exact")
    add(store, "B", numbered([True] * 80 + [False] * 20), "Exact")
    row = only(store, higher_is_better=[""])
    assert row["reason"].startswith(
        "The candidate is better: Exact rose from 50 % to 80 % (+30 points, 95 % interval +"
    )
    assert row["reason"].endswith(" over 100 examples.")


def test_the_reason_of_two_samples_has_the_size_of_both(store: Store) -> None:
    add(store, "A", numbered([True] * 30 + [False] * 10, "a"))
    add(store, "B", numbered([True] * 8 + [False] * 22, "b"))
    assert only(store)["reason"].startswith("s fell from 75 % to 26.7 % (-48.3 points, 95 % ")
    assert "over 40 examples and 30 others;" in only(store)["reason"]


def test_the_reason_of_failures_at_their_worst_has_their_bounds(store: Store) -> None:
    add(store, "A", numbered([True] * 60 + [False] * 40))
    add(store, "B", numbered([None] * 30 + [True] * 30 + [False] * 30 + [True] * 10))
    assert only(store, failures="worst")["reason"] == (
        "No difference shown: s went from 42.9 % to 57.1 % over 70 examples; whatever the failures "
        "would have been, the difference is -20 points to +10 points (95 % interval -31.7 points "
        "to +17.4 points)."
    )


def test_the_smallest_difference_of_rates_is_in_points_and_that_of_one_comparison(
    store: Store,
) -> None:
    for run, true in (("A", 50), ("B", 52)):
        add(store, run, numbered([place < true for place in range(100)]))
    found = " points or more would probably have been found"
    assert only(store)["reason"].endswith(f"{found}.")
    for run, true in (("A", 30), ("B", 39)):
        add(store, run, numbered([place < true for place in range(100)]), "t")
    row = compared(store)[-1]
    assert (row["verdict"], row["difference"]["family"]) == ("no difference shown", 1)
    add(store, "A", numbered([place < 50 for place in range(100)]), "u")
    add(store, "B", numbered([place < 38 or place >= 93 for place in range(100)]), "u")
    row = compared(store, scorer=["t", "u"])[-1]
    assert (row["verdict"], row["difference"]["family"]) == ("no difference shown", 2)
    assert row["reason"].endswith(f"{found} in a comparison by itself.")


def test_an_interval_without_0_beside_a_test_that_shows_nothing_is_explained(store: Store) -> None:
    add(store, "A", numbered([True] * 60))
    add(store, "B", numbered([False] * 4 + [True] * 56))
    row = only(store)
    assert row["difference"]["p_value"] == 0.0625
    assert row["difference"]["interval"]["high"] < 0
    assert row["verdict"] == "no difference shown"
    why = "; this can be chance, by the test, which is more exact than the interval."
    assert row["reason"].endswith(why)


def test_five_booleans_that_all_could_change_are_enough(store: Store) -> None:
    add(store, "A", numbered([True] * 5))
    add(store, "B", numbered([False] * 4 + [True]))
    assert only(store)["verdict"] == "no difference shown"
    add(store, "A", numbered([True] * 4), "t")
    add(store, "B", numbered([False] * 4), "t")
    row = only(store, scorer=["t"])
    assert row["reason"].endswith("could not show any difference; at least 5 are needed.")
    add(store, "B", {"p4": False})
    assert only(store, scorer=["s"])["verdict"] == "lower"


# What is left out


def test_the_more_metrics_are_compared_the_fewer_changes_of_each_are_listed(store: Store) -> None:
    for run in "AB":
        values = [dict.fromkeys(map(str, range(20)), one) for one in normal(50, seed=ord(run))]
        add(store, run, numbered(values))
    given = {"higher_is_better": [str(leaf) for leaf in range(20)], "worst": None}
    whole = answered(store, **given)
    assert {len(row["regressions"]) for row in whole["comparisons"]} == {1}
    assert len(json.dumps(whole)) < 60_000
    assert len(only(store, leaf=["3"], **given)["regressions"]) == 10
    assert [len(row["falls"]) for row in compared(store, leaf=["3", "4", "5"], worst=None)] == [
        6,
        6,
        6,
    ]


def test_histograms_are_left_out_unless_asked_for(store: Store) -> None:
    for run in "AB":
        add(store, run, numbered(normal(20)))
    assert "histogram" not in only(store)["summaries"]["baseline"]["number"]
    assert "histogram" in only(store, histograms=True)["summaries"]["baseline"]["number"]


def test_texts_say_what_became_of_what(store: Store) -> None:
    add(store, "A", numbered(["yes"] * 6 + ["no"] * 4))
    add(store, "B", numbered(["yes"] * 3 + ["no"] * 6 + ["maybe"]))
    row = only(store)
    assert row["changes"] == [
        {"baseline_value": "yes", "candidate_value": "no", "count": 3},
        {"baseline_value": "no", "candidate_value": "maybe", "count": 1},
    ]
    assert (row["verdict"], row["reason"]) == (None, "s changed in 4 of 10 examples.")
    assert row["categories"]["method"] == "stuart_maxwell"


def test_categories_whose_shares_changed_are_said_to_have(store: Store) -> None:
    add(store, "A", numbered(["yes"] * 30 + ["no"] * 10))
    add(store, "B", numbered(["yes"] * 10 + ["no"] * 20 + ["no"] * 10))
    row = only(store)
    expected = stats.chi2.sf(20, 1)  # McNemar's test without correction: (20 - 0)^2 / 20.
    assert row["categories"]["p_value"] == pytest.approx(expected)
    assert row["reason"].endswith("the shares of its categories changed by more than chance.")


def test_texts_of_many_kinds_are_no_categories(store: Store) -> None:
    add(store, "A", numbered([f"because {number}" for number in range(30)]))
    add(store, "B", numbered([f"since {number}" for number in range(30)]))
    row = only(store)
    assert (row["categories"], len(row["changes"])) == (None, 20)
