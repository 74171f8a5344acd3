"""The embedded store's files: made, locked, and watched, for a path may come to mean another file.

SQLite goes on writing to a file that was deleted or replaced, and nobody would read that again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import StoreRefused, StoreUnavailable


class DatabaseFiles:
    """The database at a path and what SQLite keeps beside it, as one process has them open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._paths = [path, Path(f"{path}-wal"), Path(f"{path}-shm")]
        self._opened: list[tuple[int, int]] = []

    def note_opened(self) -> None:
        """Remember which files they are; the first connection of a process decides."""
        self._opened = self._opened or self._identities()

    def check(self) -> None:
        """Raise StoreUnavailable when what stands at the path is not what is open, or OSError."""
        if self._opened and self._identities() != self._opened:
            raise StoreUnavailable(f"{self._path} is not the file that was opened: start anew")

    def check_writable(self) -> None:
        """Raise StoreUnavailable when the database may not be written, though it be open."""
        if not os.access(self._path, os.W_OK):
            raise StoreUnavailable(f"{self._path} is read-only")

    def _identities(self) -> list[tuple[int, int]]:
        found = [path.stat() for path in self._paths]
        return [(each.st_dev, each.st_ino) for each in found]


def make_database(path: Path) -> None:
    """Make an empty file at `path`, and its directory, unless it is there.

    Raises StoreRefused.
    """
    wal = Path(f"{path}-wal")
    try:
        if _size(path):
            return
        if _size(wal):
            # SQLite would take the one for new and delete the other.
            raise StoreRefused(
                f"{path} is gone, but not {wal}: put it back, or remove both to begin anew"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise StoreRefused(f"cannot make {path}: {error.strerror}") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file beside the database; the kernel serves the waiting processes in turn."""
    with Path(f"{path}.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
