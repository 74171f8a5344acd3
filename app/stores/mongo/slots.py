"""Find out which scores of the MongoDB store are current: the newest one of each slot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo.collection import Collection

from app.stores.mongo.documents import SLOT_FIELDS, in_utc

Document = Mapping[str, Any]

Slot = tuple[str, str, str, str]
"""Run, prediction, name of the scorer and annotator; "" for none."""

Rank = tuple[datetime, str]
"""The time of creation and the id: the highest in a slot is the current score."""

PAIRS_A_QUERY = 200
"""How many predictions of runs one query asks for, few enough for any server to answer soon."""

ONLY_SLOT_FIELDS = {**dict.fromkeys(SLOT_FIELDS, 1), "_id": 0}

SLOT = {
    "evaluation_run_id": {"$ifNull": ["$evaluation_run_id", ""]},
    "prediction_id": "$prediction_id",
    "scorer_name": "$scorer_name",
    "annotator": {"$ifNull": ["$annotator", ""]},
}
"""The expression of a slot."""

MAX_REPEATED = 20_000
"""The most slots with superseded scores in memory: 10 MB."""

NONE = {"$in": [None, ""]}
"""The filter for no run or no annotator."""


def slot_of(document: Document) -> Slot:
    """Return the slot of a score's document."""
    return (
        document["evaluation_run_id"] or "",
        document["prediction_id"],
        document["scorer_name"],
        document.get("annotator") or "",
    )


def rank_of(document: Document) -> Rank:
    """Return the rank of a score's document in its slot."""
    return in_utc(document["created_at"]), document["score_id"]


def slot_filter(slot: Slot) -> dict[str, Any]:
    """Return the filter for the scores of a slot, without entity and project."""
    run_id, prediction_id, scorer_name, annotator = slot
    return {
        "evaluation_run_id": run_id or NONE,
        "prediction_id": prediction_id,
        "scorer_name": scorer_name,
        "annotator": annotator or NONE,
    }


def repeated_slots(
    collection: Collection[dict[str, Any]], wanted: Document
) -> frozenset[Slot] | None:
    """Return the slots that several of the wanted scores have; None if over MAX_REPEATED.

    This is one query, which reads only an index. It is fast if `wanted` has the first fields of it.
    """
    slots = frozenset(_repeated(collection, wanted, {"$limit": MAX_REPEATED + 1}))
    return slots if len(slots) <= MAX_REPEATED else None


def repeated_among(
    collection: Collection[dict[str, Any]], place: Document, documents: Sequence[Document]
) -> frozenset[Slot]:
    """Return the slots of documents that another score may be current in.

    `place` is the filter for the entity and project of all of them.
    """
    slots = frozenset(map(slot_of, documents))
    since = min(in_utc(document["created_at"]) for document in documents)
    return frozenset(
        slot
        for wanted in _filters(slots)
        for slot in _repeated(collection, {**place, **wanted, "created_at": {"$gte": since}})
        if slot in slots
    )


def _repeated(
    collection: Collection[dict[str, Any]], wanted: Document, *stages: Document
) -> Iterator[Slot]:
    """Yield the slots that several of the wanted scores have, after more stages."""
    gathered: list[Document] = [
        {"$match": wanted},
        {"$group": {"_id": SLOT, "scores": {"$sum": 1}}},
        {"$match": {"scores": {"$gt": 1}}},
        *stages,
    ]
    found = collection.aggregate(gathered, hint="scores_by_slot", allowDiskUse=True)
    return (slot_of(each["_id"]) for each in found)


def newest_by_slot(
    collection: Collection[dict[str, Any]], place: Document, documents: Iterable[Document]
) -> dict[Slot, Rank]:
    """Return the rank of the current score in the slot of each document.

    `place` is the filter for the entity and project of all of them.
    """
    newest: dict[Slot, Rank] = {}
    for document in documents:
        _keep_newest(newest, document)
    since = min((created_at for created_at, _ in newest.values()), default=None)
    for wanted in _filters(newest):
        since_then = {**place, **wanted, "created_at": {"$gte": since}}
        found = collection.find(since_then, ONLY_SLOT_FIELDS).hint("scores_by_slot")
        for document in found:
            if slot_of(document) in newest:
                _keep_newest(newest, document)
    return newest


def _keep_newest(newest: dict[Slot, Rank], document: Document) -> None:
    slot, rank = slot_of(document), rank_of(document)
    newest[slot] = max(rank, newest.get(slot, rank))


def _filters(slots: Iterable[Slot]) -> Iterator[dict[str, Any]]:
    """Yield filters for the scores of all predictions that these slots are of."""
    pairs = sorted({(run_id, prediction_id) for run_id, prediction_id, *_ in slots})
    for first in range(0, len(pairs), PAIRS_A_QUERY):
        predictions = defaultdict(list)
        for run_id, prediction_id in pairs[first : first + PAIRS_A_QUERY]:
            predictions[run_id].append(prediction_id)
        yield {
            "$or": [
                {"evaluation_run_id": run_id or NONE, "prediction_id": {"$in": named}}
                for run_id, named in predictions.items()
            ]
        }
