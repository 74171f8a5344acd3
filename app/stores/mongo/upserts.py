"""Merge documents of the MongoDB store with what was sent later, each of them atomically."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import InsertOne, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import AutoReconnect, BulkWriteError

from app.errors import StoreUnavailable, TooLarge
from app.ids import new_id
from app.stores.documents import (
    Key,
    by_project,
    id_key,
    merged,
    sources_are_known,
    with_ids,
    with_score_ids,
)
from app.stores.model import AnyDocument, Document
from app.stores.mongo.document_store import Documents, MongoDocuments, to_bson, to_document
from app.stores.mongo.driver import is_too_large, our_errors
from app.stores.mongo.transactions import (
    REPEAT_SECONDS,
    REPEATS,
    in_transaction_if_possible,
    is_duplicate,
)
from app.stores.mongo.writes import add_new_scores, add_one_by_one, scores_with_ids
from app.stores.weave import Merge, Projected, ScoreSource


class MongoUpserts(MongoDocuments):
    """The part of the MongoDB store that keeps what Weave's SDK sends."""

    def upsert_documents(
        self, documents: Sequence[AnyDocument], merge: Merge[AnyDocument]
    ) -> list[AnyDocument]:
        self._prepare_once()
        if not documents:
            return []
        self._remove_covered(documents)
        collection = self._collection(type(documents[0]))
        with our_errors():
            return upsert(collection, documents, merge)

    def add_projected(self, projected: Sequence[Projected]) -> bool:
        self._prepare_once()
        if not projected:
            return True
        scores = [each.score for each in projected]
        self._remove_covered(scores)
        made = scores_with_ids(scores)
        sources, collection = [each.source for each in projected], self._collection(ScoreSource)

        def add(session: ClientSession | None) -> bool:
            stored = read_stored(collection, sources, session)
            if not sources_are_known(projected, stored.values()):
                return False
            if session:
                outcomes = add_new_scores(self._scores, scores, made, session, partial=False)
            else:
                outcomes = add_one_by_one(self._scores, made, partial=False)
            put_sources(collection, with_score_ids(projected, outcomes), stored, session)
            return True

        with our_errors():
            return in_transaction_if_possible(self._client, add)


def upsert(
    collection: Documents, documents: Sequence[AnyDocument], merge: Merge[AnyDocument]
) -> list[AnyDocument]:
    """Add or merge documents of one kind. Raises StoreUnavailable and TooLarge.

    A document is only replaced if its `body_hash` is the one that was read; otherwise all is read
    and merged once more, which changes nothing where it is merged already.
    """
    made = with_ids(documents, new_id)
    for _ in range(REPEATS):
        before = read_stored(collection, made)
        after = merged(made, before, merge)
        changes = [(each, before.get(key)) for key, each in after.items()]
        if _write(collection, [pair for pair in changes if pair[0] != pair[1]]):
            return [after[id_key(document)] for document in made]
        time.sleep(REPEAT_SECONDS)
    raise StoreUnavailable("others keep changing the same documents")


def read_stored(
    collection: Documents, documents: Sequence[AnyDocument], session: ClientSession | None = None
) -> dict[Key, AnyDocument]:
    """Return the stored documents that have the ids of `documents`, by their keys."""
    found: dict[Key, AnyDocument] = {}
    kind = type(documents[0])
    for (entity, project), ids in by_project(map(id_key, documents)).items():
        named = {"entity": entity, "project": project, "id": {"$in": ids}}
        for each in collection.find(named, session=session).hint(f"{collection.name}_by_id"):
            document = to_document(kind, each)
            found[id_key(document)] = document
    return found


def _write(
    collection: Documents, changes: Sequence[tuple[AnyDocument, AnyDocument | None]]
) -> bool:
    """Store documents in place of those that were read; return False if not all could be."""
    if not changes:
        return True
    bson = [to_bson(document) for document, _ in changes]
    if any(map(is_too_large, bson)):
        raise TooLarge("The document is too large for the store")
    changed = sum(before is not None for _, before in changes)
    writes = [
        _change(each, before) if before else InsertOne(each)
        for each, (_, before) in zip(bson, changes, strict=True)
    ]
    try:
        return collection.bulk_write(writes, ordered=False).matched_count == changed
    except BulkWriteError as error:
        if not is_duplicate(error):
            raise
    except AutoReconnect:
        pass  # It is unknown what was stored.
    return False


def _change(bson: dict[str, Any], before: Document) -> UpdateOne:
    """Write only what differs: `change_document` changes other fields and no `body_hash`."""
    named = {name: bson[name] for name in ("entity", "project", "id")}
    old = to_bson(before)
    changes: dict[str, Any] = {"$set": {"body_hash": bson["body_hash"]}}
    changes["$set"] |= {
        name: value for name, value in bson.items() if name != "_id" and old.get(name) != value
    }
    if removed := old.keys() - bson.keys():
        changes["$unset"] = dict.fromkeys(removed, "")
    return UpdateOne({**named, "body_hash": before.body_hash}, changes)


def put_sources(
    collection: Documents,
    sources: Sequence[ScoreSource],
    stored: Mapping[Key, Document],
    session: ClientSession | None,
) -> None:
    """Store the sources of scores that were added in the caller's transaction."""
    writes = []
    for source in with_ids(sources, new_id):
        before = stored.get(id_key(source))
        bson = to_bson(source)
        writes.append(_change(bson, before) if before else InsertOne(bson))
    collection.bulk_write(writes, session=session)
