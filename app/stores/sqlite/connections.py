"""One process's connections to the embedded store: one for each reading thread, one that writes."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from app.errors import ScorelineError, StoreBusy
from app.stores.sqlite.errors import our_errors, read_errors
from app.stores.sqlite.files import LOCK_SECONDS, DatabaseFiles, WriteLock
from app.stores.sqlite.rows import Row

BUSY_SECONDS = 5.0
"""How long SQLite waits for a lock of a program that does not use the lock file."""

WAL_BYTES = 64 * 1024 * 1024
"""What the -wal file is cut to after a checkpoint."""

PAGE_BYTES = 4 * 1024 * 1024
"""About how many bytes of rows are read before they are handed on."""

CLOSE_SECONDS = 2.0
"""How long closing waits for a write that is under way."""


class SqliteConnections:
    """Connections to the SQLite file at `path`, opened as they are needed.

    They belong to the process that made this object, `process`: a child must make its own.
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
        self._write_lock = threading.Lock()

    def close(self) -> None:
        """Close all of them, and bring the write-ahead log into the database file."""
        self.closed.set()
        with suppress(ScorelineError):  # Another process writes: the last one to close does it.
            if self._opened:
                with self.writing(CLOSE_SECONDS) as connection:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        for connection in self._opened:
            connection.close()
        self._lock.close()

    def _connect(self) -> sqlite3.Connection:
        # Connections are closed by whichever thread closes the store, hence no thread check.
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw",  # A file that is gone is not made anew.
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
        """Return this thread's connection."""
        self._files.check()
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection

    def read_one(self, statement: str, *values: str) -> Row | None:
        """Return the first row of an answer, if it has one."""
        with read_errors(), closing(self.reader().execute(statement, values)) as found:
            row: Row | None = found.fetchone()
            return row

    def read_all(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of an answer."""
        with read_errors():
            return self.reader().execute(statement, values).fetchall()

    def read_page(
        self, statement: str, values: Sequence[Any], size: Callable[[Row], int]
    ) -> tuple[list[Row], bool]:
        """Return rows of about PAGE_BYTES, at least one, and whether those are all.

        The statement is finished then: a transaction that stays open while a client is waited for
        would keep the write-ahead log growing.
        """
        rows: list[Row] = []
        read = 0
        with read_errors(), closing(self.reader().execute(statement, values)) as found:
            for row in found:
                rows.append(row)
                read += size(row)
                if read >= PAGE_BYTES:
                    return rows, False
        return rows, True

    @contextmanager
    def writing(self, seconds: float = LOCK_SECONDS) -> Iterator[sqlite3.Connection]:
        """Hold this process's writing connection, alone among all threads and processes.

        What was written is in the file at the path when the block is left. Raises StoreBusy when
        others write for longer than `seconds`.
        """
        if not self._write_lock.acquire(timeout=seconds):
            raise StoreBusy("another thread's write does not end")
        try:
            with our_errors():
                self._files.check()
                self._files.check_writable()
                if self._writer is None:
                    self._writer = self._connect()
                self._lock.acquire(seconds)
                try:
                    yield self._writer
                finally:
                    self._lock.release()
                self._files.check()  # What was committed is where the next start looks for it.
        finally:
            self._write_lock.release()

    @contextmanager
    def transaction(self, seconds: float = LOCK_SECONDS) -> Iterator[sqlite3.Connection]:
        """Hold one write transaction; it is durable when the block is left."""
        with self.writing(seconds) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
