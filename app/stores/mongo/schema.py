"""Create the indexes, and migrate the documents of earlier releases."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, UpdateOne
from pymongo.collection import Collection

from app import jsontext
from app.errors import StoreRefused, StoreUnavailable
from app.leaves import leaves
from app.scorers import scorer_name
from app.stores.mongo.documents import Index
from app.stores.mongo.driver import read_page
from app.stores.mongo.example_keys import set_example_keys

log = logging.getLogger("scoreline.store")

Documents = Collection[dict[str, Any]]

SCHEMA = 6
"""The version of the documents. 1: release 0.1.0, which writes no version. 2: new names of leaves.
3: scores may have a reason, an error, metadata and an annotator. 4: predictions and evaluation
runs. 5: scores have the name of their scorer. 6: predictions have the
key of their example."""

LEAVES_RENAMED = 2
SCORERS_NAMED = 5
EXAMPLES_KEYED = 6
AFTER = f"migrated_to_{SCORERS_NAMED}"
"""The field with the id up to which all scores are migrated to SCORERS_NAMED."""

FORMER_INDEXES = ("scores_by_retry_hash",)

PAGE = 500
REPORT = 100_000


def create_indexes(collection: Documents, indexes: Sequence[Index]) -> None:
    """Create the indexes that do not exist yet."""
    for index in indexes:
        keys = [(name, ASCENDING) for name in index.fields]
        collection.create_index(keys, name=index.name, **index.options)


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


def drop_indexes(collection: Documents, names: Sequence[str]) -> None:
    """Drop the indexes of earlier releases that still exist."""
    for name in collection.index_information().keys() & set(names):
        collection.drop_index(name)


def migrate(
    meta: Documents, scores: Documents, predictions: Documents, seconds: float = math.inf
) -> None:
    """Migrate all documents to SCHEMA, continuing where an earlier call ended or was killed.

    Several processes may do so at once; some scores are then migrated twice, with the same result.
    Raises StoreRefused like `schema_version`, and StoreUnavailable after `seconds`.
    """
    version = schema_version(meta)
    if version < SCORERS_NAMED:
        _migrate_scores(meta, scores, version, seconds)
    if version < EXAMPLES_KEYED:
        set_example_keys(meta, predictions, seconds)
    drop_indexes(scores, FORMER_INDEXES)
    if version < SCHEMA:
        meta.update_one({"_id": "schema"}, {"$max": {"version": SCHEMA}}, upsert=True)


def _migrate_scores(meta: Documents, scores: Documents, version: int, seconds: float) -> None:
    """Set the fields that later versions added to scores, page by page."""
    deadline = time.monotonic() + seconds
    after, migrated = _state(meta).get(AFTER, ""), 0
    while page := _page(scores, after):
        if migrated % REPORT < PAGE:
            log.warning("migrating the store: %d scores, after the id %r", migrated, after)
        scores.bulk_write([_update(score, version) for score in page], ordered=False)
        after, migrated = page[-1]["_id"], migrated + len(page)
        # All scores up to a stored id are migrated, by this process or another.
        meta.update_one({"_id": "schema"}, {"$max": {AFTER: after}}, upsert=True)
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"the store is being migrated; done up to the id {after!r}")


def _page(scores: Documents, after: str) -> list[dict[str, Any]]:
    fields = {"entity": 1, "project": 1, "scorer": 1, "value_json": 1}
    found = scores.find({"_id": {"$gt": after}}, fields).sort("_id", ASCENDING)
    documents, _ = read_page(found, PAGE)
    return documents


def _update(score: dict[str, Any], version: int) -> UpdateOne:
    new: dict[str, Any] = {"scorer_name": scorer_name(score["scorer"])}
    if version < LEAVES_RENAMED:
        new["leaves"] = leaves(jsontext.read(score["value_json"].encode()))
    wanted = {name: score[name] for name in ("_id", "entity", "project")}
    return UpdateOne(wanted, {"$set": new})
