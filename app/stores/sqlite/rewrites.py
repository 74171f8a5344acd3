"""The migrations that rewrite rows of the embedded store, fixed once released."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable
from itertools import islice
from typing import Any

from app import jsontext
from app.errors import ScorelineError
from app.examples import example_key
from app.leaves import leaves
from app.scorers import scorer_name
from app.stores.sqlite.rows import Row, checksum

log = logging.getLogger("scoreline.store")

CHUNK = 500
REPORT = 100_000
"""After how many rows the progress is logged."""

DAMAGED = -1
"""A checksum that matches no row."""


def _copy_scores(
    connection: sqlite3.Connection, select: str, insert: str, rewrite: Callable[[Row], Row]
) -> None:
    """Copy every score from one table to another as `rewrite` returns it."""
    total = connection.execute("SELECT count(*) FROM scores").fetchone()[0]
    rows = map(rewrite, connection.execute(select))
    copied = 0
    while chunk := list(islice(rows, CHUNK)):
        connection.executemany(insert, chunk)
        copied += len(chunk)
        _report(copied, total, "scores")


def _report(done: int, total: int, what: str) -> None:
    if done % REPORT < CHUNK and total > REPORT:
        log.warning("migrating the store: %d of %d %s", done, total, what)


# Schema version 5 moves the scores to a new table with a sequence number.

_OLD_COLUMNS = """
    _id, entity, project, evaluation_run_id, prediction_id, scorer, value_json, leaves, wb_user_id,
    created_at, idempotency_key, body_hash, retry_hash
"""
_SELECT_OLD = f"SELECT {_OLD_COLUMNS}, checksum FROM scores ORDER BY _id"
_INSERT_IN_SEQUENCE = f"""
    INSERT INTO scores_in_sequence ({_OLD_COLUMNS}, checksum)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def move_scores(connection: sqlite3.Connection) -> None:
    """Copy every score in the order of ids, with new leaves and a new checksum.

    A damaged row gets a checksum that does not match, so that it is still reported as damaged.
    """
    _copy_scores(connection, _SELECT_OLD, _INSERT_IN_SEQUENCE, _moved_row)


def _moved_row(row: Row) -> Row:
    *values, expected = row
    try:
        if expected is not None and checksum(values) != expected:
            return (*values, DAMAGED)
        values[7] = jsontext.write(leaves(jsontext.read(values[6].encode())))
        return (*values, checksum(_in_order(values)))
    except (AttributeError, ScorelineError):  # A text column is not text, or the value is not JSON.
        return (*values, DAMAGED)


def _in_order(values: list[str | None]) -> list[str | None]:
    """Return the columns in the order of the checksum: content first, then id and time."""
    score_id, *rest = values
    created_at = rest.pop(8)
    return [*rest, score_id, created_at]


# Schema version 8 moves the scores to a table where ids are unique in their project only.

_CONTENT_BEFORE_NAMES = """
    entity, project, evaluation_run_id, prediction_id, scorer, value_json, leaves, wb_user_id,
    idempotency_key, body_hash, retry_hash, _id, created_at, reason, error, metadata_json,
    annotator
"""
_SELECT_UNNAMED = (
    f"SELECT sequence, checksum, {_CONTENT_BEFORE_NAMES} FROM scores ORDER BY sequence"
)
_INSERT_NAMED = f"""
    INSERT INTO scores_with_names (sequence, checksum, scorer_name, {_CONTENT_BEFORE_NAMES})
    VALUES ({", ".join("?" * 20)})
"""


def name_scorers(connection: sqlite3.Connection) -> None:
    """Copy every score under its sequence number, with the name of its scorer and a new checksum.

    A damaged row gets a checksum that does not match, as in `move_scores`.
    """
    _copy_scores(connection, _SELECT_UNNAMED, _INSERT_NAMED, _named_row)
    # Numbers of deleted scores are not used again.
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'scores_with_names'")
    connection.execute(
        "UPDATE sqlite_sequence SET name = 'scores_with_names' WHERE name = 'scores'"
    )


def _named_row(row: Row) -> Row:
    sequence, expected, *values = row
    content, extensions = values[:13], values[13:]
    checked = [*content, *extensions] if any(each is not None for each in extensions) else content
    try:
        name = scorer_name(content[4])
        if expected is not None and checksum(checked) != expected:
            return (sequence, DAMAGED, name, *values)
        return (sequence, checksum([*checked[:5], name, *checked[5:]]), name, *values)
    except (AttributeError, TypeError):  # A text column is not text.
        return (sequence, DAMAGED, "", *values)


# Schema version 9 gives every prediction the key of its example.

_PREDICTION_COLUMNS = (
    *("_id", "id", "entity", "project", "wb_user_id", "idempotency_key", "body_hash", "retry_hash"),
    *("predict_and_score_call_id", "evaluation_run_id", "model", "inputs_json", "output_json"),
    *("example_id", "trial", "error", "started_at", "finished_at", "ended_at", "usage_json"),
    "metadata_json",
)
_SELECT_PREDICTIONS = f"""
    SELECT rowid, checksum, {", ".join(_PREDICTION_COLUMNS)} FROM predictions WHERE rowid > ?
    ORDER BY rowid LIMIT {CHUNK}
"""
_SET_EXAMPLE_KEY = "UPDATE predictions SET example_key = ?, checksum = ? WHERE rowid = ?"


def set_example_keys(connection: sqlite3.Connection) -> None:
    """Set `example_key` and a new checksum of every prediction; a damaged row stays as it is."""
    total = connection.execute("SELECT count(*) FROM predictions").fetchone()[0]
    after, done = -1, 0
    while rows := connection.execute(_SELECT_PREDICTIONS, (after,)).fetchall():
        connection.executemany(
            _SET_EXAMPLE_KEY, [keyed for row in rows if (keyed := _keyed_row(row))]
        )
        after, done = rows[-1][0], done + len(rows)
        _report(done, total, "predictions")


def _keyed_row(row: Row) -> Row | None:
    """Return the key, the checksum and the rowid of a prediction, None if it is damaged."""
    rowid, expected, *columns = row
    values = dict(zip(_PREDICTION_COLUMNS, columns, strict=True))
    try:
        if _document_checksum(values) != expected:
            return None
        key = example_key(values["example_id"], json.loads(values["inputs_json"]))
        return (key, _document_checksum({**values, "example_key": key}), rowid)
    except (AttributeError, TypeError, ValueError):  # A text column is not text, or not JSON.
        return None


def _document_checksum(values: dict[str, Any]) -> int:
    """Return the checksum of a document, as the embedded store computes it."""
    given = sorted((name, str(value)) for name, value in values.items() if value is not None)
    return checksum([text for pair in given for text in pair])
