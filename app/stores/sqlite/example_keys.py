"""Give the predictions of earlier schema versions the keys of their examples."""

from __future__ import annotations

import json
import logging
import sqlite3
from typing import Any

from app.examples import example_key
from app.stores.sqlite.rows import Row, checksum

log = logging.getLogger("scoreline.store")

CHUNK = 500
REPORT = 100_000
"""After how many predictions the progress is logged."""

_COLUMNS = (
    *("_id", "id", "entity", "project", "wb_user_id", "idempotency_key", "body_hash", "retry_hash"),
    *("predict_and_score_call_id", "evaluation_run_id", "model", "inputs_json", "output_json"),
    *("example_id", "trial", "error", "started_at", "finished_at", "ended_at", "usage_json"),
    "metadata_json",
)
_SELECT = f"""
    SELECT rowid, checksum, {", ".join(_COLUMNS)} FROM predictions WHERE rowid > ?
    ORDER BY rowid LIMIT {CHUNK}
"""
_UPDATE = "UPDATE predictions SET example_key = ?, checksum = ? WHERE rowid = ?"


def set_example_keys(connection: sqlite3.Connection) -> None:
    """Set `example_key` and a new checksum of every prediction; a damaged row stays as it is."""
    total = connection.execute("SELECT count(*) FROM predictions").fetchone()[0]
    after, done = -1, 0
    while rows := connection.execute(_SELECT, (after,)).fetchall():
        connection.executemany(_UPDATE, [values for row in rows if (values := _values(row))])
        after, done = rows[-1][0], done + len(rows)
        if done % REPORT < CHUNK and total > REPORT:
            log.warning("migrating the store: %d of %d predictions", done, total)


def _values(row: Row) -> Row | None:
    """Return the key, the checksum and the rowid of a prediction, None if it is damaged."""
    rowid, expected, *columns = row
    values = dict(zip(_COLUMNS, columns, strict=True))
    try:
        if _checksum(values) != expected:
            return None
        key = example_key(values["example_id"], json.loads(values["inputs_json"]))
        return (key, _checksum({**values, "example_key": key}), rowid)
    except (AttributeError, TypeError, ValueError):  # A text column is not text, or not JSON.
        return None


def _checksum(values: dict[str, Any]) -> int:
    """Return the checksum of a document, as the embedded store computes it."""
    given = sorted((name, str(value)) for name, value in values.items() if value is not None)
    return checksum([text for pair in given for text in pair])
