"""Write scores to the embedded store, in the caller's transaction."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from itertools import chain

from app.ids import clock_is_behind, id_time, next_id, utc_text
from app.stores.base import Kept, Outcome
from app.stores.documents import Key, by_project, idempotency_key
from app.stores.missing import Keyed, content_digest, id_of, outcomes_of, plan_missing
from app.stores.model import UNASSIGNED, Score
from app.stores.sqlite.deletions import remove_covered
from app.stores.sqlite.highest_ids import highest_id
from app.stores.sqlite.rows import (
    ROWS_A_STATEMENT,
    SELECT_SCORES,
    NewRow,
    Row,
    among,
    insert_statement,
    marks,
    row_id,
    to_keyed,
    to_score,
)

log = logging.getLogger("scoreline.store")


class Clock:
    """Watches whether this machine's clock is behind the ids."""

    def __init__(self) -> None:
        self._is_behind = False

    def watch(self, highest: str) -> None:
        """Log once when the clock falls behind the ids, until it has caught up."""
        is_behind = highest != "" and clock_is_behind(highest)
        if is_behind and not self._is_behind:
            log.warning(
                "this machine's clock is behind the newest score, of %s: new ids continue after it",
                utc_text(id_time(highest)),
            )
        self._is_behind = is_behind


def add_missing(
    connection: sqlite3.Connection, rows: Sequence[NewRow], clock: Clock, *, partial: bool
) -> list[Outcome]:
    """Add the scores that are not stored yet, in the caller's transaction."""
    scores = [row.score for row in rows]
    remove_covered(connection, scores)
    # SQLite counts some more bytes than the texts have.
    max_bytes = connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) - 1_000
    plans = plan_missing(
        scores,
        find_keyed(connection, scores),
        _find_digests(connection, scores),
        [position for position, row in enumerate(rows) if row.size > max_bytes],
        partial=partial,
    )
    new = [position for position, plan in enumerate(plans) if plan.kept is Kept.CREATED]
    made = insert(connection, [rows[position] for position in new], clock)
    score_ids = dict(zip(new, made, strict=True))
    return outcomes_of(plans, score_ids)


def insert(connection: sqlite3.Connection, rows: Sequence[NewRow], clock: Clock) -> list[str]:
    """Insert rows and return their ids; new ids are higher than any that a project ever had."""
    projects = {(row.score.entity, row.score.project) for row in rows}
    highest = {project: highest_id(connection, *project, "scores") for project in projects}
    clock.watch(max(highest.values(), default=""))
    finished: list[Row] = []
    score_ids: list[str] = []
    for row in rows:
        score_id, created_at = row.score.score_id, row.score.created_at
        if score_id == UNASSIGNED:
            project = (row.score.entity, row.score.project)
            highest[project] = score_id = next_id(highest[project] or None)
            created_at = id_time(score_id)
        score_ids.append(score_id)
        finished.append(row.finish(score_id, utc_text(created_at)))
    max_rows = max(ROWS_A_STATEMENT, len(rows) if not connection.in_transaction else 0)
    for first in range(0, len(finished), max_rows):
        part = finished[first : first + max_rows]
        connection.execute(insert_statement(len(part)), list(chain.from_iterable(part)))
    return score_ids


def find_keyed(connection: sqlite3.Connection, scores: Sequence[Score]) -> dict[Key, Keyed]:
    """Return the stored scores with the same idempotency keys."""
    found: dict[Key, Keyed] = {}
    for (entity, project), keys in by_project(map(idempotency_key, scores)).items():
        wanted = f"entity = ? AND project = ? AND idempotency_key IN ({marks(keys)})"
        statement = f"{SELECT_SCORES} WHERE {wanted}"
        for row in connection.execute(statement, (entity, project, *keys)):
            key, score_id, body_hash = to_keyed(row)
            found[entity, project, key] = Keyed(score_id, body_hash)
    return found


def _find_digests(connection: sqlite3.Connection, scores: Sequence[Score]) -> dict[Key, str]:
    """Return the content digests of the stored scores with the same ids."""
    found: dict[Key, str] = {}
    for (entity, project), score_ids in by_project(map(id_of, scores)).items():
        statement = f"{SELECT_SCORES} WHERE {among(score_ids)}"
        for row in connection.execute(statement, (entity, project, *score_ids)):
            found[entity, project, row_id(row)] = content_digest(to_score(row))
    return found
