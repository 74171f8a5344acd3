"""Merge documents of the MongoDB store with what was sent later, each of them atomically."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from pymongo import InsertOne, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import AutoReconnect, BulkWriteError
from pymongo.read_concern import ReadConcern

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
from app.stores.mongo.document_store import Documents, MongoDocuments
from app.stores.mongo.documents import IN_PARTS, to_bson, to_document
from app.stores.mongo.driver import our_errors
from app.stores.mongo.parts import (
    Bson,
    find_by_ids,
    in_parts,
    names_in,
    never_fits,
    remove_unused,
    write_parts,
)
from app.stores.mongo.transactions import (
    REPEAT_SECONDS,
    REPEATS,
    in_transaction_if_possible,
    is_duplicate,
)
from app.stores.mongo.unique_keys import delete_with_keys
from app.stores.mongo.writes import add_new_scores, add_one_by_one, scores_after
from app.stores.weave import Feedback, Merge, Projected, ScoreSource


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

    def add_projected(
        self, projected: Sequence[Projected], feedback: Sequence[Feedback] = ()
    ) -> bool:
        self._prepare_once()
        if not (projected or feedback):
            return True
        scores = [each.score for each in projected]
        self._remove_covered(scores)
        sources, collection = [each.source for each in projected], self._collection(ScoreSource)

        def add(session: ClientSession | None) -> bool:
            if projected and not add_scores(session):
                return False
            if feedback:
                end_waiting(self._collection(Feedback), feedback, session)
            return True

        def add_scores(session: ClientSession | None) -> bool:
            stored = read_stored(collection, sources, session)
            if not sources_are_known(projected, decoded(ScoreSource, stored).values()):
                return False
            known = [stored.get(id_key(each), {}).get("score_id") for each in sources]
            made = scores_after(scores, known)
            if session is None:
                outcomes = add_one_by_one(self._scores, made, partial=False)
                return self._put_sources_one_by_one(with_score_ids(projected, outcomes), stored)
            outcomes = add_new_scores(self._scores, scores, made, session, partial=False)
            put_sources(
                collection, last_of_each(with_score_ids(projected, outcomes)), stored, session
            )
            return True

        with our_errors():
            return in_transaction_if_possible(self._client, add)

    def _put_sources_one_by_one(
        self, sources: Sequence[ScoreSource], stored: Mapping[Key, Bson]
    ) -> bool:
        """Store sources; delete the scores of those that others have changed, and return False."""
        collection = self._collection(ScoreSource)
        lasts = last_of_each(sources)
        lost = {id_key(each) for each in lasts if not _put_source(collection, each, stored)}
        for each in sources:
            if id_key(each) in lost:
                place = {"entity": each.entity, "project": each.project}
                delete_with_keys(self._scores, {**place, "score_id": each.score_id}, None)
        return not lost


def last_of_each(sources: Sequence[ScoreSource]) -> list[ScoreSource]:
    """Return the last of the sources with each id."""
    return list({id_key(each): each for each in sources}.values())


def upsert(
    collection: Documents, documents: Sequence[AnyDocument], merge: Merge[AnyDocument]
) -> list[AnyDocument]:
    """Add or merge documents of one kind. Raises StoreUnavailable and TooLarge.

    A document is only replaced if its `body_hash` is the one that was read; otherwise all is read
    and merged once more, which changes nothing where it is merged already. So what is read must be
    durable: another request may have written it just now.
    """
    made = with_ids(documents, new_id)
    durable = collection.with_options(read_concern=ReadConcern("majority"))
    for _ in range(REPEATS):
        stored = read_stored(durable, made)
        before = decoded(type(made[0]), stored)
        after = merged(made, before, merge)
        changed = [each for key, each in after.items() if each != before.get(key)]
        if _write(collection, changed, stored):
            return [after[id_key(document)] for document in made]
        time.sleep(REPEAT_SECONDS)
    raise StoreUnavailable("others keep changing the same documents")


def read_stored(
    collection: Documents, documents: Sequence[Document], session: ClientSession | None = None
) -> dict[Key, Bson]:
    """Return what is stored under the ids of `documents`, with its texts in parts, by key."""
    return {
        (entity, project, each["id"]): each
        for (entity, project), ids in by_project(map(id_key, documents)).items()
        for each in find_by_ids(collection, entity, project, ids, session)
    }


def decoded(kind: type[AnyDocument], stored: Mapping[Key, Bson]) -> dict[Key, AnyDocument]:
    """Return the documents that are stored, by key."""
    return {key: to_document(kind, each) for key, each in stored.items()}


def _write(
    collection: Documents, documents: Sequence[Document], stored: Mapping[Key, Bson]
) -> bool:
    """Store documents in place of those that were read; return False if not all could be."""
    if not documents:
        return True
    whole = [to_bson(document) for document in documents]
    if any(map(never_fits, whole)):
        raise TooLarge("The document is too large for the store")
    before = [stored.get(id_key(document)) for document in documents]
    new = [in_parts(collection, *pair) for pair in zip(whole, before, strict=True)]
    for _, parts in new:
        write_parts(collection, parts)
    writes = [
        _change(bson, old) if old else InsertOne(bson)
        for (bson, _), old in zip(new, before, strict=True)
    ]
    replaced = [old for old in before if old]
    try:
        matched = collection.bulk_write(writes, ordered=False).matched_count
    except BulkWriteError as error:
        if not is_duplicate(error):
            raise
        matched = None
    except AutoReconnect:
        return False  # It is unknown what was stored.
    remove_unused(collection, names_in(collection, [*replaced, *(bson for bson, _ in new)]))
    return matched == len(replaced)


def _change(bson: Bson, before: Bson) -> UpdateOne:
    """Write only what differs: `change_document` changes other fields and no `body_hash`."""
    named = {name: bson[name] for name in ("entity", "project", "id")}
    old = _flat(before | dict.fromkeys(before.get(IN_PARTS, {}), ""))
    new = _flat(bson)
    changes: Bson = {"$set": {"body_hash": bson["body_hash"]}}
    changes["$set"] |= {
        name: value for name, value in new.items() if name != "_id" and old.get(name) != value
    }
    if removed := old.keys() - new.keys():
        changes["$unset"] = dict.fromkeys(removed, "")
    return UpdateOne({**named, "body_hash": before["body_hash"]}, changes)


def _flat(bson: Bson) -> Bson:
    """Return a stored document, with where each text is under a name of its own."""
    where = {f"{IN_PARTS}.{name}": each for name, each in bson.get(IN_PARTS, {}).items()}
    return {name: value for name, value in bson.items() if name != IN_PARTS} | where


def _put_source(collection: Documents, source: ScoreSource, stored: Mapping[Key, Bson]) -> bool:
    """Store the source of a score that was added; return False if another one has changed it."""
    if _write(collection, with_ids([source], new_id), stored):
        return True
    now = read_stored(collection, [source]).get(id_key(source))
    return now is not None and now["score_id"] == source.score_id


def end_waiting(
    collection: Documents, feedback: Sequence[Feedback], session: ClientSession | None
) -> None:
    """Store that feedback of one project no longer waits for its call, unless it has changed."""
    wanted = {
        "entity": feedback[0].entity,
        "project": feedback[0].project,
        "id": {"$in": [each.id for each in feedback]},
        "body_hash": {"$in": [each.body_hash for each in feedback]},
    }
    collection.update_many(wanted, {"$unset": {"awaited_call": ""}}, session=session)


def put_sources(
    collection: Documents,
    sources: Sequence[ScoreSource],
    stored: Mapping[Key, Bson],
    session: ClientSession,
) -> None:
    """Store the sources of scores that were added in the caller's transaction."""
    writes = []
    for source in with_ids(sources, new_id):
        before = stored.get(id_key(source))
        bson = to_bson(source)
        writes.append(_change(bson, before) if before else InsertOne(bson))
    collection.bulk_write(writes, session=session)
