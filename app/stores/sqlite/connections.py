"""The connections of one process to the embedded store, and the errors that they raise.

Each thread reads on its own connection; all writes go through one.
"""

from __future__ import annotations

import errno
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from app.errors import (
    Conflict,
    ScorelineError,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    TooLarge,
)
from app.stores.sqlite.files import LOCK_SECONDS, DatabaseFiles, WriteLock
from app.stores.sqlite.rows import Row

BUSY_SECONDS = LOCK_SECONDS
"""How long SQLite waits for a program that does not use the lock file, unless less time is left."""

WAL_BYTES = 64 * 1024 * 1024
"""The size to which the -wal file is truncated after a checkpoint."""

PAGE_BYTES = 4 * 1024 * 1024
"""About how many bytes of rows are read at a time."""

CLOSE_SECONDS = 2.0
"""How long `close` waits for a running write."""

_NOT_UTF8 = "Could not decode to UTF-8"
"""The beginning of a message of the driver that goes on with stored text, which is not logged."""

_KINDS: dict[int, type[StoreUnavailable]] = {
    sqlite3.SQLITE_FULL: StoreFull,
    sqlite3.SQLITE_CORRUPT: StoreDamaged,
    sqlite3.SQLITE_NOTADB: StoreDamaged,
}


class SqliteConnections:
    """Connections to the SQLite file at `path`, opened when they are needed.

    They belong to the process that made this object; a child process must make its own.
    """

    def __init__(self, path: Path) -> None:
        self.process = os.getpid()
        self.closed = threading.Event()
        self._path = path
        self._files = DatabaseFiles(path)
        self._lock = WriteLock(path)
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._writer_waits = BUSY_SECONDS
        self._write_lock = threading.Lock()

    def close(self) -> None:
        """Close all connections, and move the write-ahead log into the database file."""
        self.closed.set()
        with suppress(ScorelineError):  # Another process is writing; the last one to close does it.
            if self._opened:
                with self.writing(CLOSE_SECONDS) as connection:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        for connection in self._opened:
            connection.close()
        self._lock.close()

    def _connect(self) -> sqlite3.Connection:
        # No thread check, because any thread may close the store.
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw",  # A deleted file is not created again.
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        connection.execute("SELECT * FROM sqlite_master").fetchall()  # Opens all of its files.
        self._files.note_opened()
        self._opened.append(connection)
        return connection

    def reader(self) -> sqlite3.Connection:
        """Return the connection of this thread."""
        self._files.check()
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection

    def check_writable(self) -> None:
        """Raise StoreUnavailable if the database may not be written."""
        self._files.check_writable()

    def read_one(self, statement: str, *values: str) -> Row | None:
        """Return the first row of a query, or None."""
        with read_errors(), closing(self.reader().execute(statement, values)) as found:
            row: Row | None = found.fetchone()
            return row

    def read_all(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query."""
        with read_errors():
            return self.reader().execute(statement, values).fetchall()

    def read_page(
        self,
        statement: str,
        values: Sequence[Any],
        size: Callable[[Sequence[Row]], int],
        at_once: int = 1,
    ) -> tuple[list[Row], bool]:
        """Return about PAGE_BYTES of a query's rows, at least one, and whether those are all.

        Small rows are read faster if the `size` of `at_once` of them is added up together.
        The statement is finished on return. A transaction that stays open while a slow client
        reads would make the write-ahead log grow.
        """
        rows: list[Row] = []
        read = 0
        with read_errors(), closing(self.reader().execute(statement, values)) as found:
            while some := found.fetchmany(at_once):
                rows += some
                read += size(some)
                if read >= PAGE_BYTES:
                    return rows, False
        return rows, True

    @contextmanager
    def writing(self, seconds: float = LOCK_SECONDS) -> Iterator[sqlite3.Connection]:
        """Lock all other threads and processes out, and return the connection that writes.

        Raises StoreBusy if other threads, processes that use the lock file and programs that do not
        write for longer than `seconds` together, and StoreUnavailable if the file at the path was
        replaced before the end.
        """
        deadline = time.monotonic() + seconds
        if not self._write_lock.acquire(timeout=seconds):
            raise StoreBusy("another thread's write does not end")
        try:
            self._files.check()
            self._files.check_writable()
            if self._writer is None:
                self._writer = self._connect()
            self._lock.acquire(seconds_until(deadline))
            try:
                self._wait_at_most(self._writer, seconds_until(deadline))
                yield self._writer
            finally:
                self._lock.release()
            self._files.check()  # The commit is in the file that the next start opens.
        except (sqlite3.Error, OSError) as error:
            raise store_error(error) from error
        finally:
            self._write_lock.release()

    def _wait_at_most(self, writer: sqlite3.Connection, seconds: float) -> None:
        """Set how long SQLite waits for a lock, if that changes by a tenth of a second.

        An unnecessary statement would hand the interpreter lock over while other processes wait.
        """
        seconds = math.ceil(10 * seconds) / 10
        if seconds != self._writer_waits:
            writer.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}").fetchone()
            self._writer_waits = seconds

    @contextmanager
    def transaction(self, seconds: float = LOCK_SECONDS) -> Iterator[sqlite3.Connection]:
        """Run the block in a write transaction, which is durable at its end."""
        with self.writing(seconds) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


def seconds_until(deadline: float) -> float:
    """Return the seconds until a time of `time.monotonic`, at least 0."""
    return max(0.0, deadline - time.monotonic())


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn errors of SQLite and of the file system into those of app/errors.py."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise store_error(error) from error


@contextmanager
def read_errors() -> Iterator[None]:
    """Translate errors as `our_errors` does, but for a read: too large data must be damaged."""
    with our_errors():
        try:
            yield
        except sqlite3.DataError as error:
            raise StoreDamaged(str(error)) from error


def store_error(error: sqlite3.Error | OSError) -> ScorelineError:
    """Return the error of app/errors.py for an error of SQLite or of the file system."""
    if isinstance(error, sqlite3.IntegrityError):
        return Conflict(str(error))
    if isinstance(error, sqlite3.DataError):
        return TooLarge(str(error))
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return StoreFull(str(error)) if full else StoreUnavailable(str(error))
    if str(error).startswith(_NOT_UTF8):
        return StoreDamaged("a text is not UTF-8")
    # The low byte is the primary result code. Errors that the driver itself raises have none.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return _KINDS.get(code, StoreUnavailable)(str(error))


class SqlitePart:
    """The base of the parts of the embedded store."""

    def _db(self) -> SqliteConnections:
        """Return the connections of this process."""
        raise NotImplementedError
