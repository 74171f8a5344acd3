"""Measure raw sqlite3, which stores the same documents equally durably and does nothing else.

Tables, indexes and documents are copied from a database that Scoreline wrote.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from uuid_utils import uuid7

SETTINGS = "Python's sqlite3, one process, one connection, WAL, synchronous=FULL"

Row = tuple[object, ...]

COLUMNS = (
    "_id, entity, project, evaluation_run_id, prediction_id, scorer, scorer_name, value_json, "
    "leaves, wb_user_id, created_at, idempotency_key, body_hash, retry_hash, checksum"
)
"""The columns of a score, except for its sequence number, which SQLite generates."""


@contextmanager
def like(path: Path, original: Path) -> Iterator[sqlite3.Connection]:
    """Create an empty database at `path` with the tables and indexes of `original`."""
    with closing(sqlite3.connect(original)) as source:
        statements = source.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        for (statement,) in statements:
            connection.execute(statement)
        yield connection


def rows(path: Path, limit: int) -> list[Row]:
    """Return the first rows of a database of Scoreline's."""
    with closing(sqlite3.connect(path)) as connection:
        statement = f"SELECT {COLUMNS} FROM scores ORDER BY _id LIMIT ?"
        return connection.execute(statement, (limit,)).fetchall()


def renewed(documents: Sequence[Row]) -> list[Row]:
    """Return the same documents with new ids, which are the first column."""
    return [(str(uuid7()), *document[1:]) for document in documents]


def _insert(width: int) -> str:
    return f"INSERT INTO scores ({COLUMNS}) VALUES ({', '.join('?' * width)})"


def single_inserts(
    connection: sqlite3.Connection, documents: Sequence[Row], seconds: float
) -> float:
    """Return inserts per second, each in its own transaction."""
    statement = _insert(len(documents[0]))
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        document = documents[done % len(documents)]
        connection.execute(statement, (str(uuid7()), *document[1:]))
        done += 1
    return done / (time.perf_counter() - began)


def batches(connection: sqlite3.Connection, parts: Sequence[Sequence[Row]]) -> float:
    """Return the seconds for all parts, each an executemany in its own transaction."""
    statement = _insert(len(parts[0][0]))
    began = time.perf_counter()
    for part in parts:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, part)
        connection.execute("COMMIT")
    return time.perf_counter() - began


def read_all(path: Path) -> float:
    """Return scores per second of one SELECT of whole rows in the order of a list."""
    count, seconds = _read(path, "*")
    return count / seconds


def read_leaves(path: Path) -> float:
    """Return the milliseconds of one SELECT of the columns that a summary reads."""
    return _read(path, "scorer, leaves")[1] * 1000


def _read(path: Path, columns: str) -> tuple[int, float]:
    with closing(sqlite3.connect(path)) as connection:
        began = time.perf_counter()
        (entity, project) = connection.execute("SELECT entity, project FROM scores").fetchone()
        found = connection.execute(
            f"SELECT {columns} FROM scores WHERE entity = ? AND project = ? ORDER BY _id",
            (entity, project),
        )
        count = sum(1 for _ in found)
        return count, time.perf_counter() - began


def count(path: Path) -> int:
    """Return the number of scores in a database."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM scores").fetchone()[0])
