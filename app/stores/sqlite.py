"""The embedded store: one SQLite file that several processes and threads share.

Durability is WAL with synchronous=FULL: a transaction is on disk when COMMIT returns. Each thread
reads on a connection of its own; a process writes on one, in a transaction that holds a lock file,
because SQLite's own busy handler starves writing processes.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from app import jsontext
from app.errors import Conflict, ScorelineError, StoreRefused, StoreUnavailable, TooLarge
from app.stores.base import ApiKey, Score
from app.stores.commits import GroupCommit, Outcome
from app.stores.sqlite_schema import APPLICATION_ID, MIGRATIONS

BUSY_SECONDS = 5.0
"""How long SQLite waits for a lock that a program without our lock file holds."""

_INSERT_SCORE = """
    INSERT INTO scores (
        _id, entity, project, evaluation_run_id, prediction_id, scorer, value_json, leaves,
        wb_user_id, created_at, idempotency_key, body_hash
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_KEY = """
    INSERT INTO api_keys (_id, name, role, scope, owner, key_hash, created_at, revoked_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_SELECT_KEY = "SELECT _id, name, role, scope, owner, key_hash, created_at, revoked_at FROM api_keys"


class SqliteStore:
    """Scores and API keys in the SQLite file at `path`."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).absolute()
        self._process = 0
        self._after_fork()

    def _after_fork(self) -> None:
        """Forget the parent's connections and locks: neither may be used in a child."""
        self._process = os.getpid()
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._write_lock = threading.Lock()
        self._commits = GroupCommit(self._insert_scores)

    # Scores

    def add_score(self, score: Score) -> None:
        self._in_this_process()
        self._commits.submit(score)

    def _insert_scores(self, scores: Sequence[Score]) -> list[Outcome]:
        with self._transaction() as connection:
            return [_insert(connection, _INSERT_SCORE, _score_row(score)) for score in scores]

    # API keys

    def add_key(self, key: ApiKey) -> None:
        with self._transaction() as connection:
            outcome = _insert(connection, _INSERT_KEY, _key_row(key))
        if outcome:
            raise outcome

    def find_key(self, key_hash: str) -> ApiKey | None:
        with _our_errors():
            row = self._reader().execute(f"{_SELECT_KEY} WHERE key_hash = ?", (key_hash,))
            found = row.fetchone()
        return _key(found) if found else None

    def list_keys(self) -> list[ApiKey]:
        with _our_errors():
            rows = self._reader().execute(f"{_SELECT_KEY} ORDER BY _id").fetchall()
        return [_key(row) for row in rows]

    def revoke_key(self, key_id: str, revoked_at: datetime) -> bool:
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE api_keys SET revoked_at = ? WHERE _id = ? AND revoked_at IS NULL",
                (_time_text(revoked_at), key_id),
            )
            return changed.rowcount == 1

    # The store itself

    def prepare(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreRefused(f"cannot make {self._path.parent}: {error.strerror}") from error
        try:
            with self._transaction() as connection:
                self._migrate(connection)
        except StoreUnavailable as error:
            raise StoreRefused(f"cannot use {self._path} as a store: {error}") from error

    def _migrate(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application != APPLICATION_ID and (tables or application):
            raise StoreRefused(f"{self._path} is an SQLite database, but not one of Scoreline's")
        if version > len(MIGRATIONS):
            raise StoreRefused(
                f"{self._path} was written by a newer Scoreline: its schema is {version}, "
                f"this program knows {len(MIGRATIONS)}"
            )
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def ping(self) -> None:
        with _our_errors():
            self._reader().execute("SELECT _id FROM scores LIMIT 1").fetchone()

    def close(self) -> None:
        for connection in self._opened:
            connection.close()
        self._after_fork()

    # Connections

    def _in_this_process(self) -> None:
        if self._process != os.getpid():
            self._after_fork()

    def _connect(self) -> sqlite3.Connection:
        # Connections are closed by whichever thread closes the store, hence no thread check.
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        self._opened.append(connection)
        return connection

    def _reader(self) -> sqlite3.Connection:
        """This thread's connection."""
        self._in_this_process()
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction, alone among all processes; durable when the block is left."""
        self._in_this_process()
        with self._write_lock, _our_errors(), _held(self._path):
            if self._writer is None:
                self._writer = self._connect()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold the lock file beside the database; the kernel serves the waiting processes in turn."""
    with Path(f"{path}.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _our_errors() -> Iterator[None]:
    """Turn what the driver raises into the service's errors."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _ours(error) from error


def _ours(error: Exception) -> ScorelineError:
    if isinstance(error, sqlite3.IntegrityError):
        return Conflict(str(error))
    if isinstance(error, sqlite3.DataError):
        return TooLarge(str(error))
    return StoreUnavailable(str(error))


def _insert(connection: sqlite3.Connection, statement: str, row: tuple[object, ...]) -> Outcome:
    """Insert one row; a row that is refused does not end the transaction of its neighbours."""
    try:
        connection.execute(statement, row)
    except (sqlite3.IntegrityError, sqlite3.DataError) as error:
        return _ours(error)
    return None


def _score_row(score: Score) -> tuple[object, ...]:
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
        _time_text(score.created_at),
        score.idempotency_key,
        score.body_hash,
    )


def _key_row(key: ApiKey) -> tuple[object, ...]:
    revoked_at = _time_text(key.revoked_at) if key.revoked_at else None
    fields = (key.key_id, key.name, key.role, key.scope, key.owner, key.key_hash)
    return (*fields, _time_text(key.created_at), revoked_at)


def _key(row: tuple[str, str, str, str, str, str, str, str | None]) -> ApiKey:
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


def _time_text(moment: datetime) -> str:
    """UTC in ISO 8601 with milliseconds, so that text order is time order."""
    return (
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    )
