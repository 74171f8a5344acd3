"""Comparisons of runs, on every engine: pairs, tests, verdicts and limits."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from scipy import stats

from app.analysis import comparisons
from app.analysis.comparisons import compare_runs
from app.errors import InvalidParameter, NotFound
from app.services.scores import create_scores
from app.stores.base import Store

WANTED: dict[str, Any] = {
    "baseline": "A",
    "candidate": ["B"],
    "scorer": None,
    "pair_by": "prediction_id",
    "lower_is_better": [],
    "worst": 10,
}


def add(store: Store, run: str, values: Mapping[str, Any], scorer: str = "s") -> None:
    bodies = [
        {
            "prediction_id": prediction_id,
            "scorer": scorer,
            "value": value,
            "evaluation_run_id": run,
            "idempotency_key": None,
        }
        for prediction_id, value in values.items()
    ]
    create_scores(store, "acme", "demo", "me", bodies)


def numbered(values: list[Any], prefix: str = "p") -> dict[str, Any]:
    return {f"{prefix}{place}": value for place, value in enumerate(values)}


def compared(store: Store, **wanted: Any) -> list[dict[str, Any]]:
    answer = compare_runs(store, "acme", "demo", {**WANTED, **wanted})
    rows: list[dict[str, Any]] = answer["comparisons"]
    return rows


def test_paired_numbers_match_the_t_test_of_scipy(store: Store) -> None:
    chance = random.Random(3)
    before = [chance.random() for _ in range(40)]
    after = [value + chance.gauss(-0.1, 0.1) for value in before]
    add(store, "A", numbered(before))
    add(store, "B", numbered(after))
    (row,) = compared(store)
    expected = stats.ttest_rel(after, before)
    low, high = expected.confidence_interval()
    assert (row["scorer"], row["leaf"], row["kind"]) == ("s", "", "number")
    assert row["difference"]["paired"] is True
    assert row["difference"]["method"] == "paired_t"
    assert row["difference"]["p_value"] == pytest.approx(expected.pvalue)
    assert row["difference"]["p_adjusted"] == pytest.approx(expected.pvalue)
    assert row["difference"]["interval"]["low"] == pytest.approx(low)
    assert row["difference"]["interval"]["high"] == pytest.approx(high)
    assert row["verdict"] == "worse"
    losses = sum(one < other for one, other in zip(after, before, strict=True))
    assert (row["pairs"]["wins"], row["pairs"]["losses"]) == (40 - losses, losses)
    sign = stats.binomtest(losses, 40).pvalue
    assert row["difference"]["sign_test_p_value"] == pytest.approx(sign)
    assert row["summaries"]["baseline"]["number"]["n"] == 40


def test_the_worst_regressions_come_first_with_their_ids(store: Store) -> None:
    add(store, "A", numbered([1.0] * 8))
    add(store, "B", numbered([1.0, 0.2, 0.9, 2.0, 0.1, 1.0, 0.5, 1.0]))
    (row,) = compared(store, worst=2)
    first, second = row["regressions"]
    assert (first["prediction_id"], second["prediction_id"]) == ("p4", "p1")
    assert (first["baseline_value"], first["candidate_value"]) == (1.0, 0.1)
    assert first["baseline_score_id"] != first["candidate_score_id"]
    assert compared(store, worst=0)[0]["regressions"] == []


def test_booleans_are_tested_by_mcnemar(store: Store) -> None:
    before = [True] * 20 + [False] * 20
    after = [True] * 18 + [False] * 2 + [True] * 14 + [False] * 6
    add(store, "A", numbered(before))
    add(store, "B", numbered(after))
    (row,) = compared(store)
    assert row["kind"] == "boolean"
    assert row["difference"]["method"] == "mcnemar_exact"
    assert row["difference"]["mean"] == pytest.approx(12 / 40)
    assert row["difference"]["p_value"] == pytest.approx(stats.binomtest(2, 16).pvalue)
    assert row["verdict"] == "better"
    assert {each["prediction_id"] for each in row["regressions"]} == {"p18", "p19"}
    assert row["regressions"][0]["candidate_value"] is False


def test_unmatched_and_failed_pairs_are_counted(store: Store) -> None:
    add(
        store, "A", {"both": 1.0, "null-before": None, "gone": 1.0, "other-kind": 1.0, "none": None}
    )
    add(store, "B", {"both": 1.0, "null-before": 1.0, "new": 1.0, "other-kind": True, "none": None})
    number, boolean = sorted(compared(store), key=lambda row: row["kind"], reverse=True)
    pairs = number["pairs"]
    assert number["kind"] == "number"
    assert (pairs["compared"], pairs["ties"]) == (1, 1)
    assert pairs["failed_in_baseline"] == 1
    assert pairs["failed_in_candidate"] == 1
    assert pairs["failed_in_both"] == 1
    assert pairs["only_in_baseline"] == 1
    assert pairs["only_in_candidate"] == 1
    assert boolean["pairs"]["compared"] == 0
    assert boolean["difference"] is None
    assert {row["verdict"] for row in (number, boolean)} == {"not enough data"}


def test_the_newest_score_of_a_prediction_counts(store: Store) -> None:
    add(store, "A", {"p": 0.1})
    add(store, "A", {"p": 0.9})
    add(store, "B", {"p": 0.9})
    (row,) = compared(store)
    assert (row["pairs"]["compared"], row["pairs"]["ties"]) == (1, 1)
    assert (row["pairs"]["repeated_in_baseline"], row["pairs"]["repeated_in_candidate"]) == (1, 0)


def test_too_few_pairs_are_compared_as_two_samples_with_a_note(store: Store) -> None:
    before = [0.1 * number for number in range(20)]
    after = [0.1 * number + 5 for number in range(25)]
    add(store, "A", numbered(before, "a"))
    add(store, "B", numbered(after, "b"))
    (row,) = compared(store)
    expected = stats.ttest_ind(after, before, equal_var=False)
    assert row["difference"]["paired"] is False
    assert row["difference"]["method"] == "welch_t"
    assert row["difference"]["note"] == "too few pairs (0): compared as two samples"
    assert row["difference"]["p_value"] == pytest.approx(expected.pvalue)
    assert row["verdict"] == "better"


def test_too_few_pairs_of_booleans_are_tested_by_fisher(store: Store) -> None:
    add(store, "A", numbered([True] * 18 + [False] * 2, "a"))
    add(store, "B", numbered([True] * 3 + [False] * 17, "b"))
    (row,) = compared(store)
    assert row["difference"]["method"] == "fisher_exact"
    assert row["verdict"] == "worse"


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("order", "x", "y"),
        ("after:/", "run-a/", "run-b/"),
        ("leaf:example", "x", "y"),
    ],
)
def test_runs_with_their_own_prediction_ids_are_paired_by_a_rule(
    store: Store, rule: str, before: str, after: str
) -> None:
    values = [{"example": f"e{number}", "score": number / 10} for number in range(8)]
    add(store, "A", numbered(values, before))
    add(store, "B", numbered(values, after))
    unpaired = {row["leaf"]: row for row in compared(store)}
    assert unpaired["score"]["pairs"]["compared"] == 0
    paired = {row["leaf"]: row for row in compared(store, pair_by=rule)}
    assert paired["score"]["pairs"]["compared"] == paired["score"]["pairs"]["ties"] == 8
    assert ("example" in paired) == (rule != "leaf:example")


def test_ids_are_paired_by_the_part_before_a_separator(store: Store) -> None:
    add(store, "A", {f"ex-{n}#1": n / 10 for n in range(8)})
    add(store, "B", {f"ex-{n}#2": n / 10 for n in range(8)})
    assert compared(store, pair_by="before:#")[0]["pairs"]["compared"] == 8


def test_a_lower_value_wins_when_lower_is_better(store: Store) -> None:
    add(store, "A", numbered([{"latency": 1.0 + n / 50, "f1": 0.5} for n in range(20)]))
    add(store, "B", numbered([{"latency": 0.5 + n / 40, "f1": 0.5} for n in range(20)]))
    rows = {row["leaf"]: row for row in compared(store, lower_is_better=["latency"])}
    assert rows["latency"]["verdict"] == "better"
    assert rows["latency"]["difference"]["mean"] < 0
    assert (rows["latency"]["pairs"]["wins"], rows["latency"]["pairs"]["losses"]) == (20, 0)
    assert rows["f1"]["verdict"] == "no difference shown"
    assert {row["leaf"]: row for row in compared(store)}["latency"]["verdict"] == "worse"


def test_changed_texts_are_counted_without_a_verdict(store: Store) -> None:
    add(store, "A", numbered(["a", "b", "c"]))
    add(store, "B", numbered(["a", "c", "c"]))
    (row,) = compared(store)
    assert (row["kind"], row["verdict"], row["difference"]) == ("text", None, None)
    assert (row["pairs"]["changed"], row["pairs"]["unchanged"]) == (1, 2)
    assert row["regressions"] == []


def test_p_values_are_corrected_over_all_comparisons_and_the_worst_come_first(
    store: Store,
) -> None:
    chance = random.Random(4)
    base = [chance.random() for _ in range(30)]
    for scorer, shift in (("fine", 0.0), ("bad", -0.3), ("good", 0.3)):
        add(store, "A", numbered(base), scorer)
        add(store, "B", numbered([each + shift + chance.gauss(0, 0.1) for each in base]), scorer)
        add(store, "C", numbered([each + chance.gauss(0, 0.1) for each in base]), scorer)
    rows = compared(store, candidate=["B", "C", "B"])
    assert len(rows) == 6
    assert (rows[0]["scorer"], rows[0]["verdict"]) == ("bad", "worse")
    assert (rows[1]["scorer"], rows[1]["verdict"]) == ("good", "better")
    assert {row["verdict"] for row in rows[2:]} == {"no difference shown"}
    smallest = min(row["difference"]["p_value"] for row in rows)
    assert min(row["difference"]["p_adjusted"] for row in rows) == pytest.approx(6 * smallest)


def test_only_the_requested_scorer_is_compared(store: Store) -> None:
    for scorer in "st":
        add(store, "A", numbered([1.0]), scorer)
        add(store, "B", numbered([1.0]), scorer)
    assert [row["scorer"] for row in compared(store, scorer="t")] == ["t"]


def test_a_scorer_in_only_one_run_is_included(store: Store) -> None:
    add(store, "A", numbered([1.0] * 3), "old")
    add(store, "B", numbered([1.0] * 2), "new")
    rows = {row["scorer"]: row for row in compared(store)}
    assert rows["old"]["summaries"]["candidate"]["attempted"] == 0
    assert rows["old"]["summaries"]["candidate"]["coverage"] is None
    assert rows["old"]["summaries"]["candidate"]["number"] is None
    assert rows["old"]["pairs"]["only_in_baseline"] == 3
    assert rows["new"]["pairs"]["only_in_candidate"] == 2
    assert {row["verdict"] for row in rows.values()} == {"not enough data"}


def test_a_run_without_scores_is_not_found(store: Store) -> None:
    add(store, "A", numbered([1.0]))
    with pytest.raises(NotFound, match="Evaluation run B has no scores"):
        compared(store)


def test_a_scorer_that_a_run_does_not_have_is_named(store: Store) -> None:
    for run in ("A", "B"):
        add(store, run, numbered([1.0]))
    with pytest.raises(NotFound, match="Evaluation run A has no scores by another"):
        compared(store, scorer="another")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lower_is_better": ["nothing"]}, "no score of these runs has this leaf"),
        ({"pair_by": "leaf:nothing"}, "no score of these runs has this leaf"),
        ({"lower_is_better": ["list.0"]}, r"is now named 'list\[0\]'"),
        ({"pair_by": "leaf:list.0"}, r"is now named 'list\[0\]'"),
    ],
)
def test_a_leaf_that_no_score_has_is_refused(
    store: Store, changes: dict[str, Any], why: str
) -> None:
    for run in ("A", "B"):
        add(store, run, {"p": {"list": [1.0]}})
    with pytest.raises(InvalidParameter, match=why):
        compared(store, **changes)


def test_too_many_scores_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "MAX_SCORES", 3)
    add(store, "A", numbered([1.0] * 2))
    add(store, "B", numbered([1.0] * 2))
    with pytest.raises(InvalidParameter, match="over 3 scores"):
        compared(store)


def test_too_many_values_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "MAX_VALUES", 11)
    add(store, "A", numbered([{"a": 1, "b": 2}] * 3))
    add(store, "B", numbered([{"a": 1, "b": 2}] * 3))
    with pytest.raises(InvalidParameter, match="over 11 values"):
        compared(store)
    assert compared(store, candidate=["A"])


def test_a_run_does_not_differ_from_itself(store: Store) -> None:
    add(store, "A", numbered([0.1, 0.5, 0.9] * 4))
    (row,) = compared(store, candidate=["A"])
    assert row["verdict"] == "no difference shown"
    assert row["difference"]["p_value"] == 1.0
