"""The SQL statements of the embedded store, and the conversion of rows to scores and API keys."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from app import jsontext
from app.errors import StoreDamaged
from app.stores.base import ScoreQuery
from app.stores.model import Score

Row = tuple[Any, ...]

_CONTENT = (
    "entity",
    "project",
    "evaluation_run_id",
    "prediction_id",
    "scorer",
    "scorer_name",
    "value_json",
    "leaves",
    "wb_user_id",
    "idempotency_key",
    "body_hash",
    "retry_hash",
)
"""The columns that are known before the commit, which makes the id and the time."""

_EXTENSIONS = ("reason", "error", "metadata_json", "annotator")
"""The columns of schema version 6, which a checksum covers if one of them is set."""

_COLUMNS = ", ".join((*_CONTENT, "_id", "created_at", *_EXTENSIONS, "checksum"))
_SCORE_MARKS = f"({', '.join('?' * (len(_CONTENT) + len(_EXTENSIONS) + 3))})"
INSERT_SCORE = f"INSERT INTO scores ({_COLUMNS}) VALUES {_SCORE_MARKS}"
ROWS_A_STATEMENT = 250
"""How many scores one statement inserts; SQLite accepts at most 32,766 values."""

SELECT_SCORES = f"SELECT {_COLUMNS}, sequence FROM scores"
SELECT_SCORE = f"{SELECT_SCORES} WHERE entity = ? AND project = ? AND _id = ? {{visible}}"
"""In this and other statements, `visible` is one more condition, beginning with AND, or nothing."""

SELECT_RETRIED = f"""
    {SELECT_SCORES} INDEXED BY scores_by_prediction
    WHERE entity = ? AND project = ? AND prediction_id = ? AND _id > ? AND retry_hash = ?
    {{visible}}
    ORDER BY _id DESC LIMIT 1
"""
SELECT_CHANGES = f"""
    {SELECT_SCORES} INDEXED BY scores_by_sequence
    WHERE entity = ? AND project = ? AND sequence > ? {{visible}}
    ORDER BY sequence LIMIT ?
"""
SELECT_SEQUENCE = "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'scores'), 0)"
"""The highest sequence number that was ever assigned."""

SELECT_FIRST_PROJECT = "SELECT entity, project FROM scores ORDER BY entity, project LIMIT 1"
SELECT_NEXT_PROJECT = """
    SELECT entity, project FROM scores WHERE (entity, project) > (?, ?)
    ORDER BY entity, project LIMIT 1
"""
SELECT_STORE_ID = "SELECT value FROM meta WHERE name = 'store_id'"

_SAME_SLOT = """
    other.entity = scores.entity AND other.project = scores.project
    AND ifnull(other.evaluation_run_id, '') = ifnull(scores.evaluation_run_id, '')
    AND other.prediction_id = scores.prediction_id AND other.scorer_name = scores.scorer_name
    AND ifnull(other.annotator, '') = ifnull(scores.annotator, '')
"""
SELECT_REVISION = """
    SELECT count(*), ifnull(max(sequence), 0) FROM scores INDEXED BY scores_by_run
    WHERE entity = ? AND project = ? AND evaluation_run_id = ?{visible}
"""
"""Both together tell any two states of a run apart, because a sequence number is not used again."""

_AS_OF = "+{}.sequence <= CAST(? AS INTEGER)"
"""The plus sign keeps SQLite from reading all scores in the order of their sequence numbers."""

IS_SUPERSEDED = f"""
    EXISTS (
        SELECT 1 FROM scores AS other INDEXED BY scores_by_slot WHERE {_SAME_SLOT} {{shown}}
        AND other.created_at >= scores.created_at
        AND (other.created_at > scores.created_at OR other._id > scores._id)
    )
"""
"""Whether a newer score has the same slot, one that is `shown`."""

CURRENT_ID = f"""
    (
        SELECT other._id FROM scores AS other INDEXED BY scores_by_slot WHERE {_SAME_SLOT}
        {{visible}} ORDER BY other.created_at DESC, other._id DESC LIMIT 1
    )
"""
"""The id of the current score of the same slot."""

SELECT_SLOT = f"""
    {SELECT_SCORES} INDEXED BY scores_by_slot
    WHERE entity = ? AND project = ? AND ifnull(evaluation_run_id, '') = ? AND prediction_id = ?
    AND scorer_name = ? AND ifnull(annotator, '') = ? AND (created_at, _id) < (?, ?) {{visible}}
    ORDER BY created_at DESC, _id DESC
"""


RUN_COLUMNS = {
    "evaluation_runs": "id",
    "predictions": "evaluation_run_id",
    "scores": "evaluation_run_id",
}
"""The column with the id of the run, by table, in the order in which deletions clear them."""


def visible(table: str, name: str | None = None) -> str:
    """Return the condition that no pending deletion covers a row of `table`, called `name`."""
    if table not in RUN_COLUMNS:
        return "true"
    row = name or table
    return f"""
        NOT EXISTS (
            SELECT 1 FROM deletions INDEXED BY deletions_pending
            WHERE deletions.finished_at IS NULL AND deletions.entity = {row}.entity
                AND deletions.project = {row}.project
                AND deletions.evaluation_run_id = {row}.{RUN_COLUMNS[table]}
                AND deletions.bound >= {row}._id
        )
    """


def and_visible(table: str, name: str | None = None, *, hides: bool) -> str:
    """Return this condition after AND if there are pending deletions, which `hides` says."""
    return f" AND {visible(table, name)}" if hides else ""


def checksum(values: Sequence[str | None]) -> int:
    """Return the CRC-32 of texts and Nones, with bytes that UTF-8 never uses in between."""
    return zlib.crc32(_joined(values))


def _joined(values: Sequence[str | None]) -> bytes:
    return b"\xff".join([b"\xfe" if value is None else value.encode() for value in values])


@dataclass(slots=True)
class NewRow:
    """The row of a new score, except for the id and the time, which the commit makes."""

    score: Score
    values: Row
    size: int
    """The number of bytes of its texts."""

    _checksum: int

    def finish(self, score_id: str, created_at: str) -> Row:
        """Return the values for INSERT_SCORE."""
        score = self.score
        extensions = (score.reason, score.error, score.metadata_json, score.annotator)
        end = b"\xff" + _joined((score_id, created_at, *_given(extensions)))
        checked = zlib.crc32(end, self._checksum)
        return (*self.values, score_id, created_at, *extensions, checked)


def new_row(score: Score) -> NewRow:
    """Return the row of a new score."""
    values = (
        score.entity,
        score.project,
        score.evaluation_run_id,
        score.prediction_id,
        score.scorer,
        score.scorer_name,
        score.value_json,
        jsontext.write(score.leaves),
        score.wb_user_id,
        score.idempotency_key,
        score.body_hash,
        score.retry_hash,
    )
    joined = _joined(values)
    extensions = (score.reason, score.error, score.metadata_json, score.annotator)
    size = len(joined) + len(_joined(extensions))
    return NewRow(score, values, size, zlib.crc32(joined))


def _given(extensions: Row) -> Row:
    """Return what a checksum covers of the extensions: all of them, or nothing if none is given."""
    return extensions if any(each is not None for each in extensions) else ()


@cache
def insert_statement(count: int) -> str:
    """Return an INSERT_SCORE for `count` rows."""
    return INSERT_SCORE + f", {_SCORE_MARKS}" * (count - 1)


def row_size(rows: Sequence[Row]) -> int:
    """Return the length of the large texts of rows of SELECT_SCORES."""
    places = (6, 7, 14, 15, 16)
    return sum(len(row[at]) for row in rows for at in places if isinstance(row[at], str))


def texts_size(rows: Sequence[Row]) -> int:
    """Return the length of all texts of rows."""
    return sum(len(value) for row in rows for value in row if isinstance(value, str))


def row_id(row: Row) -> str:
    """Return the id of a row of SELECT_SCORES."""
    return str(row[12])


def row_sequence(row: Row) -> int:
    """Return the sequence number of a row of SELECT_SCORES."""
    return int(row[19])


def to_score(row: Row) -> Score:
    """Return the score of a row of SELECT_SCORES. Raises StoreDamaged."""
    values = _checked_score(row)
    try:
        leaves, created_at = json.loads(values[7]), datetime.fromisoformat(values[13])
    except (TypeError, ValueError) as error:
        raise damaged(row_id(row)) from error
    entity, project, run, prediction, scorer, name, value, _, user, key, body, retry = values[:12]
    score_id, extensions = values[12], values[14:]
    return Score(
        score_id,
        entity,
        project,
        run,
        prediction,
        scorer,
        name,
        value,
        leaves,
        user,
        created_at,
        key,
        body,
        retry,
        *extensions,
    )


def to_keyed(row: Row) -> tuple[str, str, str]:
    """Return idempotency key, id and body hash of a row of SELECT_SCORES. Raises StoreDamaged."""
    values = _checked_score(row)
    return values[9], values[12], values[10]


def _checked_score(row: Row) -> Row:
    *values, expected, _sequence = row
    if not is_sound((*values[:14], *_given(tuple(values[14:]))), expected):
        raise damaged(row_id(row))
    return tuple(values)


def is_sound(values: Sequence[Any], expected: int | None) -> bool:
    """Return whether the checksum of a row is the expected one, which old rows lack."""
    try:
        return expected is None or checksum(values) == expected
    except AttributeError:  # A column is no longer text.
        return False


def damaged(name: object) -> StoreDamaged:
    """Return an error that names a row by its id, and discloses nothing else of it."""
    return StoreDamaged(f"{str(name)[:36]!r} is not what was written")


def ids_statement(query: ScoreQuery, *, hides: bool = False) -> tuple[str, list[str | int]]:
    """Return SQL for the ids of a query, and the values to bind.

    With `hides`, what pending deletions cover is left out.
    """
    conditions, values = where(query)
    if query.only_current:
        is_superseded, more = superseded(query, hides=hides)
        conditions, values = f"{conditions} AND NOT {is_superseded}", [*values, *more]
    conditions += and_visible("scores", hides=hides)
    by = order(newest_first=query.newest_first)
    statement = f"SELECT _id FROM scores WHERE {conditions} ORDER BY {by} LIMIT ? OFFSET ?"
    return statement, [*values, query.limit, query.offset]


def order(*, newest_first: bool) -> str:
    """Return the SQL of the order of scores."""
    return "_id DESC" if newest_first else "_id"


def superseded(query: ScoreQuery, *, hides: bool) -> tuple[str, list[str]]:
    """Return the condition that a newer score has the same slot, and the values to bind."""
    shown, values = and_visible("scores", "other", hides=hides), []
    if query.as_of is not None:
        shown, values = f"{shown} AND {_AS_OF.format('other')}", [query.as_of]
    return IS_SUPERSEDED.format(shown=shown), values


def where(query: ScoreQuery) -> tuple[str, list[str]]:
    """Return the conditions of a query as SQL, and the values to bind."""
    conditions = {
        "entity = ?": query.entity,
        "project = ?": query.project,
        "evaluation_run_id = ?": query.evaluation_run_id,
        "prediction_id = ?": query.prediction_id,
        "scorer = ?": query.scorer,
        "scorer_name = ?": query.scorer_name,
        "_id > ?": query.after,
        "_id < ?": query.before,
        _AS_OF.format("scores"): query.as_of,
    }
    given = {condition: value for condition, value in conditions.items() if value is not None}
    return " AND ".join(given), list(given.values())


def marks(values: Sequence[str]) -> str:
    """Return a question mark for each value, for use with IN."""
    return ", ".join("?" * len(values))


def among(score_ids: Sequence[str]) -> str:
    """Return the condition that a score of a project has one of these ids."""
    return f"entity = ? AND project = ? AND _id IN ({marks(score_ids)})"
