"""Inserts into a MongoDB collection: many documents at once, each failing alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, BulkWriteError

from app.stores.commits import Outcome
from app.stores.mongo.errors import outcome_of


def insert(
    collection: Collection[dict[str, Any]], documents: Sequence[dict[str, Any]]
) -> list[Outcome]:
    """Insert documents; what became of each.

    When the connection breaks, nobody knows what arrived. The same write is made once more: an id
    that is there already is then our own, and as durable as the write concern asks, which a server
    waits for also when it finds nothing left to do. Raises what the driver raises.
    """
    try:
        return _insert_once(collection, documents)
    except AutoReconnect:
        outcomes = _insert_once(collection, documents)
    ids = [each["_id"] for each, outcome in zip(documents, outcomes, strict=True) if outcome]
    there = {found["_id"] for found in collection.find({"_id": {"$in": ids}}, {"_id": 1})}
    return [
        None if each["_id"] in there else outcome
        for each, outcome in zip(documents, outcomes, strict=True)
    ]


def _insert_once(
    collection: Collection[dict[str, Any]], documents: Sequence[dict[str, Any]]
) -> list[Outcome]:
    outcomes: list[Outcome] = [None] * len(documents)
    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        details = error.details or {}
        if details.get("writeConcernErrors"):
            raise  # Written, but nobody can say that it will stay.
        for failure in details["writeErrors"]:
            outcomes[failure["index"]] = outcome_of(failure)
    return outcomes
