"""Add documents to the MongoDB store that are not stored yet, with what is unique in a project."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, DuplicateKeyError
from pymongo.read_concern import ReadConcern

from app.errors import StoreUnavailable
from app.stores.base import Kept, Outcome
from app.stores.documents import (
    PRIMARY_KEY,
    Key,
    Stored,
    by_project,
    id_key,
    idempotency_key,
    outcomes_of,
    with_free_sort_ids,
)
from app.stores.model import Document
from app.stores.mongo.documents import to_bson, to_document
from app.stores.mongo.driver import is_too_large
from app.stores.mongo.parts import (
    MOST_BYTES,
    find_by_ids,
    names_in,
    never_fits,
    put_in_parts,
    remove_unused,
)
from app.stores.mongo.transactions import REPEAT_SECONDS, REPEATS
from app.stores.mongo.unique_keys import (
    Taken,
    find_begun,
    find_taken,
    idempotency_keys,
    unique_keys,
)

Documents = Collection[dict[str, Any]]


def add_one(collection: Documents, document: Document) -> Outcome:
    """Add a document, or compare it with the one that has its id or key, once that is durable."""
    if document.idempotency_key is not None or is_too_large(to_bson(document), MOST_BYTES):
        (outcome,) = _compare(collection, [document])
        if outcome.kept is not Kept.CREATED:
            return outcome
    for _ in range(REPEATS):
        try:
            named = _with_key(collection, document)
            _insert(collection, to_bson(named))
        except DuplicateKeyError:
            (outcome,) = _compare(collection, [document])
            if outcome.kept is not Kept.CREATED:
                return outcome
            time.sleep(REPEAT_SECONDS)
        else:
            return Outcome(Kept.CREATED, named.id)
    raise StoreUnavailable("a document with this id or idempotency key is still being stored")


def _with_key(collection: Documents, document: Document) -> Document:
    """Take the idempotency key of a document, if it has one, without a transaction.

    Returns the document, under the id of a write that took its key before and broke off. Raises
    DuplicateKeyError if another document has the key.
    """
    for key in idempotency_keys(collection, [to_bson(document)]):
        try:
            unique_keys(collection).insert_one(key)
        except DuplicateKeyError:
            begun = _begun(collection, [document])
            if not begun:
                raise
            (taken,) = begun.values()
            sort_id = taken.id if document.sort_id == document.id else document.sort_id
            return replace(document, id=taken.id, sort_id=sort_id)
    return document


def _begun(collection: Documents, documents: Sequence[Document]) -> dict[Key, Taken]:
    """Return the keys that a call with the same content took for a document that is not stored."""
    first = {idempotency_key(document): document for document in reversed(documents)}
    taken = find_taken(collection, first, None)
    same = {key: each for key, each in taken.items() if each.body_hash == first[key].body_hash}
    return find_begun(collection, same)


def _insert(collection: Documents, whole: dict[str, Any]) -> None:
    """Insert a document; if the connection breaks, retry once, and accept an equal stored one."""
    (bson,) = put_in_parts(collection, [whole])
    try:
        collection.insert_one(dict(bson))
    except AutoReconnect:
        try:
            collection.insert_one(dict(bson))
        except DuplicateKeyError:
            named = {name: bson[name] for name in ("entity", "project", "id")}
            if collection.find_one(named) != bson:
                raise
    except DuplicateKeyError:
        remove_unused(collection, names_in(collection, [bson]))
        raise


def add_new_documents(
    collection: Documents, documents: Sequence[Document], session: ClientSession, *, partial: bool
) -> list[Outcome]:
    """Add the documents of one kind that are not stored, in the caller's transaction.

    All documents have ids. With `partial`, as `add_accepted` does, otherwise as `add_documents`
    does.
    """
    outcomes = _compare(collection, documents, session, partial=partial)
    new = _new(collection, documents, outcomes, session, partial=partial)
    added = put_in_parts(collection, map(to_bson, new), session)
    if keys := idempotency_keys(collection, added):
        unique_keys(collection).insert_many(keys, session=session)
    if added:
        collection.insert_many(added, session=session)
    return outcomes


def add_documents_one_by_one(
    collection: Documents, documents: Sequence[Document], *, partial: bool
) -> list[Outcome]:
    """Add them on a server without transactions. Raises StoreUnavailable."""
    outcomes = _compare(collection, documents, partial=partial)
    ids: dict[str, str] = {}
    for document in _new(collection, documents, outcomes, partial=partial):
        added = add_one(collection, document)
        if added.kept is not Kept.CREATED:
            raise StoreUnavailable("a document of this call was stored by another one")
        ids[document.id] = added.id
    return [replace(outcome, id=ids.get(outcome.id, outcome.id)) for outcome in outcomes]


def _new(
    collection: Documents,
    documents: Sequence[Document],
    outcomes: Sequence[Outcome],
    session: ClientSession | None = None,
    *,
    partial: bool,
) -> list[Document]:
    pairs = zip(documents, outcomes, strict=True)
    new = [document for document, outcome in pairs if outcome.kept is Kept.CREATED]

    def find_taken(sort_ids: list[str]) -> set[str]:
        found = collection.find({PRIMARY_KEY: {"$in": sort_ids}}, {PRIMARY_KEY: 1}, session=session)
        return {each[PRIMARY_KEY] for each in found}

    return with_free_sort_ids(new, find_taken) if partial else new


def _compare(
    collection: Documents,
    documents: Sequence[Document],
    session: ClientSession | None = None,
    *,
    partial: bool = False,
) -> list[Outcome]:
    """Compare documents with stored ones; without a session, with those that a majority has."""
    if session is None:
        collection = collection.with_options(read_concern=ReadConcern("majority"))
    stored = Stored()
    kind = type(documents[0])
    for (entity, project), ids in by_project(map(id_key, documents)).items():
        for each in find_by_ids(collection, entity, project, ids, session):
            stored.add(to_document(kind, each))
    stored.by_key.update(find_taken(collection, map(idempotency_key, documents), session))
    if session is None:
        for key in _begun(collection, documents):
            del stored.by_key[key]
    return outcomes_of(
        documents, stored, lambda document: never_fits(to_bson(document)), partial=partial
    )
