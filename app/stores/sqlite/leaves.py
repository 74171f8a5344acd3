"""Read leaves from the embedded store, score by score or counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, compress, islice
from typing import Any

import orjson

from app.errors import StoreDamaged
from app.stores.base import Key, LeafPage, ScoreQuery, Tally
from app.stores.singles import Singles
from app.stores.sqlite.deletions import SqliteDeletions
from app.stores.sqlite.rows import (
    SELECT_SEQUENCE,
    Row,
    and_visible,
    superseded,
    texts_size,
    where,
)

PAGE = 300
"""The leaves of how many scores are read at a time."""

AT_ONCE = 50
"""Of how many scores the leaves are read before their lengths are added."""

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
        yield from Tallies().of(self._leaves(query, fields, in_any_order=True))

    def tally_single(
        self, query: ScoreQuery, fields: Sequence[str], by: Sequence[str]
    ) -> Iterator[Tally]:
        query = self.as_of_now(query)
        if not query.has_part_of_slots:  # Then a superseded score is a repeated one.
            query = replace(query, only_current=False)
        yield from Tallies(len(by)).of(self._leaves(query, (*by, *fields), in_any_order=True))

    def _leaves(
        self, query: ScoreQuery, fields: Sequence[str], *, in_any_order: bool = False
    ) -> Iterator[list[Row]]:
        size, at_once = (texts_size, 1) if "value_json" in fields else (leaves_size, AT_ONCE)
        sequence = 0 if in_any_order and not has_index(query) else None
        query, is_whole = self.as_of_now(query), False
        while not is_whole:
            hides = self._hides(query.entity, query.project)
            statement, values = leaves_statement(
                query, fields, PAGE, after_sequence=sequence, hides=hides
            )
            rows, is_whole = self._db().read_page(statement, values, size, at_once)
            if not rows:
                return
            is_whole = is_whole and len(rows) < PAGE
            if sequence is None:
                query = replace(query, after=rows[-1][0])
            else:
                sequence = rows[-1][0]
            yield rows


def has_index(query: ScoreQuery) -> bool:
    """Return whether an index on a filter finds a query's scores, in the order of their ids."""
    filters = (query.evaluation_run_id, query.prediction_id, query.scorer)
    return any(each is not None for each in (*filters, query.after, query.before))


def leaves_statement(
    query: ScoreQuery,
    fields: Sequence[str],
    limit: int,
    *,
    after_sequence: int | None = None,
    hides: bool = False,
) -> tuple[str, list[str | int]]:
    """Return SQL for a query's first scores, and the values to bind.

    The columns are the id, the fields, and the leaves, which are NULL if the score is to be left
    out because it is superseded. With `after_sequence`, scores are in the order of their sequence
    numbers from there on, in which they are read faster, and these are in place of the ids.
    """
    conditions, values = where(query)
    conditions += and_visible("scores", hides=hides)
    leaves = "leaves"
    bound: list[str] = []
    if query.only_current:
        is_superseded, bound = superseded(query, hides=hides)
        leaves = f"CASE WHEN {is_superseded} THEN NULL ELSE leaves END"
    order, table, more = "_id", "scores", []
    if after_sequence is not None:
        order, table, more = "sequence", "scores INDEXED BY scores_by_sequence", [after_sequence]
        conditions += " AND sequence > ?"
    names = (COLUMNS.get(name, name) for name in fields)
    columns = ", ".join([order, *names, leaves])
    statement = f"SELECT {columns} FROM {table} WHERE {conditions} ORDER BY {order} LIMIT ?"
    return statement, [*bound, *values, *more, limit]


def leaves_size(rows: Sequence[Row]) -> int:
    """Return the length of the leaves in rows of a leaves_statement."""
    return sum(len(row[-1]) for row in rows if row[-1])


def to_page(rows: Sequence[Row]) -> LeafPage:
    """Return the page of some rows of a leaves_statement. Raises StoreDamaged."""
    current = [row for row in rows if row[-1] is not None]
    superseded = Counter(row[1:-1] for row in rows if row[-1] is None)
    found = read_lists([row[-1] for row in current])
    if len(found) != len(current):
        raise StoreDamaged("leaves are not what was written")
    return LeafPage([row[1:-1] for row in current], found, superseded)


class Tallies:
    """Counts the rows of a leaves_statement, so that equal leaves of a key are parsed once.

    Parsing leaves takes most of the time. All leaves of a score are counted as one text. Where most
    of these are distinct, as those with measured numbers are, each leaf is counted.
    """

    def __init__(self, num_single: int = 0) -> None:
        """Raise Repeated if two rows have the same first `num_single` fields, if that is not 0."""
        self._counts = Counter[tuple[Any, ...]]()
        """How often a row occurs, without its id and its single fields."""
        self._num_single = num_single
        self._singles = Singles()

    def of(self, pages: Iterable[Sequence[Row]]) -> Iterator[Tally]:
        """Yield the tallies of pages of rows. Raises StoreDamaged and Repeated."""
        distinct = counted = 0
        for rows in pages:
            distinct += self._count(rows)
            counted += len(rows)
            if distinct > MAX_DISTINCT or counted > MAX_COUNTED:
                yield from self._flush()
                distinct = counted = 0
        self._singles.check()
        yield from self._flush()

    def _count(self, rows: Sequence[Row]) -> int:
        """Count rows, and return about how many distinct ones, of usual length, they add."""
        _, *columns, leaves = zip(*rows, strict=True)
        singles, columns = columns[: self._num_single], columns[self._num_single :]
        if singles:
            self._singles.add([list(compress(column, leaves)) for column in singles])
        known = len(self._counts)
        self._counts.update(zip(*columns, leaves, strict=True))
        added = len(self._counts) - known
        return added and added * (1 + leaves_size(rows) // (USUAL_LENGTH * len(rows)))

    def _flush(self) -> Iterator[Tally]:
        """Yield what was counted, and start again."""
        texts: defaultdict[Key, Counter[str]] = defaultdict(Counter)
        for (*fields, leaves), times in self._counts.items():
            if leaves is None:
                yield Tally(tuple(fields), 0, [], [], times)
            else:
                texts[tuple(fields)][leaves] = times
        self._counts.clear()
        for key, counted in texts.items():
            yield from _tallies(key, counted)


def _tallies(key: Key, counted: Counter[str]) -> Iterator[Tally]:
    """Yield the tallies of the scores of a key, given how often the text of all leaves occurs."""
    scores, by_leaf = counted.total(), _are_distinct(counted)
    if by_leaf:
        counted = Counter(_split(list(counted.elements())))
    texts = iter(counted.items())
    while some := dict(islice(texts, PARSED_TOGETHER)):
        leaves, counts = read_lists(some), list(some.values())
        if not by_leaf:
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
