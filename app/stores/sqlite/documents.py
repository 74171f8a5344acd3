"""Predictions and evaluation runs in the embedded store."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from app.errors import KeyReused, TooLarge
from app.ids import next_id
from app.stores.base import DocumentQuery, Kept, Outcome, SharedKey
from app.stores.commits import GroupCommit
from app.stores.documents import (
    PRIMARY_KEY,
    Stored,
    by_project,
    characters,
    columns,
    decode,
    encode,
    find_in_pages,
    form_of,
    id_key,
    idempotency_key,
    merged,
    outcomes_of,
    read_in_pages,
    read_rows_in_pages,
    with_free_sort_ids,
    with_ids,
)
from app.stores.listing import Fields
from app.stores.model import DOCUMENTS, AnyDocument, Document
from app.stores.sqlite.connections import seconds_until
from app.stores.sqlite.deletions import SqliteDeletions, remove_covered
from app.stores.sqlite.files import LOCK_SECONDS
from app.stores.sqlite.highest_ids import highest_id, note_highest_id
from app.stores.sqlite.rows import Row, checksum, damaged, marks, texts_size, visible
from app.stores.weave import Feedback, Merge

NO_LIMIT = -1

SHORT_FIELDS = frozenset({"id", "evaluation_run_id", "example_key"})
ROWS_AT_ONCE = 50
"""How many rows with only these fields are read at once."""

SENT_FILTERS = frozenset(
    {
        *("parent_id", "trace_id", "call_id", "object_id", "prediction_id"),
        *("awaited_row", "id", "predict_and_score_call_id"),
    }
)
"""The indexed fields, apart from names of ops, by which what Weave's SDK sends is filtered."""


class SqliteDocuments(SqliteDeletions):
    """The part of the embedded store that keeps documents, each kind in a table of its own."""

    def _begin_documents(self) -> None:
        self._document_commits = GroupCommit(self._add_groups)

    def add_documents(self, documents: Sequence[Document]) -> list[Outcome]:
        self._db()
        if not documents:
            return []
        return self._document_commits.submit((time.monotonic() + LOCK_SECONDS, documents))

    def _add_groups(
        self, queued: Sequence[tuple[float, Sequence[Document]]]
    ) -> list[list[Outcome]]:
        """Add the documents of several calls in one transaction, each call all or none of them.

        Each call comes with its deadline, and the first is the earliest.
        """
        with self._db().transaction(seconds_until(queued[0][0])) as connection:
            return [add_new(connection, documents, partial=False) for _, documents in queued]

    def upsert_documents(
        self, documents: Sequence[AnyDocument], merge: Merge[AnyDocument]
    ) -> list[AnyDocument]:
        if not documents:
            return []
        with self._db().transaction() as connection:
            return upsert(connection, documents, merge)

    def find_document(
        self, kind: type[AnyDocument], entity: str, project: str, document_id: str
    ) -> AnyDocument | None:
        statement = _select_one(kind) + self._visible(kind.collection, entity, project)
        found = self._db().read_one(statement, entity, project, document_id)
        return _to_document(kind, found) if found else None

    def find_documents(
        self, kind: type[AnyDocument], entity: str, project: str, document_ids: Sequence[str]
    ) -> Iterator[AnyDocument]:
        def find(wanted: list[str]) -> tuple[list[AnyDocument], bool]:
            statement = (
                f"{_select(kind)} WHERE entity = ? AND project = ? AND id IN ({marks(wanted)})"
                f"{self._visible(kind.collection, entity, project)} ORDER BY id"
            )
            rows, is_whole = self._db().read_page(statement, (entity, project, *wanted), texts_size)
            return [_to_document(kind, row) for row in rows], is_whole

        return find_in_pages(find, document_ids)

    def find_retried_document(
        self, kind: type[AnyDocument], entity: str, project: str, retry_hash: str, after: str
    ) -> AnyDocument | None:
        statement = (
            f"{_select(kind)} WHERE entity = ? AND project = ? AND retry_hash = ? AND _id > ?"
            f"{self._visible(kind.collection, entity, project)} ORDER BY _id DESC LIMIT 1"
        )
        found = self._db().read_one(statement, entity, project, retry_hash, after)
        return _to_document(kind, found) if found else None

    def list_sort_ids(self, kind: type[Document], query: DocumentQuery) -> list[str]:
        visible = self._visible(kind.collection, query.entity, query.project)
        rest, values = _conditions(kind, query, visible)
        statement = f"SELECT _id FROM {kind.collection} {rest}"
        return [row[0] for row in self._db().read_all(statement, values)]

    def read_documents(
        self, kind: type[AnyDocument], query: DocumentQuery
    ) -> Iterator[AnyDocument]:
        def read(page: DocumentQuery) -> tuple[list[AnyDocument], bool]:
            visible = self._visible(kind.collection, page.entity, page.project)
            rest, values = _conditions(kind, page, visible)
            rows, is_whole = self._db().read_page(f"{_select(kind)} {rest}", values, texts_size)
            return [_to_document(kind, row) for row in rows], not is_whole

        return read_in_pages(read, query)

    def read_fields(
        self, kind: type[Document], query: DocumentQuery, names: Sequence[str]
    ) -> Iterator[list[Fields]]:
        select = f"SELECT {', '.join((PRIMARY_KEY, *names))} FROM {kind.collection}"
        at_once = ROWS_AT_ONCE if SHORT_FIELDS.issuperset(names) else 1

        def read(page: DocumentQuery) -> tuple[list[Fields], bool]:
            visible = self._visible(kind.collection, page.entity, page.project)
            rest, values = _conditions(kind, page, visible)
            rows, is_whole = self._db().read_page(f"{select} {rest}", values, texts_size, at_once)
            return rows, not is_whole

        return read_rows_in_pages(read, query)

    def change_document(
        self, kind: type[Document], entity: str, project: str, document_id: str, **changes: Any
    ) -> bool:
        with self._db().transaction() as connection:
            statement = f"{_select_one(kind)} AND {visible(kind.collection)}"
            found = connection.execute(statement, (entity, project, document_id)).fetchone()
            if found is None:
                return False
            document: Document = replace(_to_document(kind, found), **changes)
            names = ", ".join(f"{name} = ?" for name in (*columns(kind), "checksum"))
            statement = f"UPDATE {kind.collection} SET {names} WHERE _id = ?"
            connection.execute(statement, (*_row(document), document.sort_id))
            return True

    def delete_documents(
        self, kind: type[Document], entity: str, project: str, document_ids: Sequence[str]
    ) -> int:
        statement = (
            f"DELETE FROM {kind.collection} "
            f"WHERE entity = ? AND project = ? AND id IN ({marks(document_ids)}) "
            f"AND {visible(kind.collection)}"
        )
        with self._db().transaction() as connection:
            note_highest_id(connection, entity, project, kind.collection)
            return connection.execute(statement, (entity, project, *document_ids)).rowcount


def add_new(
    connection: sqlite3.Connection, documents: Sequence[Document], *, partial: bool
) -> list[Outcome]:
    """Add the documents of one kind that are not stored, in the caller's transaction.

    With `partial`, as `add_accepted` does, otherwise as `add_documents` does.
    """
    kind = type(documents[0])
    remove_covered(connection, documents)
    made = with_ids(documents, _id_maker(connection, documents))
    most = _most_characters(connection)
    stored = _find_stored(connection, kind, made)
    outcomes = outcomes_of(
        made, stored, lambda document: characters(document) > most, partial=partial
    )
    pairs = zip(made, outcomes, strict=True)
    new = [document for document, outcome in pairs if outcome.kept is Kept.CREATED]
    if partial:
        new = with_free_sort_ids(new, lambda sort_ids: _find_taken(connection, kind, sort_ids))
    _insert(connection, kind, new)
    return outcomes


def upsert(
    connection: sqlite3.Connection, documents: Sequence[AnyDocument], merge: Merge[AnyDocument]
) -> list[AnyDocument]:
    """Add or merge the documents of one kind, in the caller's transaction. Raises TooLarge."""
    kind = type(documents[0])
    remove_covered(connection, documents)
    made = with_ids(documents, _id_maker(connection, documents))
    before = {id_key(each): each for each in read_stored(connection, kind, made)}
    after = merged(made, before, merge)
    most = _most_characters(connection)
    if any(characters(document) > most for document in after.values()):
        raise TooLarge("The document is too large for the store")
    changed = [each for key, each in after.items() if each != before.get(key)]
    _insert(connection, kind, changed, "INSERT OR REPLACE")
    return [after[id_key(document)] for document in made]


def read_stored(
    connection: sqlite3.Connection, kind: type[AnyDocument], documents: Sequence[Document]
) -> Iterator[AnyDocument]:
    """Yield the stored documents that have the ids of `documents`, also those being deleted."""
    for (entity, project), ids in by_project(map(id_key, documents)).items():
        statement = f"{_select(kind)} WHERE entity = ? AND project = ? AND id IN ({marks(ids)})"
        for row in connection.execute(statement, (entity, project, *ids)):
            yield _to_document(kind, row)


def end_waiting(connection: sqlite3.Connection, feedback: Sequence[Feedback]) -> None:
    """Store that feedback no longer waits for its call, unless it has changed."""
    settled = (replace(each, awaited_call=None) for each in feedback)
    connection.executemany(
        "UPDATE feedback SET awaited_call = NULL, checksum = ? WHERE _id = ? AND body_hash = ?",
        [(_row(each)[-1], each.sort_id, each.body_hash) for each in settled],
    )


def _id_maker(connection: sqlite3.Connection, documents: Sequence[Document]) -> Callable[[], str]:
    """Return a function that makes ids that are higher than all of a table in their projects."""
    table = documents[0].collection
    projects = {(document.entity, document.project) for document in documents}
    newest = max(highest_id(connection, *project, table) for project in projects) or None

    def make() -> str:
        nonlocal newest
        newest = next_id(newest)
        return str(newest)

    return make


def _most_characters(connection: sqlite3.Connection) -> int:
    # A character has at most 4 bytes, and SQLite counts some more bytes than the texts have.
    return connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) // 4 - 1_000


def check_not_reused(connection: sqlite3.Connection, key: SharedKey) -> None:
    """Raise KeyReused if a key was used with another hash, for what is stored and visible."""
    values = (key.entity, key.project, *key.bounds, key.body_hash)
    for table in ("scores", *(kind.collection for kind in DOCUMENTS)):
        statement = (
            f"SELECT 1 FROM {table} WHERE entity = ? AND project = ? AND idempotency_key > ? "
            f"AND idempotency_key < ? AND body_hash <> ? AND {visible(table)} LIMIT 1"
        )
        if connection.execute(statement, values).fetchone():
            raise KeyReused


def _find_taken(
    connection: sqlite3.Connection, kind: type[Document], sort_ids: list[str]
) -> set[str]:
    statement = f"SELECT _id FROM {kind.collection} WHERE _id IN ({marks(sort_ids)})"
    return {row[0] for row in connection.execute(statement, sort_ids)}


def _insert(
    connection: sqlite3.Connection,
    kind: type[Document],
    documents: Sequence[Document],
    verb: str = "INSERT",
) -> None:
    names = ", ".join((*columns(kind), "checksum"))
    places = ", ".join("?" * (len(columns(kind)) + 1))
    statement = f"{verb} INTO {kind.collection} ({names}) VALUES ({places})"
    connection.executemany(statement, map(_row, documents))


def _find_stored(
    connection: sqlite3.Connection, kind: type[Document], documents: Sequence[Document]
) -> Stored:
    stored = Stored()
    wanted = {
        "id": by_project(map(id_key, documents)),
        "idempotency_key": by_project(map(idempotency_key, documents)),
    }
    for name, projects in wanted.items():
        for (entity, project), texts in projects.items():
            statement = (
                f"{_select(kind)} WHERE entity = ? AND project = ? AND {name} IN ({marks(texts)})"
            )
            for row in connection.execute(statement, (entity, project, *texts)):
                stored.add(_to_document(kind, row))
    return stored


def _select(kind: type[Document]) -> str:
    return f"SELECT {', '.join((*columns(kind), 'checksum'))} FROM {kind.collection}"


def _select_one(kind: type[Document]) -> str:
    return f"{_select(kind)} WHERE entity = ? AND project = ? AND id = ?"


def _conditions(
    kind: type[Document], query: DocumentQuery, visible: str
) -> tuple[str, list[str | int]]:
    """Return the SQL after the table's name, and the values to bind."""
    allowed = {"entity": query.entity, "project": query.project}
    filters = {name: [value] for name, value in allowed.items() if value is not None}
    conditions, values = [], list[str | int]()
    for name, texts in {**filters, **query.filters}.items():
        # With `=`, SQLite reads an index in its order and does not have to sort.
        conditions.append(f"{name} = ?" if len(texts) == 1 else f"{name} IN ({marks(texts)})")
        values += texts
    if query.failed:
        conditions.append("error IS NOT NULL")
    for condition, bound in ((f"{PRIMARY_KEY} > ?", query.after), ("_id < ?", query.before)):
        if bound is not None:
            conditions.append(condition)
            values.append(bound)
    where = f"WHERE {' AND '.join(conditions or ['true'])}{visible}"
    if "example_key" in query.filters:  # SQLite would read the whole run, in order.
        where = f"INDEXED BY predictions_by_example {where}"
    elif "id" in query.filters:  # SQLite would read the whole project if another index has the id.
        where = f"INDEXED BY {kind.collection}_by_id {where}"
    limit = NO_LIMIT if query.limit is None else query.limit
    order = "_id DESC" if query.newest_first else "_id"
    if any(len(query.filters.get(name, ())) > 1 for name in SENT_FILTERS):
        order = f"+{order}"  # SQLite would read the whole project, in order, to not sort.
    return f"{where} ORDER BY {order} LIMIT ? OFFSET ?", [*values, limit, query.offset]


def _row(document: Document) -> Row:
    """Return the values of the columns, and their checksum."""
    values = tuple(encode(document).values())
    return (*values, _checksum(type(document), values))


def _checksum(kind: type[Document], values: Row) -> int:
    """Return the checksum of the columns that are set, so that more columns can be added later."""
    texts: list[str] = []
    for name, position in form_of(kind).by_name:
        if values[position] is not None:
            texts += (name, str(values[position]))
    return checksum(texts)


def _to_document(kind: type[AnyDocument], row: Row) -> AnyDocument:
    """Return the document of a row. Raises StoreDamaged."""
    values = dict(zip(columns(kind), row, strict=False))
    try:
        if _checksum(kind, row) == row[-1]:
            return decode(kind, values)
    except (ValueError, TypeError) as error:
        raise damaged(values[PRIMARY_KEY]) from error
    raise damaged(values[PRIMARY_KEY])
