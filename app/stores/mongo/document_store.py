"""Predictions and evaluation runs in the MongoDB store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.read_concern import ReadConcern

from app.ids import new_id
from app.stores.base import DocumentQuery, Outcome
from app.stores.deletions import is_covered, run_of
from app.stores.documents import (
    PRIMARY_KEY,
    encode_changes,
    find_in_pages,
    read_in_pages,
    read_rows_in_pages,
    with_ids,
)
from app.stores.listing import Fields
from app.stores.model import AnyDocument, Document
from app.stores.mongo.additions import add_documents_one_by_one, add_new_documents, add_one
from app.stores.mongo.deletions import MongoDeletions
from app.stores.mongo.documents import IN_PARTS, IS_TEXT, index_for_documents, to_document
from app.stores.mongo.driver import our_errors
from app.stores.mongo.parts import (
    changes_in_parts,
    find_whole,
    names_in,
    names_of,
    projection,
    read_whole_page,
    remove_unused,
    write_parts,
)
from app.stores.mongo.transactions import (
    has_transactions,
    in_transaction,
    in_transaction_if_possible,
)
from app.stores.mongo.unique_keys import delete_with_keys

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
                return [add_one(collection, made[0])]
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
        collection, named = self._collection(kind), _named(entity, project, document_id)
        found = find_whole(collection, lambda: collection.find(named).limit(1))
        document = to_document(kind, found[0]) if found else None
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
            index = f"{kind.collection}_by_id"
            documents, is_whole = read_whole_page(
                collection,
                lambda: collection.find(named).sort("id", ASCENDING).hint(index),
                len(wanted) + 1,  # More than there can be.
            )
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

        def find() -> Cursor[dict[str, Any]]:
            found = collection.find(wanted).hint(f"{kind.collection}_by_retry_hash")
            return found.sort(PRIMARY_KEY, DESCENDING).limit(1)

        newest = find_whole(collection, find)
        return to_document(kind, newest[0]) if newest else None

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
        fields = projection(shown)

        def read(page: DocumentQuery) -> tuple[list[Fields], bool]:
            visible = self._visible(kind.collection, page.entity, page.project)
            documents, cut_off = _read(collection, page, visible, fields)
            return [tuple(map(each.get, shown)) for each in documents], cut_off

        return read_rows_in_pages(read, query)

    def change_document(
        self, kind: type[Document], entity: str, project: str, document_id: str, **changes: Any
    ) -> bool:
        collection, named = self._collection(kind), _named(entity, project, document_id)
        update, parts = changes_in_parts(collection, named, encode_changes(changes))
        visible = self._visible(kind.collection, entity, project)
        with our_errors():
            write_parts(collection, parts)
            before = collection.find_one_and_update(named | visible, update, [IN_PARTS])
            replaced = names_in(collection, [named | (before or {})])
            remove_unused(collection, [*replaced, *names_of(parts)])
        return before is not None

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
    # Before MongoDB 6.0, a sort of more than 100 MB would fail: not every index has the order.
    found = collection.find(wanted, fields, allow_disk_use=True)
    found = found.sort(PRIMARY_KEY, order).skip(query.offset)
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
    documents, is_whole = read_whole_page(
        collection, lambda: _find(collection, page, visible, fields), most
    )
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
