"""Documents and scores that are added together: one contract for every engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.errors import KeyReused, StoreUnavailable
from app.stores.base import Kept, SharedKey, Store
from app.stores.model import Document, EvaluationRun, Prediction, Score
from app.stores.mongo import store as mongo_store
from app.stores.mongo.store import MongoStore
from app.stores.mongo.transactions import has_transactions
from app.stores.sqlite import store as sqlite_store
from tests.stores.test_contract import a_score
from tests.stores.test_documents import (
    MAKE,
    a_prediction,
    a_run,
    add,
    kept,
    kinds,
    query,
    stored,
)


def test_what_is_not_refused_is_added(store: Store) -> None:
    taken, run, score = a_prediction(id="p", evaluation_run_id="r"), a_run(id="r"), a_score()
    add(store, taken)
    store.add_missing([score], partial=True)
    groups: list[list[Document]] = [
        [a_prediction(id="q"), replace(taken, evaluation_run_id="other"), taken],
        [run, replace(run, evaluation="other"), run],
    ]
    scores = [replace(score, value_json="2"), score, a_score()]
    (predictions, runs), outcomes = store.add_accepted(groups, scores)
    assert kept(predictions) == [Kept.CREATED, Kept.ID_TAKEN, Kept.PRESENT]
    assert kept(runs) == [Kept.CREATED, Kept.ID_TAKEN, Kept.PRESENT]
    assert [each.kept for each in outcomes] == [Kept.ID_TAKEN, Kept.PRESENT, Kept.CREATED]
    assert (stored(store, Prediction), stored(store, EvaluationRun)) == (["p", "q"], ["r"])
    assert store.find_score("acme", "demo", outcomes[2].id) is not None
    assert store.add_accepted([], []) == ([], [])


def test_nothing_is_added_if_a_part_fails(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(store, MongoStore) and not has_transactions(store._client):
        pytest.skip("there are no transactions")

    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_store, "add_missing", fail)
        patch.setattr(mongo_store, "add_new_scores", fail)
        with pytest.raises(StoreUnavailable, match="interrupted"):
            store.add_accepted([[a_run(id="r")], [a_prediction(id="p")]], [a_score()])
    assert (stored(store, Prediction), stored(store, EvaluationRun)) == ([], [])


def test_a_key_of_a_whole_call_is_used_once(store: Store) -> None:
    def call(content: str, groups: list[list[Document]], scores: list[Score]) -> list[Kept]:
        key = SharedKey("acme", "demo", "k import ", content)
        fields: dict[str, Any] = {"idempotency_key": "k import 0", "body_hash": content}
        added, outcomes = store.add_accepted(
            [[replace(each, **fields) for each in group] for group in groups],
            [replace(each, **fields) for each in scores],
            key,
        )
        return [*(each.kept for group in added for each in group), *(o.kept for o in outcomes)]

    run, score, there = a_run(id="r"), a_score(), a_prediction(id="p")
    add(store, there)
    groups: list[list[Document]] = [[run], [there]]
    assert call("1", groups, [score]) == [Kept.CREATED, Kept.PRESENT, Kept.CREATED]
    assert call("1", groups, [score]) == [Kept.REPLAYED, Kept.PRESENT, Kept.REPLAYED]
    for other in (a_run(id="x"), a_prediction(id="q"), run):
        with pytest.raises(KeyReused):
            call("2", [[other]], [])
    assert (stored(store, Prediction), stored(store, EvaluationRun)) == (["p"], ["r"])
    store.begin_deletions("acme", "demo", ["r"], "key")
    with pytest.raises(KeyReused):
        call("2", [[a_prediction(id="q")]], [])
    assert store.delete_scores("acme", "demo", [score.score_id]) == 1
    assert call("2", [[a_prediction(id="q")]], []) == [Kept.CREATED]


@kinds
def test_a_sort_id_that_another_document_has_is_changed(store: Store, kind: type[Document]) -> None:
    made = [
        MAKE[kind](id=f"x{n}", sort_id=f"018cc251-f400-7000-8000-{n:04x}00000000") for n in range(3)
    ]
    for project in ("demo", "other"):
        some = [replace(document, project=project) for document in made]
        twin = replace(some[2], id="twin")
        (outcomes,), _ = store.add_accepted([[*some, twin]], [])
        assert kept(outcomes) == [Kept.CREATED] * 4
        (outcomes,), _ = store.add_accepted([some], [])
        assert kept(outcomes) == [Kept.PRESENT] * 3
    assert list(store.read_documents(kind, query()))[:3] == made
    found = list(store.read_documents(kind, query(project="other")))
    assert [each.id for each in found if each.id != "twin"] == ["x0", "x1", "x2"]
    assert {each.created_at for each in found} == {made[0].created_at}
