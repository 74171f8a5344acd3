"""Read leaves from the embedded store, score by score or counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, repeat
from typing import Any

import orjson

from app.errors import StoreDamaged
from app.stores.base import Key, LeafPage, ScoreQuery, Tally
from app.stores.sqlite.deletions import SqliteDeletions
from app.stores.sqlite.rows import SELECT_SEQUENCE, Row, and_visible, superseded, where

PAGE = 300
"""The leaves of how many scores are read at a time."""

MAX_DISTINCT = 20_000
"""How many distinct leaves are counted before they are yielded."""

MAX_COUNTED = 500_000
"""How many leaves, equal or not, are counted before they are yielded: a caller may expand them."""

PARSED_TOGETHER = 500
"""How many leaves are parsed together, few enough not to trigger the garbage collector."""

COLUMNS = {
    "score_id": "_id",
    "day": "substr(created_at, 1, 10)",
    "hour": "substr(created_at, 1, 13) || ':00Z'",
}
"""The SQL of the fields that are not a column of the same name."""


class SqliteLeaves(SqliteDeletions):
    """The part of the embedded store that reads leaves."""

    def as_of_now(self, query: ScoreQuery) -> ScoreQuery:
        if query.as_of is not None:
            return query
        ((newest,),) = self._db().read_all(SELECT_SEQUENCE)
        return replace(query, as_of=str(newest))

    def read_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[LeafPage]:
        for rows in self._leaves(query, fields):
            yield to_page(rows)

    def tally_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[Tally]:
        yield from Tallies().of(self._leaves(query, fields))

    def _leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[list[Row]]:
        size = texts_size if "value_json" in fields else leaves_size
        query, is_whole = self.as_of_now(query), False
        while not is_whole:
            hides = self._hides(query.entity, query.project)
            statement, values = leaves_statement(query, fields, PAGE, hides=hides)
            rows, is_whole = self._db().read_page(statement, values, size)
            if not rows:
                return
            is_whole = is_whole and len(rows) < PAGE
            query = replace(query, after=rows[-1][0])
            yield rows


def leaves_statement(
    query: ScoreQuery, fields: Sequence[str], limit: int, *, hides: bool = False
) -> tuple[str, list[str | int]]:
    """Return SQL for a query's first scores, and the values to bind.

    The columns are the id, whether the score is to be left out because it is superseded, the
    fields, and the leaves.
    """
    conditions, values = where(query)
    conditions += and_visible("scores", hides=hides)
    left_out, bound = superseded(query, hides=hides) if query.only_current else ("0", [])
    names = (COLUMNS.get(name, name) for name in fields)
    columns = ", ".join(["_id", left_out, *names, "leaves"])
    statement = f"SELECT {columns} FROM scores WHERE {conditions} ORDER BY _id LIMIT ?"
    return statement, [*bound, *values, limit]


def leaves_size(row: Row) -> int:
    """Return the length of the leaves in a row of a leaves_statement."""
    return len(row[-1])


def texts_size(row: Row) -> int:
    """Return the length of all texts in a row of a leaves_statement."""
    return sum(len(value) for value in row if isinstance(value, str))


def to_page(rows: Sequence[Row]) -> LeafPage:
    """Return the page of some rows of a leaves_statement. Raises StoreDamaged."""
    current, superseded = _separated(rows)
    found = read_lists([row[-1] for row in current])
    if len(found) != len(current):
        raise StoreDamaged("leaves are not what was written")
    return LeafPage([row[2:-1] for row in current], found, superseded)


def _separated(rows: Sequence[Row]) -> tuple[list[Row], Counter[Key]]:
    """Return the rows that are not left out, and how many are, by their fields."""
    current = [row for row in rows if not row[1]]
    if len(current) == len(rows):
        return current, Counter()
    return current, Counter(row[2:-1] for row in rows if row[1])


class Tallies:
    """Counts the rows of a leaves_statement, so that equal leaves of a key are parsed once.

    Parsing leaves takes most of the time. Once most leaves of a key are distinct, as measured
    numbers are, counting them saves nothing, and they are no longer counted.
    """

    def __init__(self) -> None:
        self._counts: defaultdict[Key, Counter[str]] = defaultdict(Counter)
        self._scores = Counter[Key]()
        self._uncounted: set[Key] = set()

    def of(self, pages: Iterable[Sequence[Row]]) -> Iterator[Tally]:
        """Yield the tallies of pages of rows. Raises StoreDamaged."""
        distinct = counted = 0
        for rows in pages:
            current, superseded = _separated(rows)
            for key, number in superseded.items():
                yield Tally(key, 0, [], [], number)
            for key, texts in _by_key(current).items():
                leaf_texts = _split(texts)
                if key in self._uncounted:
                    yield Tally(key, len(texts), read_lists(leaf_texts), [1] * len(leaf_texts))
                else:
                    distinct += self._count(key, len(texts), leaf_texts)
                    counted += len(leaf_texts)
            if distinct > MAX_DISTINCT or counted > MAX_COUNTED:
                yield from self._flush()
                distinct = counted = 0
        yield from self._flush()

    def _count(self, key: Key, scores: int, texts: list[str]) -> int:
        """Count leaves, and return how many of them are new, plus one if the key is new."""
        before = len(self._counts)
        counted = self._counts[key]
        known = len(counted)
        counted.update(texts)
        self._scores[key] += scores
        return len(counted) - known + len(self._counts) - before

    def _flush(self) -> Iterator[Tally]:
        """Yield what was counted, and start again."""
        for key, counted in self._counts.items():
            scores = self._scores[key]
            texts = iter(counted.items())
            while some := dict(islice(texts, PARSED_TOGETHER)):
                yield Tally(key, scores, read_lists(some), list(some.values()))
                scores = 0
            if scores:
                yield Tally(key, scores, [], [])  # Their values have no leaves.
            if len(counted) * 2 > counted.total():
                self._uncounted.add(key)
        self._counts.clear()
        self._scores.clear()


def _by_key(rows: Sequence[Row]) -> dict[Key, list[str]]:
    """Return the texts of leaves, grouped by the fields."""
    if not rows:
        return {}
    _, _, *columns, leaves = zip(*rows, strict=True)
    keys: Iterable[Key] = zip(*columns, strict=True) if columns else repeat(())
    texts = defaultdict(list)
    for key, text in zip(keys, leaves, strict=False):
        texts[key].append(text)
    return texts


def _split(texts: list[str]) -> list[str]:
    """Split the texts of lists into the texts of their leaves.

    Within a JSON string, quotes and line feeds are escaped, so the text that is replaced here only
    occurs between leaves.
    """
    if "[]" in texts:
        texts = [text for text in texts if text != "[]"]
    joined = ",".join(texts)[1:-1]
    joined = joined.replace('}],[{"path":', '}\n{"path":').replace('},{"path":', '}\n{"path":')
    return joined.split("\n") if joined else []


def read_lists(texts: Iterable[str]) -> list[Any]:
    """Parse JSON texts together. Raises StoreDamaged."""
    try:
        found: list[Any] = orjson.loads(f"[{','.join(texts)}]")
    except (TypeError, ValueError) as error:
        raise StoreDamaged("leaves are not what was written") from error
    return found
