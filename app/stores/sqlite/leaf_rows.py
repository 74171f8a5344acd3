"""Leaves of the embedded store: how they are read, score by score or counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any

import orjson

from app.errors import StoreDamaged
from app.stores.base import Key, Leaves, ScoreQuery, Tally
from app.stores.sqlite.rows import Row, where

MOST_COUNTED = 20_000
"""How many different leaves are counted before they are handed on."""

MOST_HELD = 500_000
"""How many leaves, equal or not, are counted before they are handed on: they may be unfolded."""

READ_AT_ONCE = 500
"""How many leaves are read as one: so few that Python's collector of garbage has no turn."""

COLUMNS = {
    "score_id": "_id",
    "day": "substr(created_at, 1, 10)",
    "hour": "substr(created_at, 1, 13) || ':00Z'",
}
"""What a field is in SQL, where that is no column of its name."""


def leaves_statement(
    query: ScoreQuery, fields: Sequence[str], limit: int
) -> tuple[str, list[str | int]]:
    """Return SQL for id, fields and leaves of a query's first scores, and its values."""
    conditions, values = where(query)
    columns = ", ".join(["_id", *(COLUMNS.get(name, name) for name in fields), "leaves"])
    statement = f"SELECT {columns} FROM scores WHERE {conditions} ORDER BY _id LIMIT ?"
    return statement, [*values, limit]


def to_leaves(rows: Sequence[Row]) -> tuple[list[Key], list[Leaves]]:
    """What rows of a leaves_statement say, score by score. Raises StoreDamaged."""
    found = read_lists([row[-1] for row in rows])
    if len(found) != len(rows):
        raise StoreDamaged("leaves are not what was written")
    return [row[:-1] for row in rows], found


class Tallies:
    """What rows of a leaves_statement say, counted: the same leaf of the same key is read once.

    Reading leaves is most of the work. Where most of a key's are different, as the digits of a
    measurement are, counting them is work for nothing, and is not done any more.
    """

    def __init__(self) -> None:
        self._counts: defaultdict[Key, Counter[str]] = defaultdict(Counter)
        self._scores = Counter[Key]()
        self._different: set[Key] = set()

    def of(self, pages: Iterable[Sequence[Row]]) -> Iterator[Tally]:
        """All tallies of some pages. Raises StoreDamaged."""
        different = held = 0
        for rows in pages:
            for key, some in _by_key(rows).items():
                parted = _parted(some)
                if key in self._different:
                    yield Tally(key, len(some), read_lists(parted), [1] * len(parted))
                else:
                    different += self._count(key, len(some), parted)
                    held += len(parted)
            if different > MOST_COUNTED or held > MOST_HELD:
                yield from self._counted()
                different = held = 0
        yield from self._counted()

    def _count(self, key: Key, scores: int, texts: list[str]) -> int:
        """Count leaves; how many of them were not there before, and a key that was not."""
        before = len(self._counts)
        counted = self._counts[key]
        known = len(counted)
        counted.update(texts)
        self._scores[key] += scores
        return len(counted) - known + len(self._counts) - before

    def _counted(self) -> Iterator[Tally]:
        """What is counted, which is then forgotten."""
        for key, counted in self._counts.items():
            scores = self._scores[key]
            texts = iter(counted.items())
            while some := dict(islice(texts, READ_AT_ONCE)):
                yield Tally(key, scores, read_lists(some), list(some.values()))
                scores = 0
            if scores:
                yield Tally(key, scores, [], [])  # Nothing but empty lists and objects.
            if len(counted) * 2 > counted.total():
                self._different.add(key)
        self._counts.clear()
        self._scores.clear()


def _by_key(rows: Sequence[Row]) -> dict[Key, list[str]]:
    """The texts of leaves, the last column, by all other columns."""
    *columns, leaves = zip(*rows, strict=True)
    keys: Iterable[Key] = zip(*columns, strict=True) if columns else repeat(())
    texts = defaultdict(list)
    for key, text in zip(keys, leaves, strict=False):
        texts[key].append(text)
    return texts


def _parted(texts: list[str]) -> list[str]:
    """Lists of leaves as the texts of all their leaves.

    Inside a JSON text a quote has a backslash before it and a line feed is escaped, so that what
    is replaced here stands between leaves and nowhere else.
    """
    if "[]" in texts:
        texts = [text for text in texts if text != "[]"]
    joined = ",".join(texts)[1:-1]
    joined = joined.replace('}],[{"path":', '}\n{"path":').replace('},{"path":', '}\n{"path":')
    return joined.split("\n") if joined else []


def read_lists(texts: Iterable[str]) -> list[Any]:
    """What JSON texts of ours say, read as one. Raises StoreDamaged."""
    try:
        found: list[Any] = orjson.loads(f"[{','.join(texts)}]")
    except (TypeError, ValueError) as error:
        raise StoreDamaged("leaves are not what was written") from error
    return found
