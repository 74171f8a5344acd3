"""Comparisons of runs: pairs, tests, verdicts and limits."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from scipy import stats

from app.analysis import run_scores
from app.analysis.comparisons import compare_runs
from app.errors import InvalidParameter, NotFound
from app.examples import example_key
from app.services.keys import COMMAND_LINE
from app.services.runs import change_run
from app.services.scores import create_scores
from app.stores.base import LeafPage, ScoreQuery, Store
from app.stores.model import EvaluationRun
from tests.stores.test_documents import a_prediction, a_run

WANTED: dict[str, Any] = {
    "baseline": "A",
    "candidate": ["B"],
    "scorer": [],
    "leaf": [],
    "pair_by": None,
    "repeats": "current",
    "lower_is_better": [],
    "higher_is_better": [],
    "failures": "exclude",
    "max_unpaired": 0.5,
    "effect": None,
    "histograms": False,
    "slice_by": None,
    "k": None,
    "worst": 10,
}


@pytest.fixture
def store(embedded_store: Store) -> Store:
    """Return an empty embedded store: what is tested here is the same on every engine."""
    return embedded_store


def add(
    store: Store, run: str, values: Mapping[str, Any], scorer: str = "s", **fields: Any
) -> None:
    bodies = [
        {
            "prediction_id": prediction_id,
            "scorer": scorer,
            "value": value,
            "evaluation_run_id": run,
            "idempotency_key": None,
            **fields,
        }
        for prediction_id, value in values.items()
    ]
    create_scores(store, "acme", "demo", "me", bodies)


def numbered(values: list[Any], prefix: str = "p") -> dict[str, Any]:
    return {f"{prefix}{place}": value for place, value in enumerate(values)}


def answered(store: Store, **wanted: Any) -> dict[str, Any]:
    return compare_runs(store, "acme", "demo", {**WANTED, **wanted})


def compared(store: Store, **wanted: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = answered(store, **wanted)["comparisons"]
    return rows


def test_paired_numbers_match_the_t_test_of_scipy(store: Store) -> None:
    chance = random.Random(3)
    before = [chance.random() for _ in range(40)]
    after = [value + chance.gauss(-0.1, 0.1) for value in before]
    add(store, "A", numbered(before))
    add(store, "B", numbered(after))
    (row,) = compared(store, higher_is_better=[""])
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
    assert (row["pairs"]["rose"], row["pairs"]["fell"]) == (40 - losses, losses)
    sign = stats.binomtest(losses, 40).pvalue
    assert row["difference"]["sign_test_p_value"] == pytest.approx(sign)
    assert row["summaries"]["baseline"]["number"]["n"] == 40


def test_the_worst_regressions_come_first_with_their_ids(store: Store) -> None:
    add(store, "A", numbered([1.0] * 8))
    add(store, "B", numbered([1.0, 0.2, 0.9, 2.0, 0.1, 1.0, 0.5, 1.0]))
    (row,) = compared(store, worst=2, higher_is_better=[""])
    first, second = row["regressions"]
    assert [each["prediction_id"] for each in row["improvements"]] == ["p3"]
    assert (first["prediction_id"], second["prediction_id"]) == ("p4", "p1")
    assert (first["baseline_value"], first["candidate_value"]) == (1.0, 0.1)
    assert first["baseline_score_id"] != first["candidate_score_id"]
    assert compared(store, worst=0)[0]["regressions"] == []


def test_booleans_are_tested_by_mcnemar(store: Store) -> None:
    before = [True] * 20 + [False] * 20
    after = [True] * 18 + [False] * 2 + [True] * 14 + [False] * 6
    add(store, "A", numbered(before))
    add(store, "B", numbered(after))
    (row,) = compared(store, higher_is_better=[""])
    assert row["kind"] == "boolean"
    assert row["difference"]["method"] == "mcnemar_mid_p"
    assert row["difference"]["mean"] == pytest.approx(12 / 40)
    assert row["difference"]["p_value"] == pytest.approx(
        stats.binomtest(2, 16).pvalue - stats.binom.pmf(2, 16, 0.5)
    )
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


def test_only_the_current_score_of_a_prediction_counts(store: Store) -> None:
    add(store, "A", {"p": 0.1})
    add(store, "A", {"p": 0.9})
    add(store, "B", {"p": 0.9})
    answer = answered(store)
    (row,) = answer["comparisons"]
    assert (row["pairs"]["compared"], row["pairs"]["ties"]) == (1, 1)
    assert row["summaries"]["baseline"]["attempted"] == 1
    assert answer["superseded"] == {"A": 1, "B": 0}
    assert answer["repeats"] == "current"


def test_all_scores_are_pooled_on_request(store: Store) -> None:
    add(store, "A", {"p": 0.1})
    add(store, "A", {"p": 0.9})
    add(store, "B", {"p": 0.9})
    answer = answered(store, repeats="all")
    (row,) = answer["comparisons"]
    assert row["summaries"]["baseline"]["attempted"] == 2
    assert row["regressions"] == []
    assert row["difference"]["mean"] == pytest.approx(0.4)
    assert (row["pairs"]["compared"], row["pairs"]["trials_in_baseline"]) == (1, 1)
    assert (answer["superseded"], answer["repeats"]) == ({"A": 0, "B": 0}, "all")


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
    assert row["verdict"] == "higher"


def test_too_few_pairs_of_booleans_are_tested_by_fisher(store: Store) -> None:
    add(store, "A", numbered([True] * 18 + [False] * 2, "a"))
    add(store, "B", numbered([True] * 3 + [False] * 17, "b"))
    (row,) = compared(store)
    assert row["difference"]["method"] == "fisher_exact"
    assert row["verdict"] == "lower"


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
    undeclared = {row["leaf"]: row for row in compared(store)}["latency"]
    assert undeclared["verdict"] == "lower"
    assert undeclared["reason"].endswith("so this is neither better nor worse.")
    assert (len(undeclared["falls"]), undeclared["regressions"]) == (10, [])
    assert "wins" not in undeclared["pairs"]
    higher = {row["leaf"]: row for row in compared(store, higher_is_better=["latency"])}
    assert higher["latency"]["verdict"] == "worse"


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
    rows = compared(store, candidate=["B", "C", "B"], higher_is_better=[""])
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
    assert [row["scorer"] for row in compared(store, scorer=["t"])] == ["t"]


def test_a_scorer_in_only_one_run_is_included(store: Store) -> None:
    add(store, "A", numbered([1.0] * 3), "old")
    add(store, "B", numbered([1.0] * 2), "new")
    rows = {row["scorer"]: row for row in compared(store)}
    assert rows["old"]["summaries"]["candidate"]["attempted"] == 0
    assert rows["old"]["summaries"]["candidate"]["coverage"] is None
    assert rows["old"]["summaries"]["candidate"]["number"] is None
    assert rows["old"]["pairs"]["only_in_baseline"] == 3
    assert rows["new"]["pairs"]["only_in_candidate"] == 2
    assert rows["old"]["verdict"] == "not comparable"
    assert rows["new"]["verdict"] == "not enough data"


def test_a_run_without_scores_is_not_found(store: Store) -> None:
    add(store, "A", numbered([1.0]))
    with pytest.raises(NotFound, match="No evaluation run has the id or the name 'B'"):
        compared(store)
    store.add_documents([a_run(id="B")])
    with pytest.raises(NotFound, match="Evaluation run B has no scores"):
        compared(store)


def test_runs_are_also_found_by_name_and_as_the_latest_one(store: Store) -> None:
    for run in ("A", "B", "C"):
        add(store, run, numbered([1.0, 2.0]))
        body = {"name": f"name {run}", "attributes": {"branch": "main"}}
        change_run(store, "acme", "demo", run, body, COMMAND_LINE)
        store.change_document(EvaluationRun, "acme", "demo", run, status="completed")
    found = answered(store, baseline="latest:branch=main", candidate=["name C", "C", "A"])
    assert found["baseline"] == "B"
    assert {each["candidate"] for each in found["comparisons"]} == {"A", "C"}
    found = answered(store, baseline="A", candidate=["latest:branch=main"])
    assert {each["candidate"] for each in found["comparisons"]} == {"C"}


def test_a_scorer_that_a_run_does_not_have_is_named(store: Store) -> None:
    for run in ("A", "B"):
        add(store, run, numbered([1.0]))
    add(store, "C", numbered([1.0]), scorer="another")
    with pytest.raises(NotFound, match="Evaluation run A has no scores by another"):
        compared(store, scorer=["another"], candidate=["C"])


def test_a_scorer_that_is_not_there_is_refused(store: Store) -> None:
    for run in ("A", "B"):
        add(store, run, numbered([1.0]))
    for scorers in (["ss"], ["s", "ss"]):
        with pytest.raises(InvalidParameter, match="'ss'; there is 's'"):
            compared(store, scorer=scorers)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lower_is_better": ["lst[0]"]}, r"has the leaf 'lst\[0\]'; there is 'list\[0\]'"),
        ({"pair_by": "leaf:nothing"}, r"has the leaf 'nothing'; there is 'list\[0\]'"),
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
    monkeypatch.setattr(run_scores, "MAX_SCORES", 3)
    add(store, "A", numbered([1.0] * 2))
    add(store, "B", numbered([1.0] * 2))
    with pytest.raises(InvalidParameter, match="over 3 scores"):
        compared(store)


def test_too_many_values_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_scores, "MAX_VALUES", 11)
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


# Examples and trials


def predict(
    store: Store, run: str, predictions: Mapping[str, Any], *, error: str | None = None
) -> None:
    """Add a prediction for each id, with its inputs or, as a text, the id of its example."""
    store.add_documents(
        [
            a_prediction(
                id=name,
                evaluation_run_id=run,
                example_id=example if isinstance(example, str) else None,
                example_key=example if isinstance(example, str) else example_key(None, example),
                error=error,
            )
            for name, example in predictions.items()
        ]
    )


def test_runs_are_paired_by_example_where_every_prediction_has_one(store: Store) -> None:
    for run in "AB":
        predict(store, run, {f"{run}{number}": {"q": number} for number in range(7)})
        predict(store, run, {f"{run}-given": "an example"})
    values = [number / 10 for number in range(7)]
    add(store, "A", {**numbered(values, "A"), "A-given": 0.5})
    add(store, "B", {**numbered(values, "B"), "B-given": 0.25})
    answer = answered(store)
    (row,) = answer["comparisons"]
    assert answer["pair_by"] == "example"
    assert (row["pairs"]["compared"], row["pairs"]["ties"], row["pairs"]["fell"]) == (8, 7, 1)
    (regression,) = row["falls"]
    assert (regression["prediction_id"], regression["candidate_prediction_id"]) == (
        "A-given",
        "B-given",
    )
    answer = answered(store, pair_by="prediction_id")
    assert answer["pair_by"] == "prediction_id"
    assert answer["comparisons"][0]["pairs"]["compared"] == 0


@pytest.mark.parametrize("lacking", ["scored", "unscored", "only named by a score"])
def test_a_prediction_without_an_example_leaves_the_trials_of_others_together(
    store: Store, lacking: str
) -> None:
    for run in "AB":
        for trial in range(3):
            predict(store, run, {f"{run}/{trial}": {"q": 1}})
            add(store, run, {f"{run}/{trial}": float(trial)})
    if lacking != "only named by a score":
        predict(store, "B", {"bare": {}})
    if lacking != "unscored":
        add(store, "B", {"bare": 1.0})
    answer = answered(store)
    assert answer["pair_by"] == "example"
    pairs = answer["comparisons"][0]["pairs"]
    assert (pairs["compared"], pairs["trials_in_baseline"]) == (1, 3)
    assert pairs["only_in_candidate"] == (lacking != "unscored")


def test_predictions_without_any_example_are_paired_by_their_ids(store: Store) -> None:
    predict(store, "A", {"p": {}})
    for run in "AB":
        add(store, run, {"p": 1.0})
    answer = answered(store)
    assert answer["pair_by"] == "prediction_id"
    assert answer["comparisons"][0]["pairs"]["compared"] == 1


def test_a_run_that_scores_the_predictions_of_another_has_its_examples(store: Store) -> None:
    predict(store, "A", {"p": {"q": 1}})
    predict(store, "C", {"q": {"q": 1}})
    add(store, "B", {"p": 1.0})
    add(store, "C", {"q": 1.0})
    answer = answered(store, baseline="B", candidate=["C"])
    assert answer["pair_by"] == "example"
    assert answer["comparisons"][0]["pairs"]["compared"] == 1


def test_a_difference_is_between_the_means_of_trials(store: Store) -> None:
    chance = random.Random(5)
    means: dict[str, list[float]] = {"A": [], "B": []}
    for run, shift in (("A", 0.0), ("B", 0.2)):
        for example in range(9):
            trials = [chance.random() + shift for _ in range(1 + (example + len(means["B"])) % 3)]
            names = [f"{run}/{example}/{trial}" for trial in range(len(trials))]
            predict(store, run, {name: {"q": example} for name in names})
            add(store, run, dict(zip(names, trials, strict=True)))
            means[run].append(sum(trials) / len(trials))
    (row,) = compared(store)
    expected = stats.ttest_rel(means["B"], means["A"])
    assert row["pairs"]["compared"] == 9
    assert row["pairs"]["trials_in_baseline"] == row["summaries"]["baseline"]["attempted"]
    assert row["difference"]["method"] == "paired_t"
    assert row["difference"]["p_value"] == pytest.approx(expected.pvalue)
    losses = sum(after < before for before, after in zip(means["A"], means["B"], strict=True))
    assert row["pairs"]["fell"] == losses


def test_trials_of_booleans_are_rates(store: Store) -> None:
    rates = {"A": [3, 2, 3, 3, 1, 3, 0], "B": [1, 2, 0, 1, 1, 2, 0]}
    for run, trues in rates.items():
        for example, true in enumerate(trues):
            names = [f"{run}/{example}/{trial}" for trial in range(3)]
            predict(store, run, dict.fromkeys(names, f"e{example}"))
            add(store, run, {name: trial < true for trial, name in enumerate(names)})
    (row,) = compared(store)
    expected = stats.ttest_rel(*[[true / 3 for true in rates[run]] for run in "BA"])
    assert (row["kind"], row["difference"]["method"]) == ("boolean", "paired_t")
    assert row["difference"]["p_value"] == pytest.approx(expected.pvalue)
    assert row["difference"]["mean"] == pytest.approx(-8 / 3 / 7)
    assert (row["pairs"]["trials_in_baseline"], row["pairs"]["trials_in_candidate"]) == (21, 21)
    worst = row["falls"][0]
    assert (worst["baseline_value"], worst["candidate_value"]) == (1.0, 0.0)
    assert (worst["baseline_trials"], worst["candidate_trials"]) == (3, 3)


def test_rates_of_trials_that_are_equal_on_the_whole_differ_by_0(store: Store) -> None:
    for run, trues in {"A": [0, 1, 2, 1, 3, 1], "B": [0, 1, 3, 1, 1, 2]}.items():
        for example, true in enumerate(trues):
            names = [f"{run}/{example}/{trial}" for trial in range(3)]
            predict(store, run, dict.fromkeys(names, f"e{example}"))
            add(store, run, {name: trial < true for trial, name in enumerate(names)})
    (row,) = compared(store)
    assert row["difference"]["mean"] == 0
    assert "(+0 points, " in row["reason"]


def test_trials_of_booleans_without_pairs_are_compared_as_means(store: Store) -> None:
    for run, true in (("A", 2), ("B", 1)):
        for example in range(8):
            names = [f"{run}/{example}/{trial}" for trial in range(2)]
            predict(store, run, dict.fromkeys(names, f"{run}{example}"))
            add(store, run, {name: trial < true for trial, name in enumerate(names)})
        add(store, run, {f"{run}/0/0": False})
    (row,) = compared(store)
    expected = stats.ttest_ind([0.0, *[0.5] * 7], [0.5, *[1.0] * 7], equal_var=False)
    assert row["difference"]["method"] == "welch_t"
    assert row["difference"]["p_value"] == pytest.approx(expected.pvalue)


def test_a_trial_without_a_value_is_not_averaged(store: Store) -> None:
    predict(store, "A", {"a1": "e", "a2": "e", "a3": "f"})
    predict(store, "B", {"b1": "e", "b2": "f"})
    add(store, "A", {"a1": 1.0, "a2": None, "a3": None})
    add(store, "B", {"b1": 1.0, "b2": 1.0})
    (row,) = compared(store)
    assert (row["pairs"]["compared"], row["pairs"]["ties"]) == (1, 1)
    assert (row["pairs"]["failed_in_baseline"], row["pairs"]["trials_in_baseline"]) == (1, 1)
    assert row["summaries"]["baseline"]["coverage"] == pytest.approx(1 / 3)


def test_several_annotators_are_averaged_before_trials(store: Store) -> None:
    predict(store, "A", {"a1": "e", "a2": "e"})
    predict(store, "B", {"b": "e"})
    add(store, "A", {"a1": 0.0, "a2": 1.0})
    add(store, "A", {"a1": 1.0}, annotator="olga")
    add(store, "B", {"b": 0.75})
    (row,) = compared(store)
    assert row["pairs"]["ties"] == 1
    assert row["pairs"]["trials_in_baseline"] == 2


@pytest.mark.parametrize(("prefix", "method"), [("p", "paired_t"), ("q", "welch_t")])
def test_booleans_of_several_annotators_are_rates(store: Store, prefix: str, method: str) -> None:
    before = [True, False, True, True, True, False]
    add(store, "A", numbered(before))
    add(store, "B", numbered(before, prefix))
    add(store, "B", numbered([False] * 4, prefix), annotator="olga")
    (row,) = compared(store, pair_by="prediction_id")
    assert row["difference"]["method"] == method
    assert row["difference"]["mean"] == pytest.approx(-3 * 0.5 / 6)


def test_texts_of_trials_are_compared_as_sets(store: Store) -> None:
    predict(store, "A", {"a1": "e", "a2": "e", "a3": "f"})
    predict(store, "B", {"b1": "e", "b2": "e", "b3": "f", "b4": "f"})
    add(store, "A", {"a1": "x", "a2": "y", "a3": "x"})
    add(store, "B", {"b1": "y", "b2": "x", "b3": "x", "b4": "y"})
    (row,) = compared(store)
    assert (row["pairs"]["changed"], row["pairs"]["unchanged"]) == (1, 1)


# Names of scorers


def test_versions_of_a_scorer_are_one_scorer(store: Store) -> None:
    first, second = (f"weave:///acme/demo/object/exact:v{number}" for number in (0, 1))
    add(store, "A", numbered([0.5] * 6), first)
    add(store, "B", numbered([0.1] * 6), first)
    add(store, "B", numbered([0.5] * 6), second)
    for scorers in ([], ["exact"], [first], [second, "exact"]):
        answer = answered(store, scorer=scorers)
        (row,) = answer["comparisons"]
        assert (row["scorer"], row["pairs"]["ties"]) == ("exact", 6)
        assert answer["superseded"] == {"A": 0, "B": 6}


# Attempts


def test_a_failed_prediction_without_a_score_is_attempted(store: Store) -> None:
    predict(store, "A", {"a1": "e", "a2": "f"})
    predict(store, "B", {"b1": "e"})
    predict(store, "B", {"b2": "f", "b3": "g"}, error="no answer")
    for scorer in "st":
        add(store, "A", {"a1": 1.0, "a2": 1.0}, scorer)
        add(store, "B", {"b1": 1.0}, scorer)
    add(store, "B", {"b2": False}, "t")
    rows = {(row["scorer"], row["kind"]): row for row in compared(store)}
    figures = rows["s", "number"]["summaries"]["candidate"]
    assert (figures["attempted"], figures["scored"], figures["missing"]) == (3, 1, 2)
    assert figures["coverage"] == pytest.approx(1 / 3)
    pairs = rows["s", "number"]["pairs"]
    assert (pairs["compared"], pairs["failed_in_candidate"]) == (1, 1)
    assert (pairs["only_in_baseline"], pairs["only_in_candidate"]) == (0, 1)
    assert rows["t", "boolean"]["summaries"]["candidate"]["attempted"] == 3
    assert compared(store, scorer=["s"])[0]["summaries"]["candidate"]["attempted"] == 3
    for rule in ("order", "leaf:", "prediction_id"):
        (row,) = compared(store, scorer=["s"], pair_by=rule) or [rows["s", "number"]]
        assert row["summaries"]["candidate"]["attempted"] == 3


@pytest.mark.parametrize("is_repeated", [False, True])
def test_superseded_scores_are_looked_up_only_where_there_may_be_some(
    store: Store, monkeypatch: pytest.MonkeyPatch, is_repeated: bool
) -> None:
    add(store, "A", numbered([1.0] * 8))
    add(store, "B", numbered([2.0] * 8))
    if is_repeated:
        add(store, "B", {"p3": 5.0})
    asked: list[tuple[str | None, bool]] = []
    read_leaves = store.read_leaves

    def read(query: ScoreQuery, fields: Sequence[str]) -> Iterator[LeafPage]:
        asked.append((query.evaluation_run_id, query.only_current))
        return read_leaves(query, fields)

    monkeypatch.setattr(store, "read_leaves", read)
    answer = answered(store)
    assert asked == [("A", False), ("B", False), *[("B", True)] * is_repeated]
    assert answer["superseded"] == {"A": 0, "B": int(is_repeated)}
    number = answer["comparisons"][0]["summaries"]["candidate"]["number"]
    assert (number["n"], number["max"]) == (8, 5.0 if is_repeated else 2.0)


def test_superseded_scores_do_not_count_towards_the_limit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_scores, "MAX_SCORES", 20)
    for run in ("A", "B"):
        for value in (1.0, 2.0):
            add(store, run, numbered([value] * 10))
    answer = answered(store)
    assert answer["superseded"] == {"A": 10, "B": 10}
    with pytest.raises(InvalidParameter, match="over 20 scores"):
        answered(store, repeats="all")
