"""Read leaves from the embedded store, score by score or counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, repeat
from typing import Any

import orjson

from app.errors import StoreDamaged
from app.stores.base import Key, LeafPage, ScoreQuery, Tally
from app.stores.singles import Singles
from app.stores.sqlite.deletions import SqliteDeletions
from app.stores.sqlite.rows import SELECT_SEQUENCE, Row, and_visible, superseded, where

PAGE = 300
"""The leaves of how many scores are read at a time."""

MAX_DISTINCT = 20_000
"""How many distinct leaves are counted before they are yielded."""

MAX_COUNTED = 500_000
"""How many leaves, equal or not, are counted before they are yielded: a caller may expand them."""

USUAL_LENGTH = 500
"""How long a text that is counted may be until it counts as several distinct ones."""

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

    def tally_single(
        self, query: ScoreQuery, fields: Sequence[str], by: Sequence[str]
    ) -> Iterator[Tally]:
        query = self.as_of_now(query)
        if not query.has_part_of_slots:  # Then a superseded score is a repeated one.
            query = replace(query, only_current=False)
        yield from Tallies(len(by)).of(self._leaves(query, (*by, *fields)))

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
    current, superseded = _separated(rows, 2)
    found = read_lists([row[-1] for row in current])
    if len(found) != len(current):
        raise StoreDamaged("leaves are not what was written")
    return LeafPage([row[2:-1] for row in current], found, superseded)


def _separated(rows: Sequence[Row], first: int) -> tuple[list[Row], Counter[Key]]:
    """Return the rows that are not left out, and how many are, by their fields from `first` on."""
    current = [row for row in rows if not row[1]]
    if len(current) == len(rows):
        return current, Counter()
    return current, Counter(row[first:-1] for row in rows if row[1])


class Tallies:
    """Counts the rows of a leaves_statement, so that equal leaves of a key are parsed once.

    Parsing leaves takes most of the time. At first all leaves of a score are counted as one text.
    Once most of these are distinct, each leaf is counted; and once most leaves are distinct, as
    measured numbers are, counting them saves nothing, and they are no longer counted.
    """

    def __init__(self, num_single: int = 0) -> None:
        """Raise Repeated if two rows have the same first `num_single` fields, if that is not 0."""
        self._counts: defaultdict[Key, Counter[str]] = defaultdict(Counter)
        self._scores = Counter[Key]()
        self._by_leaf: set[Key] = set()
        self._uncounted: set[Key] = set()
        self._num_single = num_single
        self._singles = Singles()

    def of(self, pages: Iterable[Sequence[Row]]) -> Iterator[Tally]:
        """Yield the tallies of pages of rows. Raises StoreDamaged and Repeated."""
        distinct = counted = 0
        for rows in pages:
            current, superseded = _separated(rows, 2 + self._num_single)
            for key, number in superseded.items():
                yield Tally(key, 0, [], [], number)
            for key, texts in self._by_key(current).items():
                if key in self._uncounted:
                    leaf_texts = _split(texts)
                    yield Tally(key, len(texts), read_lists(leaf_texts), [1] * len(leaf_texts))
                else:
                    distinct += self._count(key, texts)
                    counted += len(texts)
            if distinct > MAX_DISTINCT or counted > MAX_COUNTED:
                yield from self._flush()
                distinct = counted = 0
        self._singles.check()
        yield from self._flush()

    def _by_key(self, rows: Sequence[Row]) -> dict[Key, list[str]]:
        """Return the texts of leaves, grouped by the fields that are no single ones."""
        if not rows:
            return {}
        _, _, *columns, leaves = zip(*rows, strict=True)
        singles, columns = columns[: self._num_single], columns[self._num_single :]
        if singles:
            self._singles.add(singles)
        keys: Iterable[Key] = zip(*columns, strict=True) if columns else repeat(())
        texts = defaultdict(list)
        for key, text in zip(keys, leaves, strict=False):
            texts[key].append(text)
        return texts

    def _count(self, key: Key, texts: list[str]) -> int:
        """Count scores, and return about how many new texts and keys, of usual length, they add."""
        usual = 1 + sum(map(len, texts)) // (USUAL_LENGTH * len(texts))
        before = len(self._counts)
        counted = self._counts[key]
        known = len(counted)
        counted.update(_split(texts) if key in self._by_leaf else texts)
        self._scores[key] += len(texts)
        return (len(counted) - known) * usual + len(self._counts) - before

    def _flush(self) -> Iterator[Tally]:
        """Yield what was counted, and start again."""
        for key, texts in self._counts.items():
            counted = texts
            if key not in self._by_leaf and _are_distinct(texts):
                self._by_leaf.add(key)
                counted = Counter(_split(list(texts.elements())))
            yield from self._tallies(key, counted)
            if key in self._by_leaf and _are_distinct(counted):
                self._uncounted.add(key)
        self._counts.clear()
        self._scores.clear()

    def _tallies(self, key: Key, counted: Counter[str]) -> Iterator[Tally]:
        scores = self._scores[key]
        texts = iter(counted.items())
        while some := dict(islice(texts, PARSED_TOGETHER)):
            leaves, counts = read_lists(some), list(some.values())
            if key not in self._by_leaf:
                counts = [times for each, times in zip(leaves, counts, strict=True) for _ in each]
                leaves = list(chain.from_iterable(leaves))
            yield Tally(key, scores, leaves, counts)
            scores = 0
        if scores:
            yield Tally(key, scores, [], [])  # Their values have no leaves.


def _are_distinct(counted: Counter[str]) -> bool:
    return len(counted) * 2 > counted.total()


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
