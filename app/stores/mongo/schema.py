"""Make the indexes, and bring the documents of an earlier release up to this program's."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from pymongo import ASCENDING, UpdateOne
from pymongo.collection import Collection

from app import jsontext
from app.errors import StoreRefused
from app.leaves import leaves
from app.stores.mongo.documents import Index

log = logging.getLogger("scoreline.store")

Documents = Collection[dict[str, Any]]

SCHEMA = 2
"""The version of the documents; those of release 0.1.0 say none and have old names of leaves."""

CHUNK = 500
REPORT = 100_000


def create_indexes(collection: Documents, indexes: Sequence[Index]) -> None:
    """Make indexes; those that are there already are left alone."""
    for index in indexes:
        keys = [(name, ASCENDING) for name in index.fields]
        collection.create_index(keys, name=index.name, **index.options)


def migrate(meta: Documents, scores: Documents) -> None:
    """Bring all documents to SCHEMA; several processes may do so at once.

    Raises StoreRefused when a newer program wrote them.
    """
    found = meta.find_one({"_id": "schema"}) or {}
    version = found.get("version", 1)
    if version > SCHEMA:
        raise StoreRefused(
            f"a newer Scoreline wrote this database: its schema is {version}, "
            f"this program knows {SCHEMA}"
        )
    if version < SCHEMA:
        _rename_leaves(scores)
        meta.update_one({"_id": "schema"}, {"$max": {"version": SCHEMA}}, upsert=True)


def _rename_leaves(scores: Documents) -> None:
    """Make the leaves of every score anew."""
    renamed = 0
    for updates in _chunks(_updates(scores)):
        scores.bulk_write(updates, ordered=False)
        renamed += len(updates)
        if renamed % REPORT < CHUNK and renamed > CHUNK:
            log.warning("migrating the store: %d scores", renamed)


def _updates(scores: Documents) -> Iterator[UpdateOne]:
    for score in scores.find({}, {"entity": 1, "project": 1, "value_json": 1}):
        found = leaves(jsontext.read(score.pop("value_json").encode()))
        yield UpdateOne(score, {"$set": {"leaves": found}})


def _chunks(updates: Iterator[UpdateOne]) -> Iterator[list[UpdateOne]]:
    while chunk := list(islice(updates, CHUNK)):
        yield chunk
