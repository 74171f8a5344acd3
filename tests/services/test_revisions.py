"""The revision of a run changes whenever something of it does, on every engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from app.services.revisions import run_revision
from app.stores.base import Store
from app.stores.model import EvaluationRun, Prediction, Score
from app.stores.weave import ObjectVersion
from tests.stores.test_contract import NOW, a_score


def revision(store: Store) -> str:
    return run_revision(store, "acme", "demo", "run")


def a_run() -> EvaluationRun:
    return EvaluationRun(
        id="run",
        entity="acme",
        project="demo",
        body_hash="",
        evaluation="weave:///acme/demo/object/e:d",
        model="m",
        started_at=NOW,
    )


def a_prediction(prediction_id: str, run_id: str = "run", **fields: Any) -> Prediction:
    prediction = Prediction(
        id=prediction_id,
        entity="acme",
        project="demo",
        body_hash="",
        predict_and_score_call_id="c",
        evaluation_run_id=run_id,
        model="m",
        inputs_json="{}",
        output_json="1",
    )
    return replace(prediction, **fields)


def replace_score(store: Store, score: Score) -> None:
    """Delete a score, and import another one under its id and time."""
    store.delete_scores("acme", "demo", [score.score_id])
    store.add_missing([replace(score, body_hash="other")], partial=True)


def replace_prediction(store: Store, prediction_id: str, sort_id: str) -> None:
    """Delete a prediction, and import another one under its ids and time."""
    store.delete_documents(Prediction, "acme", "demo", [prediction_id])
    store.add_documents([a_prediction(prediction_id, sort_id=sort_id, body_hash="other")])


AN_EVALUATION = ObjectVersion(
    entity="acme",
    project="demo",
    body_hash="1",
    id="e:d",
    object_id="e",
    digest="d",
    kind="object",
    published_at=NOW,
    value_json="{}",
)


def test_every_change_of_a_run_changes_its_revision(store: Store) -> None:
    first, second = (a_score(evaluation_run_id="run") for _ in range(2))
    past = a_score(
        score_id="01900000-0000-7000-8000-000000000000",
        evaluation_run_id="run",
        created_at=NOW - timedelta(days=1),
    )
    changes: list[Callable[[], object]] = [
        lambda: store.add_score(first),
        lambda: store.add_score(second),
        lambda: store.add_documents([a_run()]),
        lambda: store.add_documents([a_prediction("p")]),
        lambda: store.add_documents([a_prediction("q")]),
        lambda: store.change_document(EvaluationRun, "acme", "demo", "run", status="completed"),
        lambda: store.change_document(Prediction, "acme", "demo", "q", ended_at=NOW),
        lambda: store.delete_documents(Prediction, "acme", "demo", ["p"]),
        lambda: store.add_documents([a_prediction("p")]),
        lambda: store.delete_scores("acme", "demo", [first.score_id]),
        lambda: store.add_missing([past], partial=True),  # As many as before, and the same newest.
        lambda: replace_score(store, past),
        lambda: store.add_documents([a_prediction("r", sort_id=past.score_id)]),
        lambda: replace_prediction(store, "r", past.score_id),
        lambda: store.add_documents([AN_EVALUATION]),
        lambda: store.delete_documents(EvaluationRun, "acme", "demo", ["run"]),
    ]
    revisions = [revision(store)]
    for change in changes:
        change()
        revisions.append(revision(store))
    assert len(set(revisions)) == len(changes) + 1


def test_a_revision_stays_the_same_without_a_change_of_the_run(store: Store) -> None:
    store.add_documents([a_run()])
    store.add_documents([a_prediction("p")])
    store.add_score(a_score(evaluation_run_id="run"))
    before = revision(store)
    store.add_score(a_score(evaluation_run_id="another"))
    store.add_score(a_score(evaluation_run_id="run", project="other"))
    store.add_documents([a_prediction("q", "another")])
    store.change_document(Prediction, "acme", "demo", "q", ended_at=NOW)
    assert revision(store) == before


def test_a_run_that_nothing_names_has_a_revision(store: Store) -> None:
    assert revision(store) == run_revision(store, "acme", "demo", "unknown")
