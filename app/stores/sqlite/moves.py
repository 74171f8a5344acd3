"""Moving the scores of an older file into the table of schema version 5."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice

from app import jsontext
from app.errors import ScorelineError
from app.leaves import leaves
from app.stores.sqlite.rows import Row, checksum

log = logging.getLogger("scoreline.store")

CHUNK = 500
REPORT = 100_000
"""After how many scores the log says how far it is."""

DAMAGED = -1
"""A checksum that no row has."""

_OLD_COLUMNS = """
    _id, entity, project, evaluation_run_id, prediction_id, scorer, value_json, leaves, wb_user_id,
    created_at, idempotency_key, body_hash, retry_hash
"""
_SELECT = f"SELECT {_OLD_COLUMNS}, checksum FROM scores ORDER BY _id"
_INSERT = f"""
    INSERT INTO scores_in_sequence ({_OLD_COLUMNS}, checksum)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def move_scores(connection: sqlite3.Connection) -> None:
    """Copy every score, in the order of ids, with its leaves and its checksum made anew.

    A row that is damaged stays so: it gets a checksum that does not fit.
    """
    total = connection.execute("SELECT count(*) FROM scores").fetchone()[0]
    moved = 0
    for rows in _chunks(map(_moved, connection.execute(_SELECT))):
        connection.executemany(_INSERT, rows)
        moved += len(rows)
        if moved % REPORT < CHUNK and total > REPORT:
            log.warning("migrating the store: %d of %d scores", moved, total)


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while chunk := list(islice(waiting, CHUNK)):
        yield chunk


def _moved(row: Row) -> Row:
    *values, expected = row
    try:
        if expected is not None and checksum(values) != expected:
            return (*values, DAMAGED)
        values[7] = jsontext.write(leaves(jsontext.read(values[6].encode())))
        return (*values, checksum(_in_order(values)))
    except (AttributeError, ScorelineError):  # One of its texts is no text, or its value no JSON.
        return (*values, DAMAGED)


def _in_order(values: list[str | None]) -> list[str | None]:
    """Return the columns as a checksum takes them: content first, then id and time."""
    score_id, *rest = values
    created_at = rest.pop(8)
    return [*rest, score_id, created_at]
