"""Read the rows of tables: in order or sorted by fields, filtered by their digests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from app import jsontext
from app.analysis.expressions import look_up
from app.errors import NotFound
from app.stores.base import Store
from app.weave.contents import Place, read_rows, read_table
from app.weave.queries import split_field

PAGE = 100
"""How many rows are read at a time."""


MAX_SORTED = 1_000
"""By how many characters of a text rows are sorted."""


class Row(NamedTuple):
    """The position of a row in its table, its digest, and the row as JSON text."""

    position: int
    digest: str
    text: str


MISSING = "null"
"""A row that was never sent to this service, as JSON."""

Position = tuple[int, str]
"""The position and the digest of a row."""


def count_rows(store: Store, place: Place, digest: str) -> int:
    """Return how many rows a table has; none if there is no such table, as in Weave."""
    return len(_digests(store, place, digest))


def count_rows_of(store: Store, place: Place, digests: Sequence[str]) -> dict[str, int]:
    """Return how many rows tables have, by the digests of those that exist."""
    counts = {}
    for digest in dict.fromkeys(digests):
        with suppress(NotFound):
            counts[digest] = len(read_table(store, place, digest))
    return counts


def query_rows(store: Store, place: Place, wanted: dict[str, Any]) -> Iterator[Row]:
    """Yield the rows of a table that a loaded TableQueryBody asks for.

    There is none if there is no such table, as in Weave.
    """
    positions: Sequence[Position] = list(enumerate(_digests(store, place, wanted["digest"])))
    if allowed := (wanted["filter"] or {}).get("row_digests"):
        kept = frozenset(allowed)
        positions = [each for each in positions if each[1] in kept]
    if wanted["sort_by"]:
        positions = _sorted(store, place, positions, wanted["sort_by"])
    first, limit = wanted["offset"] or 0, wanted["limit"]
    return _read(store, place, positions[first : None if limit is None else first + limit])


def _digests(store: Store, place: Place, digest: str) -> list[str]:
    try:
        return read_table(store, place, digest)
    except NotFound:
        return []


def _read(store: Store, place: Place, positions: Sequence[Position]) -> Iterator[Row]:
    for first in range(0, len(positions), PAGE):
        page = positions[first : first + PAGE]
        texts = read_rows(store, place, [digest for _, digest in page])
        for position, digest in page:
            yield Row(position, digest, texts.get(digest, MISSING))


def _sorted(
    store: Store, place: Place, positions: Sequence[Position], terms: Sequence[dict[str, str]]
) -> list[Position]:
    """Return positions in the order of some fields of their rows; only these are kept in memory."""
    paths = [split_field(term["field"]) for term in terms]
    keyed = []
    for row in _read(store, place, positions):
        value = jsontext.read(row.text.encode())
        keyed.append(((row.position, row.digest), [_sort_key(value, path) for path in paths]))
    for term in reversed(range(len(terms))):
        keyed.sort(key=lambda pair: pair[1][term], reverse=terms[term]["direction"] == "desc")
    return [position for position, _ in keyed]


def _sort_key(value: Any, path: list[str]) -> tuple[int, float, str]:
    """Return the key of a field of a row: null is first, then numbers, then all else as text."""
    value = look_up(value, path)
    if value is None:
        return (0, 0, "")
    if isinstance(value, int | float):
        return (1, value, "")
    text = value if isinstance(value, str) else jsontext.write(value)
    return (2, 0, text[:MAX_SORTED])
