"""Keep tables, rows and files by the digests of their content, each once in a project."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from app import jsontext
from app.errors import InvalidParameter, NotFound
from app.examples import digest_text, row_digest
from app.stores.base import Store
from app.stores.weave import Content

PART = 1_000
"""How many rows are stored at a time."""

MAX_MOVES = 1_000
"""How many inserts and pops one update of a table may have; each moves the rows behind it."""


class Place(NamedTuple):
    """A project, and the owner and the role of the API key that writes to it."""

    entity: str
    project: str
    owner: str | None = None
    role: str = "admin"

    @property
    def may_change(self) -> bool:
        """Whether the key may change what other owners' keys wrote."""
        return self.role != "create"


def add_table(store: Store, place: Place, rows: Sequence[dict[str, Any]]) -> tuple[str, list[str]]:
    """Store a table and its rows; return its digest and theirs."""
    digests = [row_digest(row) for row in rows]
    _add_rows(store, place, digests, rows)
    return add_table_of(store, place, digests), digests


def _add_rows(
    store: Store, place: Place, digests: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    texts = dict(zip(digests, map(jsontext.write, rows), strict=True))
    _add_contents(store, place, "row", texts)


def add_table_of(store: Store, place: Place, digests: Sequence[str]) -> str:
    """Store a table of rows that are stored, or that another server has; return its digest."""
    digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    _add_contents(store, place, "table", {digest: jsontext.write(list(digests))})
    return digest


def update_table(
    store: Store, place: Place, base_digest: str, updates: Sequence[dict[str, Any]]
) -> tuple[str, list[str]]:
    """Store the table that results from updates; return its digest and the row of each update.

    An update is {"append": {"row": …}}, {"insert": {"index": …, "row": …}} or
    {"pop": {"index": …}}. Raises NotFound and InvalidParameter.
    """
    if sum("append" not in update for update in updates) > MAX_MOVES:
        message = f"at most {MAX_MOVES} may insert or pop"
        raise InvalidParameter("updates", None, message, place="body")
    digests = read_table(store, place, base_digest)
    new: dict[str, dict[str, Any]] = {}
    updated = []
    for update in updates:
        try:
            updated.append(_update(digests, new, update))
        except (KeyError, TypeError, IndexError, StopIteration):
            message = "this is not an append, insert or pop that fits the table"
            raise InvalidParameter("updates", update, message, place="body") from None
    _add_rows(store, place, list(new), list(new.values()))
    return add_table_of(store, place, digests), updated


def _update(digests: list[str], new: dict[str, dict[str, Any]], update: dict[str, Any]) -> str:
    """Change the digests of a table by one update, note a new row, and return its digest."""
    kind = next(each for each in ("append", "insert", "pop") if each in update)
    if kind == "pop":
        return digests.pop(_index_in(update["pop"], len(digests) - 1))
    row = update[kind]["row"]
    if not isinstance(row, dict):
        raise TypeError("a row is an object")
    digest = row_digest(row)
    end = len(digests)
    digests.insert(end if kind == "append" else _index_in(update[kind], end), digest)
    new[digest] = row
    return digest


def _index_in(update: dict[str, Any], last: int) -> int:
    index = update["index"]
    if type(index) is not int or not 0 <= index <= last:
        raise IndexError(index)
    return index


def read_table(store: Store, place: Place, digest: str) -> list[str]:
    """Return the digests of the rows of a table. Raises NotFound."""
    found = store.find_document(Content, place.entity, place.project, f"table/{digest}")
    if found is None:
        raise NotFound(f"Table {digest} not found")
    digests: list[str] = jsontext.read(found.text.encode())
    return digests


def read_rows(store: Store, place: Place, digests: Iterable[str]) -> dict[str, str]:
    """Return the rows that are stored as JSON text, by digest."""
    return dict(find_rows(store, place, digests))


def find_rows(store: Store, place: Place, digests: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the digests of the rows that are stored, and the rows as JSON text."""
    wanted = [f"row/{digest}" for digest in set(digests)]
    for content in store.find_documents(Content, place.entity, place.project, wanted):
        yield content.id.partition("/")[2], content.text


def add_file(store: Store, place: Place, data: bytes) -> str:
    """Store a file, and return its digest."""
    digest = digest_text(data)
    _add_contents(store, place, "file", {digest: base64.b64encode(data).decode()})
    return digest


def read_file(store: Store, place: Place, digest: str) -> bytes:
    """Return the content of a file. Raises NotFound."""
    found = store.find_document(Content, place.entity, place.project, f"file/{digest}")
    if found is None:
        raise NotFound(f"File {digest} not found")
    return base64.b64decode(found.text)


def _add_contents(store: Store, place: Place, kind: str, texts: dict[str, str]) -> None:
    items = iter(texts.items())
    while part := [
        Content(
            entity=place.entity,
            project=place.project,
            wb_user_id=place.owner,
            id=f"{kind}/{digest}",
            body_hash="",
            text=text,
        )
        for digest, text in islice(items, PART)
    ]:
        store.add_documents(part)
