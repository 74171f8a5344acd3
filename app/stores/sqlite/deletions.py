"""Deletions of evaluation runs and predictions in the embedded store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from app.ids import AFTER_ALL, next_id, utc_text
from app.stores.deletions import (
    LEASE_SECONDS,
    MAX_FINISHED,
    Deleted,
    Deletion,
    RunExtent,
    by_project,
    check_not_covered,
    deletion_of,
    finished,
    names_of,
)
from app.stores.model import Document, Score
from app.stores.sqlite.connections import SqlitePart
from app.stores.sqlite.highest_ids import OF_RUNS, note_highest_id
from app.stores.sqlite.rows import (
    RUN_COLUMNS,
    Row,
    and_visible,
    checksum,
    damaged,
    marks,
    visible,
)

_COLUMNS = tuple("_id" if each.name == "deletion_id" else each.name for each in fields(Deletion))
_CHANGING = frozenset({"cleared", "finished_at"})
_NAMES = ", ".join((*_COLUMNS, "checksum"))
_INSERT = f"INSERT INTO deletions ({_NAMES}) VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})"
_SELECT = f"SELECT {_NAMES} FROM deletions"
_PENDING = f"{_SELECT} INDEXED BY deletions_pending WHERE finished_at IS NULL"

NO_RUN = ("IS NULL", "= ''")
"""The conditions for no run, each of which an index can find."""

COUNT_PENDING = "SELECT count(*) FROM deletions WHERE finished_at IS NULL"

_FORGET = """
    DELETE FROM deletions WHERE entity = ? AND project = ? AND finished_at IS NOT NULL AND _id <= (
        SELECT _id FROM deletions WHERE entity = ? AND project = ? AND finished_at IS NOT NULL
        ORDER BY _id DESC LIMIT 1 OFFSET ?
    )
"""
_IS_LISTED = "SELECT 1 FROM deletions WHERE _id = ?"
_CLAIM = """
    UPDATE deletions SET claimed_by = ?, claimed_until = ?
    WHERE _id = ? AND (claimed_by IS NULL OR claimed_by = ? OR claimed_until < ?)
"""
_PROGRESS = """
    UPDATE deletions SET cleared = cleared + ? WHERE _id = ? AND finished_at IS NULL
"""
_FINISH = """
    UPDATE deletions
    SET finished_at = ?, cleared = runs + predictions + scores, claimed_by = NULL
    WHERE _id = ? AND finished_at IS NULL
"""


def pending_of(connection: sqlite3.Connection, entity: str, project: str) -> list[Deletion]:
    """Return the pending deletions of a project, within a transaction."""
    statement = f"{_PENDING} AND entity = ? AND project = ?"
    return [_to_deletion(row) for row in connection.execute(statement, (entity, project))]


def remove_covered(
    connection: sqlite3.Connection, new: Sequence[Score] | Sequence[Document]
) -> None:
    """Remove what pending deletions cover and what has an id or key of `new` documents or scores.

    Raises BeingDeleted if such a deletion would cover one of `new` itself.
    """
    for (entity, project), some in by_project(new).items():
        pending = pending_of(connection, entity, project)
        if not pending:
            continue
        check_not_covered(pending, some)
        table = some[0].collection
        for name, texts in names_of(some).items():
            column = "_id" if (table, name) == ("scores", "id") else name
            statement = f"""
                DELETE FROM {table} WHERE entity = ? AND project = ?
                AND {column} IN ({marks(texts)}) AND NOT {visible(table)}
            """
            connection.execute(statement, (entity, project, *texts))


class SqliteDeletions(SqlitePart):
    """The part of the embedded store that deletes evaluation runs and predictions."""

    def _hides(self, entity: str, project: str) -> bool:
        """Return whether there are pending deletions in a project."""
        return bool(self._pending(f"{_PENDING} AND entity = ? AND project = ?", entity, project))

    def _hides_any(self) -> bool:
        """Return whether there are pending deletions in any project."""
        return bool(self._pending(_PENDING))

    def _pending(self, statement: str, *values: str) -> list[Deletion]:
        # A damaged one would hide something else, which decoding it notices.
        return [_to_deletion(row) for row in self._db().read_all(statement, values)]

    def _visible(self, table: str, entity: str | None, project: str | None) -> str:
        """Return a condition, beginning with AND, that hides what pending deletions cover.

        It is empty if there are none in the project, or in any project.
        """
        if entity is None or project is None:
            return and_visible(table, hides=self._hides_any())
        return and_visible(table, hides=self._hides(entity, project))

    def begin_deletions(
        self,
        entity: str,
        project: str,
        run_ids: Sequence[str],
        requested_by: str,
        before: str = AFTER_ALL,
    ) -> list[Deletion]:
        with self._db().transaction() as connection:
            bound = note_highest_id(connection, entity, project, *OF_RUNS)
            connection.execute(_FORGET, (entity, project, entity, project, MAX_FINISHED))
            begun = []
            for run_id in dict.fromkeys(run_ids):
                run = (entity, project, run_id)
                found = _measure(lambda *query: connection.execute(*query).fetchall(), run)
                if found.is_below(before):
                    newest = connection.execute("SELECT max(_id) FROM deletions").fetchone()[0]
                    made = deletion_of(next_id(newest), run, bound, requested_by, found)
                    values = [getattr(made, each.name) for each in fields(made)]
                    connection.execute(_INSERT, (*values, _checksum(values)))
                    begun.append(made)
            return begun

    def measure_run(self, entity: str, project: str, run_id: str) -> RunExtent:
        return _measure(self._db().read_all, (entity, project, run_id))

    def count_unassigned(self, entity: str, project: str, before: str) -> tuple[int, int]:
        counts = []
        for table in ("predictions", "scores"):
            statements = [f"SELECT count(*) {_unassigned(table, none)}" for none in NO_RUN]
            found = [self._db().read_all(each, (entity, project, before)) for each in statements]
            counts.append(sum(row[0] for rows in found for row in rows))
        predictions, scores = counts
        return predictions, scores

    def delete_unassigned(self, entity: str, project: str, before: str, limit: int) -> Deleted:
        deleted = {"predictions": 0, "scores": 0}
        with self._db().transaction() as connection:
            note_highest_id(connection, entity, project, *OF_RUNS)
            for table in deleted:
                for none in NO_RUN:
                    rows = f"SELECT rowid {_unassigned(table, none)} LIMIT ?"
                    left = limit - sum(deleted.values())
                    statement = f"DELETE FROM {table} WHERE rowid IN ({rows})"
                    done = connection.execute(statement, (entity, project, before, left))
                    deleted[table] += done.rowcount
        return Deleted(**deleted, is_whole=sum(deleted.values()) < limit)

    def continue_deletion(self, deletion: Deletion, worker: str, limit: int) -> Deletion | None:
        now = datetime.now(UTC)
        until = utc_text(now + timedelta(seconds=LEASE_SECONDS))
        claim = (worker, until, deletion.deletion_id, worker, utc_text(now))
        with self._db().transaction() as connection:
            if connection.execute(_CLAIM, claim).rowcount == 0:
                is_listed = connection.execute(_IS_LISTED, (deletion.deletion_id,)).fetchone()
                return None if is_listed else finished(deletion, now)
            cleared = _clear(connection, deletion, limit)
            connection.execute(_PROGRESS, (cleared, deletion.deletion_id))
            if cleared < limit:
                connection.execute(_FINISH, (utc_text(now), deletion.deletion_id))
            row = connection.execute(f"{_SELECT} WHERE _id = ?", (deletion.deletion_id,)).fetchone()
            return _to_deletion(row)

    def list_deletions(
        self,
        entity: str | None = None,
        project: str | None = None,
        *,
        pending: bool | None = None,
        after: str = "",
        limit: int,
    ) -> list[Deletion]:
        conditions, values = ["_id > ?"], [after]
        if entity is not None and project is not None:
            conditions, values = (
                [*conditions, "entity = ?", "project = ?"],
                [after, entity, project],
            )
        if pending is not None:
            conditions.append(f"finished_at IS {'NULL' if pending else 'NOT NULL'}")
        # Finished ones may be many, and are in the order of ids.
        index = "INDEXED BY deletions_pending" if pending else ""
        statement = f"{_SELECT} {index} WHERE {' AND '.join(conditions)} ORDER BY _id LIMIT ?"
        return [_to_deletion(row) for row in self._db().read_all(statement, [*values, limit])]

    def delete_predictions(
        self,
        entity: str,
        project: str,
        predictions: Sequence[tuple[str, str | None]],
        limit: int,
    ) -> Deleted:
        num_predictions = num_scores = 0
        with self._db().transaction() as connection:
            note_highest_id(connection, entity, project, *OF_RUNS)
            for prediction_id, run_id in predictions:
                place = (entity, project, prediction_id, run_id or "")
                stored = connection.execute(_IS_STORED, place).fetchone()
                runs = (run_id or "", "" if stored else run_id or "")
                most = limit - num_scores
                values = (entity, project, prediction_id, *runs, most + 1)
                found = [row[0] for row in connection.execute(_SCORES_OF, values)]
                connection.executemany(
                    "DELETE FROM scores WHERE sequence = ?", [(each,) for each in found[:most]]
                )
                num_scores += min(len(found), most)
                if len(found) > most:
                    return Deleted(num_predictions, num_scores, is_whole=False)
                connection.execute(_DELETE_PREDICTION, place)
                num_predictions += bool(stored or found)
        return Deleted(num_predictions, num_scores, is_whole=True)


_PREDICTION = f"""
    FROM predictions WHERE entity = ? AND project = ? AND id = ?
    AND ifnull(evaluation_run_id, '') = ? AND {visible("predictions")}
"""
_IS_STORED = f"SELECT 1 {_PREDICTION}"
_DELETE_PREDICTION = f"DELETE {_PREDICTION}"
_SCORES_OF = f"""
    SELECT sequence FROM scores WHERE entity = ? AND project = ? AND prediction_id = ?
    AND ifnull(evaluation_run_id, '') IN (?, ?) AND {visible("scores")} LIMIT ?
"""


def _measure(read: Callable[[str, Row], list[Row]], run: tuple[str, str, str]) -> RunExtent:
    """Return how much is visible of a run (entity, project, id), given a function that reads."""
    counts, newest = [], [""]
    for table, column in RUN_COLUMNS.items():
        statement = f"""
            SELECT count(*), ifnull(max(_id), '') FROM {table}
            WHERE entity = ? AND project = ? AND {column} = ? AND {visible(table)}
        """
        ((count, newest_id),) = read(statement, run)
        counts.append(count)
        newest.append(newest_id)
    return RunExtent(max(newest), *counts)


def _unassigned(table: str, none: str) -> str:
    return f"""
        FROM {table} WHERE entity = ? AND project = ? AND evaluation_run_id {none} AND _id < ?
    """


def _clear(connection: sqlite3.Connection, deletion: Deletion, limit: int) -> int:
    """Remove up to `limit` rows that a deletion covers, and return how many were removed."""
    cleared = 0
    place = (deletion.entity, deletion.project, deletion.evaluation_run_id, deletion.bound)
    for table, column in RUN_COLUMNS.items():
        statement = f"""
            DELETE FROM {table} WHERE rowid IN (
                SELECT rowid FROM {table}
                WHERE entity = ? AND project = ? AND {column} = ? AND _id <= ? LIMIT ?
            )
        """
        cleared += connection.execute(statement, (*place, limit - cleared)).rowcount
    return cleared


def _checksum(values: Sequence[Any]) -> int:
    """Return the checksum of the columns that never change."""
    pairs = zip(_COLUMNS, values, strict=False)
    return checksum([str(value) for name, value in pairs if name not in _CHANGING])


def _to_deletion(row: Row) -> Deletion:
    """Return the deletion of a row of _SELECT. Raises StoreDamaged."""
    *values, expected = row
    if _checksum(values) != expected:
        raise damaged(values[0])
    finished_at = values.pop()
    try:
        moment = None if finished_at is None else datetime.fromisoformat(finished_at)
    except (TypeError, ValueError) as error:
        raise damaged(values[0]) from error
    names = (each.name for each in fields(Deletion))
    return Deletion(**dict(zip(names, [*values, moment], strict=True)))
