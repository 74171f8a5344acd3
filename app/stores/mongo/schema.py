"""Create the indexes, and migrate the documents of earlier releases."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, OperationFailure

from app import jsontext
from app.errors import StoreRefused, StoreUnavailable
from app.examples import example_key
from app.leaves import leaves
from app.scorers import scorer_name
from app.stores.mongo.documents import (
    DELETION_INDEXES,
    DOCUMENT_INDEXES,
    KEY_INDEXES,
    SCORE_INDEXES,
    Index,
)
from app.stores.mongo.driver import read_page
from app.stores.mongo.parts import PART_INDEXES, PARTS
from app.stores.mongo.sharding import SHARD_KEYS
from app.stores.mongo.transactions import DUPLICATE_KEY
from app.stores.mongo.unique_keys import (
    UNIQUE_KEY_INDEXES,
    UNIQUE_KEYS,
    idempotency_keys,
    unique_keys,
)

log = logging.getLogger("scoreline.store")

Documents = Collection[dict[str, Any]]

SCHEMA = 15
"""The version of the documents. 1: release 0.1.0, which writes no version. 2: new names of leaves.
3: scores may have a reason, an error, metadata and an annotator. 4: predictions and evaluation
runs. 5: scores have the name of their scorer. 6: predictions have the key of their example. 7: the
id of a score is not its `_id`, and unique keys have a collection of their own. 8: what Weave's SDK
sends. 9: metrics. 10: predictions that await a row. 11: tags, aliases and costs. 12: predictions
are found by the call around the model's, and calls in their order. 13: large texts in parts. 14:
feedback that awaits a call. 15: approvals, and runs are found by their names."""

LAST_CHANGE = 7
"""The last version that changed documents of earlier ones."""

LEAVES_RENAMED = 2
EXAMPLES_KEYED = 6

INDEXES: Mapping[str, Sequence[Index]] = {
    "scores": SCORE_INDEXES,
    **DOCUMENT_INDEXES,
    "api_keys": KEY_INDEXES,
    "deletions": DELETION_INDEXES,
    UNIQUE_KEYS: UNIQUE_KEY_INDEXES,
    PARTS: PART_INDEXES,
}
"""The indexes of every collection."""

FORMER_INDEXES = (
    "scores_by_retry_hash",
    "scores_by_idempotency_key",
    "predictions_by_run",
    "predictions_by_idempotency_key",
    "evaluation_runs_by_idempotency_key",
)

NOT_READ = {"leaves": 0, "output_json": 0}
"""Large fields that no migration needs."""

PAGE = 500
REPORT = 100_000
INDEX_NOT_FOUND = 27


def create_indexes(collection: Documents, indexes: Sequence[Index]) -> None:
    """Create the indexes that do not exist, and replace those that a former release declared.

    Those that do not exist are created by one command, for which the server reads the collection
    once. The others are replaced one by one, because a server does not drop the last index that
    begins with the shard key.
    """
    found = collection.index_information()
    for name in found.keys() & FORMER_INDEXES:
        _drop_index(collection, name)
    replaced = [
        index
        for index in indexes
        if index.name in found and not is_as_declared(index, found[index.name])
    ]
    if others := [_model(index) for index in indexes if index not in replaced]:
        collection.create_indexes(others)
    for index in replaced:
        _drop_index(collection, index.name)
        collection.create_indexes([_model(index)])


def _model(index: Index) -> IndexModel:
    return IndexModel(_keys(index), name=index.name, **index.options)


def _keys(index: Index) -> list[tuple[str, int]]:
    return [(name, ASCENDING) for name in index.fields]


def is_as_declared(index: Index, found: Mapping[str, Any]) -> bool:
    """Return whether the server's description of an index has its fields and options."""
    if found["key"] != _keys(index):
        return False
    return all(found.get(name) == value for name, value in index.options.items())


def _drop_index(collection: Documents, name: str) -> None:
    try:
        collection.drop_index(name)
    except OperationFailure as error:
        if error.code != INDEX_NOT_FOUND:  # Another process may just have dropped it.
            raise


def schema_version(meta: Documents) -> int:
    """Return the version of the documents. Raises StoreRefused if it is newer than SCHEMA."""
    version: int = _state(meta).get("version", 1)
    if version > SCHEMA:
        raise StoreRefused(
            f"a newer Scoreline wrote this database: its schema is {version}, "
            f"this program knows {SCHEMA}"
        )
    return version


def _state(meta: Documents) -> Mapping[str, Any]:
    return meta.find_one({"_id": "schema"}) or {}


def migrate(database: Database[dict[str, Any]], seconds: float = math.inf) -> None:
    """Migrate all documents and indexes to SCHEMA, continuing where an earlier call ended.

    Several processes may do so at once; some documents are then migrated twice, with the same
    result. Raises StoreRefused like `schema_version`, and StoreUnavailable after `seconds`.
    """
    meta = database["meta"]
    version = schema_version(meta)
    create_indexes(database[UNIQUE_KEYS], UNIQUE_KEY_INDEXES)
    if version < LAST_CHANGE:
        deadline = time.monotonic() + seconds
        for name in ("scores", "predictions", "evaluation_runs"):
            _migrate_collection(meta, database[name], version, deadline)
    for name, indexes in INDEXES.items():
        create_indexes(database[name], indexes)
    if version < SCHEMA:
        meta.update_one({"_id": "schema"}, {"$max": {"version": SCHEMA}}, upsert=True)


def _migrate_collection(
    meta: Documents, collection: Documents, version: int, deadline: float
) -> None:
    progress = f"{collection.name}_migrated_to_{LAST_CHANGE}"
    after, migrated = _state(meta).get(progress, ""), 0
    while page := _page(collection, after):
        if migrated % REPORT < PAGE:
            noun = collection.name.replace("_", " ")
            log.warning("migrating the store: %d %s, after the id %r", migrated, noun, after)
        if updates := [*_updates(collection.name, page, version)]:
            collection.bulk_write(updates, ordered=False)
        _add_unique_keys(collection, page)
        after, migrated = page[-1]["_id"], migrated + len(page)
        # Everything up to a stored id is migrated, by this process or another.
        meta.update_one({"_id": "schema"}, {"$max": {progress: after}}, upsert=True)
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"the store is being migrated; done up to the id {after!r}")


def _page(collection: Documents, after: str) -> list[dict[str, Any]]:
    found = collection.find({"_id": {"$gt": after}}, NOT_READ).sort("_id", ASCENDING)
    documents, _ = read_page(found.hint("_id_"), PAGE)
    return documents


def _updates(name: str, page: Sequence[dict[str, Any]], version: int) -> Iterator[UpdateOne]:
    """Yield the updates that set the fields that later versions have added to documents."""
    for document in page:
        if name == "scores":
            yield _update_of_score(document, version)
        elif name == "predictions" and version < EXAMPLES_KEYED:
            key = example_key(document.get("example_id"), json.loads(document["inputs_json"]))
            if key is not None:
                yield UpdateOne(_place(name, document), {"$set": {"example_key": key}})


def _update_of_score(score: dict[str, Any], version: int) -> UpdateOne:
    """Set the fields in the document too, because its unique keys need its id."""
    new: dict[str, Any] = {
        "score_id": score["_id"].partition(" ")[0],
        "scorer_name": scorer_name(score["scorer"]),
    }
    if version < LEAVES_RENAMED:
        new["leaves"] = leaves(jsontext.read(score["value_json"].encode()))
    score.update(new)
    return UpdateOne(_place("scores", score), {"$set": new})


def _place(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filter for one document, with its shard key, so that it asks one shard."""
    return {field: document[field] for field in ("_id", *SHARD_KEYS[name])}


def _add_unique_keys(collection: Documents, page: Sequence[dict[str, Any]]) -> None:
    """Add the idempotency keys of a page of scores that are not stored yet."""
    keys = idempotency_keys(collection, page)
    if not keys:
        return
    try:
        unique_keys(collection).insert_many(keys, ordered=False)
    except BulkWriteError as error:
        failures = error.details["writeErrors"]
        if error.details["writeConcernErrors"] or {each["code"] for each in failures} != {
            DUPLICATE_KEY
        }:
            raise
