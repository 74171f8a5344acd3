"""Summary, gate, compare and evaluation results count the same scores, on every engine."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from app.analysis.comparisons import compare_runs
from app.analysis.eval_results import query_results
from app.analysis.gates import gate_leaf
from app.analysis.summaries import summarize
from app.schemas.comparisons import CompareQuery
from app.schemas.eval_results import EvalResultsBody
from app.schemas.gates import GateQuery
from app.schemas.summaries import SummaryQuery
from app.services.lists import ClientCheck, no_client_check
from app.services.scores import create_scores
from app.stores.base import ScoreQuery, Store
from app.stores.model import Prediction
from tests.stores.test_documents import a_prediction

PLACE = ("acme", "demo")
RUNS = ("A", "B")
EXACT = [f"weave:///acme/demo/object/exact:v{number}" for number in range(3)]
SCORERS = [*EXACT, "weave:///acme/demo/op/exact.score:v0", "plain", "exact"]
NAMES = {"exact", "plain"}
ANNOTATORS = (None, "", "olga")


def write(store: Store, chance: random.Random) -> None:
    """Write predictions and scores in any order: some failed, null, repeated or corrected."""
    scores = []
    for run in RUNS:
        names = [f"{run}{number}" for number in range(10)]
        store.add_documents([_prediction(name, run, chance) for name in names])
        scores += [_score(chance.choice(names), run, chance) for _ in range(90)]
        scores += [_score(f"only named {number}", run, chance) for number in range(2)]
    chance.shuffle(scores)
    for start in range(0, len(scores), 10):
        create_scores(store, *PLACE, "me", scores[start : start + 10])
    delete = chance.sample(store.list_score_ids(ScoreQuery(*PLACE)), 8)
    store.delete_scores(*PLACE, delete)
    gone = [f"{run}0" for run in RUNS]
    store.delete_documents(Prediction, *PLACE, gone)


def _prediction(name: str, run: str, chance: random.Random) -> Prediction:
    error = chance.choice([None, None, "no answer"])
    example = f"e{chance.randrange(6)}"
    return a_prediction(
        id=name, evaluation_run_id=run, example_id=example, example_key=example, error=error
    )


def _score(prediction_id: str, run: str, chance: random.Random) -> dict[str, Any]:
    failed = chance.random() < 0.2
    value = chance.choice([None, chance.random(), chance.random(), {"other": 1}])
    return {
        "prediction_id": prediction_id,
        "scorer": chance.choice(SCORERS),
        "value": None if failed else value,
        "error": "failed" if failed else None,
        "evaluation_run_id": run,
        "annotator": chance.choice(ANNOTATORS),
        "idempotency_key": None,
    }


def figures_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the counts, and the mean of the numbers."""
    counts = [row[name] for name in ("attempted", "scored", "nulls", "missing", "coverage")]
    return (*counts, (row.get("number") or {}).get("mean"))


def in_summary(store: Store, repeats: str) -> tuple[dict[Any, Any], dict[str, int]]:
    group_by = "evaluation_run_id,scorer_name,leaf"
    wanted = SummaryQuery().load({"group_by": [group_by], "repeats": repeats})
    answer = summarize(store, *PLACE, wanted)
    found = {
        (row["evaluation_run_id"], row["scorer_name"]): figures_of(row)
        for row in answer["groups"]
        if row["leaf"] == ""
    }
    by_run = SummaryQuery().load({"group_by": ["evaluation_run_id"], "repeats": repeats})
    groups = summarize(store, *PLACE, by_run)["groups"]
    return found, {row["evaluation_run_id"]: row["superseded"] for row in groups}


def in_gates(store: Store, repeats: str) -> dict[Any, Any]:
    found = {}
    for run in RUNS:
        for name in sorted(NAMES):
            given = {"run": run, "scorer": name, "min_coverage": "0", "repeats": repeats}
            answer = gate_leaf(store, *PLACE, GateQuery().load(given))
            found[run, name] = figures_of(answer["summaries"]["run"])
    return found


def in_comparison(store: Store, repeats: str) -> tuple[dict[Any, Any], dict[str, int]]:
    given = {"baseline": "A", "candidate": ["B"], "repeats": repeats}
    answer = compare_runs(store, *PLACE, CompareQuery().load(given))
    found = {}
    for row in answer["comparisons"]:
        if (row["leaf"], row["kind"]) == ("", "number"):
            found["A", row["scorer"]] = figures_of(row["summaries"]["baseline"])
            found["B", row["scorer"]] = figures_of(row["summaries"]["candidate"])
    return found, answer["superseded"]


def in_eval_results(store: Store) -> dict[Any, Any]:
    """Return how many scores have a number at the leaf "", and their mean."""
    given = {"evaluation_run_ids": list(RUNS), "include_summary": True}
    answer = query_results(store, *PLACE, EvalResultsBody().load(given))
    return {
        (run["evaluation_call_id"], stats["scorer_key"]): (
            stats["trial_count"],
            pytest.approx(stats["numeric_mean"]),
        )
        for run in answer["summary"]["evaluations"]
        for stats in run["scorer_stats"]
        if stats["path"] is None
    }


@pytest.mark.parametrize("seed", range(4))
def test_all_answers_count_the_same(store: Store, seed: int) -> None:
    write(store, random.Random(seed))
    summary, superseded = in_summary(store, "current")
    comparison, also_superseded = in_comparison(store, "current")
    assert summary == in_gates(store, "current") == comparison
    assert superseded == also_superseded
    assert min(superseded.values()) > 0
    assert in_eval_results(store) == {
        key: (scored, mean) for key, (_, scored, *_, mean) in summary.items()
    }


def test_all_answers_pool_the_same_repeats(store: Store) -> None:
    write(store, random.Random(9))
    summary, superseded = in_summary(store, "all")
    comparison, also_superseded = in_comparison(store, "all")
    assert summary == in_gates(store, "all") == comparison
    assert superseded == also_superseded == {"A": 0, "B": 0}
    assert summary != in_summary(store, "current")[0]


ANSWERS = ("summary", "summary by leaf", "gate", "compare", "eval_results")


def figures_of_run(store: Store, answer: str, run: str, check_client: ClientCheck) -> list[Any]:
    """Return what an answer says of a run: how many are attempted and scored, and the mean."""
    if answer == "eval_results":
        body = EvalResultsBody().load({"evaluation_run_ids": [run], "include_summary": True})
        (found,) = query_results(store, *PLACE, body, check_client)["summary"]["evaluations"]
        (stats,) = found["scorer_stats"]
        return [found["trial_count"], stats["trial_count"], stats["numeric_mean"]]
    if answer == "gate":
        gate = GateQuery().load({"run": run, "scorer": "exact", "min": "0"})
        found = gate_leaf(store, *PLACE, gate, check_client)["summaries"]["run"]
    elif answer == "compare":
        pair = CompareQuery().load({"baseline": run, "candidate": ["summary"]})
        (row,) = compare_runs(store, *PLACE, pair, check_client)["comparisons"]
        found = row["summaries"]["baseline"]
    else:
        group_by = {"summary": "scorer_name", "summary by leaf": "scorer_name,leaf"}[answer]
        wanted = SummaryQuery().load({"group_by": [group_by], "evaluation_run_id": run})
        (found,) = summarize(store, *PLACE, wanted, check_client)["groups"]
    return [found["attempted"], found["scored"], found["number"]["mean"]]


def test_scores_that_arrive_while_an_answer_is_computed_are_not_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.sqlite.leaves.PAGE", 3)
    monkeypatch.setattr("app.stores.sqlite.leaves.MAX_COUNTED", 0)  # A tally for each page.
    monkeypatch.setattr("app.stores.mongo.leaves.PAGE", 3)
    failed = [a_prediction(id=f"{run} x", evaluation_run_id=run, error="no") for run in ANSWERS]
    store.add_documents(failed)
    names = [f"{number}" for number in range(10)]

    def judge(run: str, value: float, *names: str) -> None:
        fields = {"scorer": "exact", "evaluation_run_id": run, "idempotency_key": None}
        scores = [{**fields, "prediction_id": f"{run} {name}", "value": value} for name in names]
        create_scores(store, *PLACE, "me", scores)

    for run in ANSWERS:
        judge(run, 1.0, *names)
        values = iter([0.5])

        def correct_once(run: str = run, values: Iterator[float] = values) -> None:
            for value in values:
                judge(run, value, *names, "x")

        assert figures_of_run(store, run, run, correct_once) == [11, 10, 1.0]
        assert figures_of_run(store, run, run, no_client_check) == [11, 11, 0.5]
