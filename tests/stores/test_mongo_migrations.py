"""Databases of earlier releases are migrated where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pymongo.errors
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from app.errors import StoreRefused, StoreUnavailable
from app.stores.base import Kept, Outcome, ScoreQuery
from app.stores.model import UNASSIGNED, Prediction, Score
from app.stores.mongo.schema import INDEXES, is_as_declared
from app.stores.mongo.store import MongoStore, open_mongo_store
from tests.stores.test_contract import a_score
from tests.stores.test_documents import a_prediction
from tests.stores.test_mongo import Commands

Opened = Callable[[str], MongoStore]

OLD_LEAVES = [{"path": "0", "kind": "number", "number": 5.0}]
NEW_LEAVES = [{"path": "[0]", "kind": "number", "number": 5.0}]

SCORER = "weave:///acme/demo/op/exact_match.score:v1"

IS_TEXT = {"$type": "string"}
OLD_INDEXES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "scores_by_project": (["_id"], {}),
    "scores_by_run": (["evaluation_run_id", "_id"], {}),
    "scores_by_prediction": (["prediction_id", "_id"], {}),
    "scores_by_scorer": (["scorer", "_id"], {}),
    "scores_by_idempotency_key": (
        ["idempotency_key"],
        {"unique": True, "partialFilterExpression": {"idempotency_key": IS_TEXT}},
    ),
    "scores_by_retry_hash": (
        ["retry_hash", "_id"],
        {"partialFilterExpression": {"retry_hash": IS_TEXT}},
    ),
    "predictions_by_idempotency_key": (
        ["idempotency_key"],
        {"unique": True, "partialFilterExpression": {"idempotency_key": IS_TEXT}},
    ),
}
"""The indexes of version 4 of the schema, all beginning with entity and project."""


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens stores by URI, and closes them after the test."""
    stores: list[MongoStore] = []

    def open_one(uri: str) -> MongoStore:
        stores.append(open_mongo_store(uri))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def old_document(score: Score) -> dict[str, Any]:
    """Return the document that versions 1 to 4 of the schema have for a score."""
    extensions = ("reason", "error", "metadata_json", "annotator")
    left_out = {"score_id", "scorer_name", *extensions}
    fields = {name: getattr(score, name) for name in score.__slots__ if name not in left_out}
    given = {name: text for name in extensions if (text := getattr(score, name)) is not None}
    return {"_id": score.score_id, **fields, **given}


SCORES = [
    a_score(
        scorer=SCORER,
        scorer_name="exact_match",
        value_json="[5]",
        leaves=OLD_LEAVES,
        evaluation_run_id=[None, "r"][number % 2],
        idempotency_key=f"k{number}" if number < 3 else None,
        retry_hash="h" if number > 3 else None,
        annotator="olga" if number == 5 else None,
    )
    for number in range(6)
]
PREDICTION = a_prediction(id="p/1", idempotency_key="k")


def write_old(store: MongoStore, version: int | None) -> None:
    """Write a database as an earlier release has it; release 0.1.0 writes no version."""
    database = store._database
    for name, (fields, options) in OLD_INDEXES.items():
        keys = [(field, 1) for field in ("entity", "project", *fields)]
        database[name.partition("_by_")[0]].create_index(keys, name=name, **options)
    database["scores"].insert_many([old_document(score) for score in SCORES])
    if version is not None:
        database["predictions"].insert_one(
            {
                "_id": "018cc251-f400-7000-8000-000000000001",
                "id": PREDICTION.id,
                "entity": "acme",
                "project": "demo",
                "wb_user_id": PREDICTION.wb_user_id,
                "idempotency_key": "k",
                "body_hash": PREDICTION.body_hash,
                "predict_and_score_call_id": PREDICTION.predict_and_score_call_id,
                "model": PREDICTION.model,
                "inputs_json": PREDICTION.inputs_json,
                "output_json": PREDICTION.output_json,
            }
        )
        database["meta"].insert_one({"_id": "schema", "version": version})


@pytest.fixture
def old_uri(mongodb_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URI of a database of release 0.1.0, with three pages of scores to migrate."""
    write_old(opened(mongodb_uri), None)
    monkeypatch.setattr("app.stores.mongo.schema.PAGE", 2)
    return mongodb_uri


def stored(store: MongoStore) -> list[Score]:
    query = ScoreQuery("acme", "demo", only_current=False)
    return list(store.read_scores("acme", "demo", store.list_score_ids(query)))


def leaves_of(store: MongoStore) -> list[Any]:
    return [each["leaves"] for each in store._scores.find({}, {"leaves": 1}).sort("_id", 1)]


def test_leaves_of_an_earlier_release_are_named_anew(old_uri: str, opened: Opened) -> None:
    store = opened(old_uri)
    store.prepare()
    assert stored(store) == [replace(score, leaves=NEW_LEAVES) for score in SCORES]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_scores_of_an_earlier_release_are_read_and_replayed(
    mongodb_uri: str, opened: Opened, version: int
) -> None:
    store = opened(mongodb_uri)
    write_old(store, version)
    store.prepare()
    store.prepare()
    assert stored(store) == SCORES
    assert store.add_missing(SCORES, partial=False) == [
        Outcome(Kept.REPLAYED if score.idempotency_key else Kept.PRESENT, score.score_id)
        for score in SCORES
    ]
    again = replace(SCORES[0], score_id=UNASSIGNED)
    assert store.add_score(again) == Outcome(Kept.REPLAYED, SCORES[0].score_id)
    assert store.add_score(replace(again, body_hash="1")).kept is Kept.KEY_TAKEN
    assert store.find_retried(SCORES[5], "0") == SCORES[5].score_id
    elsewhere = replace(SCORES[0], project="other")
    assert store.add_score(elsewhere).kept is Kept.CREATED
    assert store.delete_scores("acme", "demo", [SCORES[0].score_id]) == 1
    assert store.add_score(replace(again, body_hash="1")).kept is Kept.CREATED
    assert store.find_score("acme", "other", SCORES[0].score_id) == elsewhere


def test_documents_of_an_earlier_release_are_read_and_replayed(
    mongodb_uri: str, opened: Opened
) -> None:
    store = opened(mongodb_uri)
    write_old(store, 4)
    store.prepare()
    found = store.find_document(Prediction, "acme", "demo", "p/1")
    assert found is not None
    assert replace(found, sort_id=UNASSIGNED, example_key=None) == PREDICTION
    assert store.add_documents([PREDICTION])[0].kept is Kept.REPLAYED
    other = replace(PREDICTION, id="p/2", body_hash="1")
    assert store.add_documents([other])[0].kept is Kept.KEY_TAKEN
    assert store.delete_documents(Prediction, "acme", "demo", ["p/1"]) == 1
    assert store.add_documents([other])[0].kept is Kept.CREATED


def test_a_score_of_an_earlier_release_is_found_by_a_first_request(
    old_uri: str, opened: Opened
) -> None:
    """The server may not have answered at the start."""
    score = SCORES[5]
    assert opened(old_uri).find_retried(score, "0") == score.score_id
    assert opened(old_uri).find_score("acme", "demo", score.score_id)


def test_a_score_of_an_earlier_release_is_read_by_a_first_request(
    old_uri: str, opened: Opened
) -> None:
    assert opened(old_uri).find_score("acme", "demo", SCORES[5].score_id)


def test_indexes_of_an_earlier_release_are_replaced(old_uri: str, opened: Opened) -> None:
    store = opened(old_uri)
    store.prepare()
    for name, indexes in INDEXES.items():
        found = store._database[name].index_information()
        assert set(found) == {"_id_", *(index.name for index in indexes)}
        assert all(is_as_declared(index, found[index.name]) for index in indexes)


def test_an_index_that_begins_with_the_shard_key_is_there_at_any_time(
    old_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may refuse to drop the last one of a sharded collection."""
    drop_index = Collection.drop_index
    left: list[int] = []

    def drop(collection: Any, name: str) -> None:
        drop_index(collection, name)
        indexes = collection.index_information().values()
        whole = [each["key"] for each in indexes if "partialFilterExpression" not in each]
        if collection.name == "scores":
            left.append(sum(key[:2] == [("entity", 1), ("project", 1)] for key in whole))

    monkeypatch.setattr(Collection, "drop_index", drop)
    opened(old_uri).prepare()
    assert left
    assert all(left)


def test_the_indexes_of_a_collection_are_created_by_one_command(mongodb_uri: str) -> None:
    commands = Commands()
    with MongoClient[dict[str, Any]](mongodb_uri, event_listeners=[commands]) as client:
        MongoStore(client.get_default_database).prepare()
    once_more = 1  # Those of unique_keys come first, because a migration needs them.
    assert commands.done.count("createIndexes") == len(INDEXES) + once_more


@pytest.mark.parametrize("name", INDEXES)
def test_every_index_of_a_collection_has_fields_of_its_own(name: str) -> None:
    """Before MongoDB 5.0, a server refuses an index with the fields of another (SERVER-25023)."""
    fields = [index.fields for index in INDEXES[name]]
    assert len(set(fields)) == len(fields)


def test_an_interrupted_migration_continues_where_it_stopped(
    old_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(old_uri)
    bulk_write = Collection.bulk_write
    pages: list[int] = []

    def break_off(collection: Any, updates: list[Any], **options: Any) -> None:
        pages.append(len(updates))
        if len(pages) == 2:
            raise pymongo.errors.AutoReconnect("connection closed")
        bulk_write(collection, updates, **options)

    monkeypatch.setattr(Collection, "bulk_write", break_off)
    with pytest.raises(StoreUnavailable):
        store.prepare()
    assert leaves_of(store) == [NEW_LEAVES] * 2 + [OLD_LEAVES] * 4
    store.prepare()
    assert leaves_of(store) == [NEW_LEAVES] * 6
    assert pages == [2, 2, 2, 2]  # The second one twice, the first one once.


def test_a_request_waits_for_a_part_of_a_migration_only(
    old_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.mongo.store.PREPARE_SECONDS", 0.0)
    store = opened(old_uri)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="is being migrated"):
            store.ping()
    assert store.add_score(a_score(leaves=NEW_LEAVES)).kept is Kept.CREATED
    assert leaves_of(store) == [NEW_LEAVES] * 7


def test_several_processes_may_migrate_at_the_same_time(old_uri: str, opened: Opened) -> None:
    stores = [opened(old_uri) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(MongoStore.prepare, stores))
    assert leaves_of(stores[0]) == [NEW_LEAVES] * 6


def test_a_database_of_a_newer_program_is_refused(mongodb_uri: str, opened: Opened) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    store._meta.update_one({"_id": "schema"}, {"$set": {"version": 99}})
    with pytest.raises(StoreRefused, match="newer Scoreline"):
        opened(mongodb_uri).prepare()
