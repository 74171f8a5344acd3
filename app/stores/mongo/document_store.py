"""Predictions and evaluation runs in the MongoDB store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.errors import AutoReconnect, DuplicateKeyError
from pymongo.read_concern import ReadConcern

from app.errors import StoreDamaged, StoreUnavailable
from app.ids import new_id
from app.stores.base import DocumentQuery, Fields, Kept, Outcome
from app.stores.deletions import is_covered, run_of
from app.stores.documents import (
    PRIMARY_KEY,
    Key,
    Stored,
    by_project,
    decode,
    encode,
    encode_changes,
    find_in_pages,
    id_key,
    idempotency_key,
    outcomes_of,
    read_in_pages,
    read_rows_in_pages,
    with_free_sort_ids,
    with_ids,
)
from app.stores.model import AnyDocument, Document
from app.stores.mongo.deletions import MongoDeletions
from app.stores.mongo.documents import IS_TEXT, index_for_documents
from app.stores.mongo.driver import is_too_large, our_errors, read_page
from app.stores.mongo.transactions import (
    REPEAT_SECONDS,
    REPEATS,
    has_transactions,
    in_transaction,
    in_transaction_if_possible,
)
from app.stores.mongo.unique_keys import (
    Taken,
    delete_with_keys,
    find_begun,
    find_taken,
    idempotency_keys,
    unique_keys,
)

Documents = Collection[dict[str, Any]]
MAJORITY = ReadConcern("majority")


class MongoDocuments(MongoDeletions):
    """The part of the MongoDB store that keeps documents, each kind in a collection of its own."""

    def add_documents(self, documents: Sequence[Document]) -> list[Outcome]:
        self._prepare_once()
        if not documents:
            return []
        self._remove_covered(documents)
        collection, made = self._with_ids(documents)

        def add(session: ClientSession) -> list[Outcome]:
            return add_new_documents(collection, made, session, partial=False)

        with our_errors():
            together = has_transactions(self._client)
            if len(made) == 1 and not (together and made[0].idempotency_key is not None):
                return [_add_one(collection, made[0])]
            if together:
                return in_transaction(self._client, add)
            return add_documents_one_by_one(collection, made, partial=False)

    def _with_ids(self, documents: Sequence[Document]) -> tuple[Documents, list[Document]]:
        """Return the collection of documents of one kind, and the documents with ids."""
        return self._collection(type(documents[0])), with_ids(documents, new_id)

    def _collection(self, kind: type[Document]) -> Documents:
        return self._database[kind.collection]

    def find_document(
        self, kind: type[AnyDocument], entity: str, project: str, document_id: str
    ) -> AnyDocument | None:
        with our_errors():
            found = self._collection(kind).find_one(_named(entity, project, document_id))
        document = to_document(kind, found) if found else None
        if document and run_of(document) is not None:
            return None if is_covered(document, self._pending(entity, project)) else document
        return document

    def find_documents(
        self, kind: type[AnyDocument], entity: str, project: str, document_ids: Sequence[str]
    ) -> Iterator[AnyDocument]:
        self._prepare_once()
        collection = self._collection(kind)

        def find(wanted: list[str]) -> tuple[list[AnyDocument], bool]:
            named = {
                "entity": entity,
                "project": project,
                "id": {"$in": wanted},
                **self._visible(kind.collection, entity, project),
            }
            found = collection.find(named).sort("id", ASCENDING).hint(f"{kind.collection}_by_id")
            documents, is_whole = read_page(found, len(wanted) + 1)  # More than there can be.
            return [to_document(kind, each) for each in documents], is_whole

        return find_in_pages(find, document_ids)

    def find_retried_document(
        self, kind: type[AnyDocument], entity: str, project: str, retry_hash: str, after: str
    ) -> AnyDocument | None:
        wanted = {
            "entity": entity,
            "project": project,
            "retry_hash": {"$eq": retry_hash, **IS_TEXT},
            PRIMARY_KEY: {"$gt": after},
            **self._visible(kind.collection, entity, project),
        }
        self._prepare_once()
        collection = self._collection(kind).with_options(read_concern=MAJORITY)
        with our_errors():
            found = collection.find(wanted).hint(f"{kind.collection}_by_retry_hash")
            newest = found.sort(PRIMARY_KEY, DESCENDING).limit(1)
            return next((to_document(kind, each) for each in newest), None)

    def list_sort_ids(self, kind: type[Document], query: DocumentQuery) -> list[str]:
        self._prepare_once()  # The index in the hint must exist.
        if query.limit == 0:  # To MongoDB it is no limit.
            return []
        visible = self._visible(kind.collection, query.entity, query.project)
        found = _find(self._collection(kind), query, visible, {PRIMARY_KEY: 1})
        with our_errors():
            return [each[PRIMARY_KEY] for each in found.limit(query.limit or 0)]

    def read_documents(
        self, kind: type[AnyDocument], query: DocumentQuery
    ) -> Iterator[AnyDocument]:
        self._prepare_once()
        collection = self._collection(kind)
        if query.entity is None:
            collection = collection.with_options(read_concern=MAJORITY)

        def read(page: DocumentQuery) -> tuple[list[AnyDocument], bool]:
            visible = self._visible(kind.collection, page.entity, page.project)
            documents, cut_off = _read(collection, page, visible)
            return [to_document(kind, each) for each in documents], cut_off

        return read_in_pages(read, query)

    def read_fields(
        self, kind: type[Document], query: DocumentQuery, names: Sequence[str]
    ) -> Iterator[list[Fields]]:
        self._prepare_once()
        collection, shown = self._collection(kind), (PRIMARY_KEY, *names)

        def read(page: DocumentQuery) -> tuple[list[Fields], bool]:
            visible = self._visible(kind.collection, page.entity, page.project)
            documents, cut_off = _read(collection, page, visible, dict.fromkeys(shown, 1))
            return [tuple(map(each.get, shown)) for each in documents], cut_off

        return read_rows_in_pages(read, query)

    def change_document(
        self, kind: type[Document], entity: str, project: str, document_id: str, **changes: Any
    ) -> bool:
        encoded = encode_changes(changes)
        given = {name: value for name, value in encoded.items() if value is not None}
        unset = dict.fromkeys(encoded.keys() - given.keys(), "")
        update = {"$set": given} if given else {}
        if unset:
            update["$unset"] = unset
        visible = self._visible(kind.collection, entity, project)
        with our_errors():
            named = _named(entity, project, document_id) | visible
            return self._collection(kind).update_one(named, update).matched_count == 1

    def delete_documents(
        self, kind: type[Document], entity: str, project: str, document_ids: Sequence[str]
    ) -> int:
        wanted = {
            "entity": entity,
            "project": project,
            "id": {"$in": list(document_ids)},
            **self._visible(kind.collection, entity, project),
        }

        def delete(session: ClientSession | None) -> int:
            return delete_with_keys(self._collection(kind), wanted, session)

        with our_errors():
            return in_transaction_if_possible(self._client, delete)


def _add_one(collection: Documents, document: Document) -> Outcome:
    """Add a document, or compare it with the one that has its id or key, once that is durable."""
    if document.idempotency_key is not None or is_too_large(to_bson(document)):
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


def _insert(collection: Documents, bson: dict[str, Any]) -> None:
    """Insert a document; if the connection breaks, retry once, and accept an equal stored one."""
    try:
        collection.insert_one(dict(bson))
    except AutoReconnect:
        try:
            collection.insert_one(dict(bson))
        except DuplicateKeyError:
            if collection.find_one(_named(bson["entity"], bson["project"], bson["id"])) != bson:
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
    added = [to_bson(document) for document in new]
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
        added = _add_one(collection, document)
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
        collection = collection.with_options(read_concern=MAJORITY)
    stored = Stored()
    kind = type(documents[0])
    for (entity, project), ids in by_project(map(id_key, documents)).items():
        named = {"entity": entity, "project": project, "id": {"$in": ids}}
        for each in collection.find(named, session=session).hint(f"{collection.name}_by_id"):
            stored.add(to_document(kind, each))
    stored.by_key.update(find_taken(collection, map(idempotency_key, documents), session))
    if session is None:
        for key in _begun(collection, documents):
            del stored.by_key[key]
    return outcomes_of(
        documents, stored, lambda document: is_too_large(to_bson(document)), partial=partial
    )


def _named(entity: str, project: str, document_id: str) -> dict[str, Any]:
    return {"entity": entity, "project": project, "id": document_id}


def _find(
    collection: Documents,
    query: DocumentQuery,
    visible: Mapping[str, Any],
    fields: dict[str, int] | None = None,
) -> Cursor[dict[str, Any]]:
    wanted = {**_filter(query), **visible}
    order = DESCENDING if query.newest_first else ASCENDING
    found = collection.find(wanted, fields).sort(PRIMARY_KEY, order).skip(query.offset)
    if query.project is None:
        return found
    # Without a hint, a server may read all projects in the order of `_id`.
    return found.hint(index_for_documents(collection.name, query))


def _read(
    collection: Documents,
    page: DocumentQuery,
    visible: Mapping[str, Any],
    fields: dict[str, int] | None = None,
) -> tuple[list[dict[str, Any]], bool]:
    """Return the documents of a page, and whether there are fewer because they were large."""
    most = page.limit or 0
    documents, is_whole = read_page(_find(collection, page, visible, fields), most)
    return documents, not is_whole and len(documents) < most


def _filter(query: DocumentQuery) -> dict[str, Any]:
    """Return MongoDB's filter for a query; input of users is only used as values."""
    allowed = {"entity": query.entity, "project": query.project}
    conditions: dict[str, Any]
    conditions = {name: value for name, value in allowed.items() if value is not None}
    for name, texts in query.filters.items():
        conditions[name] = texts[0] if len(texts) == 1 else {"$in": list(texts)}
    if "awaited_row" in conditions:
        conditions["awaited_row"] = {"$in": list(query.filters["awaited_row"]), **IS_TEXT}
    if query.failed:
        conditions["error"] = IS_TEXT
    bounds = {"$gt": query.after, "$lt": query.before}
    if given := {name: value for name, value in bounds.items() if value is not None}:
        conditions[PRIMARY_KEY] = given
    return conditions


def to_bson(document: Document) -> dict[str, Any]:
    """Return a document as MongoDB stores it, without fields that are not set."""
    return {name: value for name, value in encode(document).items() if value is not None}


def to_document(kind: type[AnyDocument], bson: dict[str, Any]) -> AnyDocument:
    """Return a document as MongoDB stores it. Raises StoreDamaged."""
    try:
        return decode(kind, bson)
    except (ValueError, TypeError) as error:
        raise StoreDamaged(f"{bson[PRIMARY_KEY]!r} is not what was written") from error
