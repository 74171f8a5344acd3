"""The embedded store's SQL: its statements, and what rows are to scores and API keys."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from app import jsontext
from app.errors import StoreDamaged
from app.ids import utc_text
from app.stores.base import ApiKey, KeyedScore, Score, ScoreQuery

Row = tuple[Any, ...]

_SCORE_MARKS = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_SCORE = f"""
    INSERT INTO scores (
        _id, entity, project, evaluation_run_id, prediction_id, scorer, value_json, leaves,
        wb_user_id, created_at, idempotency_key, body_hash, retry_hash, checksum
    ) VALUES {_SCORE_MARKS}
"""
ROWS_A_STATEMENT = 250
"""How many scores of a batch one statement inserts; SQLite takes 32,766 values at most."""

SELECT_SCORES = """
    SELECT _id, entity, project, evaluation_run_id, prediction_id, scorer, value_json, leaves,
        wb_user_id, created_at, idempotency_key, body_hash, retry_hash, checksum
    FROM scores
"""
SELECT_RETRIED = f"""
    {SELECT_SCORES} WHERE entity = ? AND project = ? AND retry_hash = ? AND _id > ?
    ORDER BY _id DESC LIMIT 1
"""
SELECT_ONLY_IN_PROJECT = """
    SELECT _id FROM scores INDEXED BY scores_by_project
    WHERE entity = ? AND project = ? AND _id = ?
        AND NOT EXISTS (SELECT _id FROM scores AS same WHERE same._id = scores._id)
"""
"""A score that one index has and the other has not: in one statement, as others write."""

INSERT_KEY = """
    INSERT INTO api_keys (
        _id, name, role, scope, owner, key_hash, created_at, checksum, revoked_at, expires_at,
        last_used_at
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
SELECT_KEY = """
    SELECT _id, name, role, scope, owner, key_hash, created_at, checksum, revoked_at, expires_at,
        last_used_at
    FROM api_keys
"""
NOTE_KEY_USE = """
    UPDATE api_keys SET last_used_at = max(ifnull(last_used_at, ''), ?) WHERE _id = ?
"""


def checksum(values: Sequence[str | None]) -> int:
    """The CRC-32 of texts and Nones, parted and filled by bytes that UTF-8 never has."""
    parts = [b"\xfe" if value is None else value.encode() for value in values]
    return zlib.crc32(b"\xff".join(parts))


def checked(row: Row) -> list[Any]:
    """A row without its last value, its checksum. Raises StoreDamaged when they do not fit."""
    *values, expected = row
    try:
        sound = expected is None or checksum(values) == expected
    except AttributeError:  # One of them is no text any more.
        sound = False
    if not sound:
        raise _damaged(row)
    return values


def _damaged(row: Row) -> StoreDamaged:
    """The error that names a row by its id, or what stands in its place, and nothing else."""
    return StoreDamaged(f"{str(row[0])[:36]!r} is not what was written")


def score_row(score: Score) -> Row:
    """The values of INSERT_SCORE."""
    values = (
        score.score_id,
        score.entity,
        score.project,
        score.evaluation_run_id,
        score.prediction_id,
        score.scorer,
        score.value_json,
        jsontext.write(score.leaves),
        score.wb_user_id,
        utc_text(score.created_at),
        score.idempotency_key,
        score.body_hash,
        score.retry_hash,
    )
    return (*values, checksum(values))


@cache
def insert_statement(count: int) -> str:
    """INSERT_SCORE for so many rows at once."""
    return INSERT_SCORE + f", {_SCORE_MARKS}" * (count - 1)


def to_score(row: Row) -> Score:
    """The score that a row of SELECT_SCORES is. Raises StoreDamaged."""
    values = checked(row)
    try:
        values[7], values[9] = json.loads(values[7]), datetime.fromisoformat(values[9])
    except (TypeError, ValueError) as error:  # A row from before there were checksums.
        raise _damaged(row) from error
    return Score(*values)


def to_keyed(row: Row) -> tuple[str, KeyedScore]:
    """The idempotency key of a row of SELECT_SCORES, and what it stands for. Raises StoreDamaged.

    Only what is asked for is made of it: a batch may be 10,000 of them.
    """
    score_id, *_, idempotency_key, body_hash, _retry_hash = checked(row)
    return idempotency_key, KeyedScore(score_id, body_hash)


def ids_statement(query: ScoreQuery) -> tuple[str, list[str | int]]:
    """SQL for the ids of a query, and its values: they are bound, never written into it."""
    conditions, values = where(query)
    statement = f"SELECT _id FROM scores WHERE {conditions} ORDER BY _id LIMIT ? OFFSET ?"
    return statement, [*values, query.limit, query.offset]


def where(query: ScoreQuery) -> tuple[str, list[str]]:
    """What a query asks, as SQL, and its values."""
    conditions = {
        "entity = ?": query.entity,
        "project = ?": query.project,
        "evaluation_run_id = ?": query.evaluation_run_id,
        "prediction_id = ?": query.prediction_id,
        "scorer = ?": query.scorer,
        "_id > ?": query.after,
        "_id < ?": query.before,
    }
    given = {condition: value for condition, value in conditions.items() if value is not None}
    return " AND ".join(given), list(given.values())


def marks(values: Sequence[str]) -> str:
    """A question mark for each value, for an IN."""
    return ", ".join("?" * len(values))


def key_row(key: ApiKey) -> Row:
    """The values of INSERT_KEY."""
    fields = (key.key_id, key.name, key.role, key.scope, key.owner, key.key_hash)
    values = (*fields, utc_text(key.created_at))
    later = (key.revoked_at, key.expires_at, key.last_used_at)
    revoked_at, expires_at, last_used_at = (utc_text(each) if each else None for each in later)
    expected = checksum(_with_end(values, expires_at))
    return (*values, expected, revoked_at, expires_at, last_used_at)


def _with_end(values: Row, expires_at: str | None) -> Row:
    """What a key's checksum is of: not what comes later, its revocation and its uses.

    A key from before keys could expire has no end in its checksum.
    """
    return (*values, expires_at) if expires_at else values


def to_key(row: Row) -> ApiKey:
    """The API key that a row of SELECT_KEY is. Raises StoreDamaged."""
    values, (expected, revoked_at, expires_at, last_used_at) = row[:7], row[7:]
    checked((*_with_end(values, expires_at), expected))
    moments = (values[6], revoked_at, expires_at, last_used_at)
    try:
        found = [each if each is None else datetime.fromisoformat(each) for each in moments]
    except (TypeError, ValueError) as error:
        raise _damaged(row) from error
    values = (*values[:6], *found)
    return ApiKey(*values)
