"""One process's connections to the embedded store: a thread reads on its own, one of all writes."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.stores.sqlite.errors import our_errors, read_errors
from app.stores.sqlite.files import DatabaseFiles
from app.stores.sqlite.rows import Row

BUSY_SECONDS = 5.0
"""How long SQLite waits for a lock that a program without our lock file holds."""


class SqliteConnections:
    """Connections to the SQLite file at `path`, opened as they are needed.

    They belong to the process that made this object, `process`: a child must make its own.
    """

    def __init__(self, path: Path) -> None:
        self.process = os.getpid()
        self.writer: sqlite3.Connection | None = None
        self._path = path
        self._files = DatabaseFiles(path)
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._write_lock = threading.Lock()

    def close(self) -> None:
        """Close all of them."""
        for connection in self._opened:
            connection.close()
        self._files.close()

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
        connection.execute("SELECT * FROM sqlite_master").fetchall()  # Opens all of its files.
        self._files.note_opened()
        self._opened.append(connection)
        return connection

    def reader(self) -> sqlite3.Connection:
        """This thread's connection."""
        self._files.check()
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection

    def read_one(self, statement: str, *values: str) -> Row | None:
        """The first row of an answer, if it has one."""
        with read_errors():
            row: Row | None = self.reader().execute(statement, values).fetchone()
            return row

    @contextmanager
    def turn(self) -> Iterator[sqlite3.Connection]:
        """This process's writing connection, alone among all threads and processes.

        What was written has been written to the file at the path when the block is left.
        """
        with self._write_lock, our_errors():
            self._files.check()
            self._files.check_writable()
            if self.writer is None:
                self.writer = self._connect()
            with self._files.turn():
                yield self.writer
            self._files.check()  # What was committed is where the next start looks for it.

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One write transaction; durable when the block is left."""
        with self.turn() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
