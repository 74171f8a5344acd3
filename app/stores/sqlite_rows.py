"""The embedded store's SQL: its statements, and what rows are to scores and API keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from app import jsontext
from app.stores.base import ApiKey, Score, ScoreQuery

Row = tuple[object, ...]

_SCORE_MARKS = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_SCORE = f"""
    INSERT INTO scores (
        _id, entity, project, evaluation_run_id, prediction_id, scorer, value_json, leaves,
        wb_user_id, created_at, idempotency_key, body_hash, retry_hash
    ) VALUES {_SCORE_MARKS}
"""
ROWS_A_STATEMENT = 250
"""How many scores of a batch one statement inserts; SQLite takes 32,766 values at most."""

SELECT_SCORES = """
    SELECT _id, entity, project, evaluation_run_id, prediction_id, scorer, value_json, leaves,
        wb_user_id, created_at, idempotency_key, body_hash, retry_hash
    FROM scores
"""
SELECT_KEYED = """
    SELECT idempotency_key, _id, body_hash FROM scores WHERE entity = ? AND project = ?
"""
SELECT_RETRIED = """
    SELECT _id FROM scores WHERE entity = ? AND project = ? AND retry_hash = ? AND _id > ?
    ORDER BY _id DESC LIMIT 1
"""
INSERT_KEY = """
    INSERT INTO api_keys (_id, name, role, scope, owner, key_hash, created_at, revoked_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
SELECT_KEY = "SELECT _id, name, role, scope, owner, key_hash, created_at, revoked_at FROM api_keys"


def score_row(score: Score) -> Row:
    """The values of INSERT_SCORE."""
    return (
        score.score_id,
        score.entity,
        score.project,
        score.evaluation_run_id,
        score.prediction_id,
        score.scorer,
        score.value_json,
        jsontext.write(score.leaves),
        score.wb_user_id,
        time_text(score.created_at),
        score.idempotency_key,
        score.body_hash,
        score.retry_hash,
    )


@cache
def insert_statement(count: int) -> str:
    """INSERT_SCORE for so many rows at once."""
    return INSERT_SCORE + f", {_SCORE_MARKS}" * (count - 1)


def to_score(row: tuple[Any, ...]) -> Score:
    """The score that a row of SELECT_SCORES is."""
    values = list(row)
    values[7], values[9] = json.loads(row[7]), datetime.fromisoformat(row[9])
    return Score(*values)


def ids_statement(query: ScoreQuery) -> tuple[str, list[str | int]]:
    """SQL for the ids of a query, and its values: they are bound, never written into it."""
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
    where = " AND ".join(given)
    statement = f"SELECT _id FROM scores WHERE {where} ORDER BY _id LIMIT ? OFFSET ?"
    return statement, [*given.values(), query.limit, query.offset]


def marks(values: Sequence[str]) -> str:
    """A question mark for each value, for an IN."""
    return ", ".join("?" * len(values))


def key_row(key: ApiKey) -> Row:
    """The values of INSERT_KEY."""
    revoked_at = time_text(key.revoked_at) if key.revoked_at else None
    fields = (key.key_id, key.name, key.role, key.scope, key.owner, key.key_hash)
    return (*fields, time_text(key.created_at), revoked_at)


def to_key(row: tuple[str, str, str, str, str, str, str, str | None]) -> ApiKey:
    """The API key that a row of SELECT_KEY is."""
    key_id, name, role, scope, owner, key_hash, created_at, revoked_at = row
    return ApiKey(
        key_id,
        name,
        role,
        scope,
        owner,
        key_hash,
        datetime.fromisoformat(created_at),
        datetime.fromisoformat(revoked_at) if revoked_at else None,
    )


def time_text(moment: datetime) -> str:
    """UTC in ISO 8601 with milliseconds, so that text order is time order."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return f"{text.removesuffix('+00:00')}Z"
