"""The embedded store: one SQLite file that several processes and threads share.

Durability is WAL with synchronous=FULL: a transaction is on disk when COMMIT returns. Each thread
reads on a connection of its own; a process writes on one, in a transaction that holds a lock file,
because SQLite's own busy handler starves writing processes.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path

from app.errors import Conflict, StoreDamaged, StoreRefused, StoreUnavailable, TooLarge
from app.ids import utc_text
from app.stores.base import ApiKey, Extent, Key, KeyedScore, Leaves, Score, ScoreQuery, Tally
from app.stores.checks import CheckResult
from app.stores.commits import GroupCommit, OnCommit, Outcome, uncounted
from app.stores.sqlite.checks import check
from app.stores.sqlite.connections import SqliteConnections
from app.stores.sqlite.errors import ours, read_errors
from app.stores.sqlite.files import make_database
from app.stores.sqlite.leaf_rows import Tallies, leaves_statement, to_leaves
from app.stores.sqlite.rows import (
    INSERT_KEY,
    INSERT_SCORE,
    NOTE_KEY_USE,
    ROWS_A_STATEMENT,
    SELECT_KEY,
    SELECT_ONLY_IN_PROJECT,
    SELECT_RETRIED,
    SELECT_SCORES,
    Row,
    ids_statement,
    insert_statement,
    key_row,
    marks,
    score_row,
    to_key,
    to_keyed,
    to_score,
)
from app.stores.sqlite.schema import APPLICATION_ID, FIRST_PAGES, MIGRATIONS, schema_version

LEAVES_PAGE = 300
"""How many scores' leaves are read at a time."""


class SqliteStore:
    """Scores and API keys in the SQLite file at `path`."""

    def __init__(self, path: str | Path, on_commit: OnCommit = uncounted) -> None:
        self._path = Path(path).absolute()
        self._on_commit = on_commit
        self._begin()

    def _begin(self) -> None:
        self._connections = SqliteConnections(self._path)
        self._commits = GroupCommit(self._insert_rows, self._on_commit)

    def _here(self) -> SqliteConnections:
        """This process's connections: after a fork, neither a parent's nor its locks are used."""
        if self._connections.process != os.getpid():
            self._begin()
        return self._connections

    # Scores

    def add_score(self, score: Score) -> None:
        self._here()
        self._commits.submit(score_row(score))

    def _insert_rows(self, rows: Sequence[Row]) -> list[Outcome]:
        """Insert what has queued up, each row failing alone."""
        try:
            self._insert_all(rows)
        except (Conflict, TooLarge):
            with self._here().transaction() as connection:
                return [_insert(connection, INSERT_SCORE, row) for row in rows]
        return [None] * len(rows)

    def _insert_all(self, rows: Sequence[Row]) -> None:
        """Insert rows, all or none, as one statement that is its own transaction.

        Between two statements the other threads would take the interpreter, while all other
        processes wait for this one's turn to end.
        """
        with self._here().turn() as connection:
            connection.execute(insert_statement(len(rows)), list(chain.from_iterable(rows)))

    def add_scores(self, scores: Sequence[Score]) -> None:
        """All or nothing: one transaction."""
        rows = [score_row(score) for score in scores]
        with self._here().transaction() as connection:
            for first in range(0, len(rows), ROWS_A_STATEMENT):
                part = rows[first : first + ROWS_A_STATEMENT]
                values = list(chain.from_iterable(part))
                connection.execute(insert_statement(len(part)), values)

    def find_score(self, entity: str, project: str, score_id: str) -> Score | None:
        # By its id alone: in a damaged row the project may be what is wrong.
        found = self._here().read_one(f"{SELECT_SCORES} WHERE _id = ?", score_id)
        if found is None:
            if self._here().read_one(SELECT_ONLY_IN_PROJECT, entity, project, score_id):
                raise StoreDamaged(f"{score_id!r} is not in every index")
            return None
        score = to_score(found)
        return score if (score.entity, score.project) == (entity, project) else None

    def list_score_ids(self, query: ScoreQuery) -> list[str]:
        statement, values = ids_statement(query)
        with read_errors():
            return [row[0] for row in self._here().reader().execute(statement, values)]

    def read_scores(self, score_ids: Sequence[str]) -> Iterator[Score]:
        with read_errors():
            statement = f"{SELECT_SCORES} WHERE _id IN ({marks(score_ids)}) ORDER BY _id"
            for row in self._here().reader().execute(statement, score_ids):
                yield to_score(row)

    def read_leaves(
        self, query: ScoreQuery, fields: Sequence[str]
    ) -> Iterator[tuple[list[Key], list[Leaves]]]:
        for rows in self._leaves(query, fields):
            yield to_leaves(rows)

    def tally_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[Tally]:
        yield from Tallies().of(self._leaves(query, fields))

    def _leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[list[Row]]:
        statement, values = leaves_statement(query, fields)
        with read_errors():
            found = self._here().reader().execute(statement, values)
            while rows := found.fetchmany(LEAVES_PAGE):
                yield rows

    def find_keyed(
        self, entity: str, project: str, idempotency_keys: Sequence[str]
    ) -> dict[str, KeyedScore]:
        keys = f"idempotency_key IN ({marks(idempotency_keys)})"
        statement = f"{SELECT_SCORES} WHERE entity = ? AND project = ? AND {keys}"
        with read_errors():
            rows = self._here().reader().execute(statement, (entity, project, *idempotency_keys))
            return dict(map(to_keyed, rows))

    def find_retried(self, entity: str, project: str, retry_hash: str, after: str) -> str | None:
        found = self._here().read_one(SELECT_RETRIED, entity, project, retry_hash, after)
        return to_score(found).score_id if found else None

    def delete_scores(self, entity: str, project: str, score_ids: Sequence[str]) -> int:
        statement = (
            f"DELETE FROM scores WHERE _id IN ({marks(score_ids)}) AND entity = ? AND project = ?"
        )
        with self._here().transaction() as connection:
            return connection.execute(statement, (*score_ids, entity, project)).rowcount

    def extent(self) -> Extent:
        found = self._here().read_one("SELECT count(*), max(_id) FROM scores")
        return Extent(*(found or (0, None)))

    def scan_scores(self, after: str, limit: int) -> Iterator[Score]:
        statement = f"{SELECT_SCORES} WHERE _id > ? ORDER BY _id LIMIT ?"
        with read_errors():
            for row in self._here().reader().execute(statement, (after, limit)):
                yield to_score(row)

    # API keys

    def add_key(self, key: ApiKey) -> None:
        with self._here().transaction() as connection:
            outcome = _insert(connection, INSERT_KEY, key_row(key))
        if outcome:
            raise outcome

    def find_key(self, key_hash: str) -> ApiKey | None:
        found = self._here().read_one(f"{SELECT_KEY} WHERE key_hash = ?", key_hash)
        return to_key(found) if found else None

    def list_keys(self) -> list[ApiKey]:
        with read_errors():
            rows = self._here().reader().execute(f"{SELECT_KEY} ORDER BY _id").fetchall()
        return [to_key(row) for row in rows]

    def revoke_key(self, key_id: str, revoked_at: datetime) -> bool:
        with self._here().transaction() as connection:
            changed = connection.execute(
                "UPDATE api_keys SET revoked_at = ? WHERE _id = ? AND revoked_at IS NULL",
                (utc_text(revoked_at), key_id),
            )
            return changed.rowcount == 1

    def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        rows = [(utc_text(moment), key_id) for key_id, moment in uses.items()]
        with self._here().transaction() as connection:
            connection.executemany(NOTE_KEY_USE, rows)

    # The store itself

    def prepare(self) -> None:
        make_database(self._path)
        try:
            with self._here().transaction() as connection:
                self._migrate(connection)
                for statement in FIRST_PAGES:
                    connection.execute(statement).fetchone()
        except StoreDamaged as error:
            raise StoreRefused(f"{self._path} is damaged, or no database: {error}") from error
        except StoreUnavailable as error:
            raise StoreRefused(f"cannot use {self._path} as a store: {error}") from error

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = schema_version(connection, self._path)
        if version == len(MIGRATIONS):
            return  # Nothing is written: a full disk is no reason not to start.
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def ping(self) -> None:
        self._here().read_one("SELECT _id FROM scores LIMIT 1")

    def check(self) -> Iterator[CheckResult]:
        return check(self._path)

    def close(self) -> None:
        self._connections.close()
        self._begin()


def _insert(connection: sqlite3.Connection, statement: str, row: Row) -> Outcome:
    """Insert one row; a row that is refused does not end the transaction of its neighbours."""
    try:
        connection.execute(statement, row)
    except (sqlite3.IntegrityError, sqlite3.DataError) as error:
        return ours(error)
    return None
