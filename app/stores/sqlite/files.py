"""The embedded store's files: made, locked, and watched, for a path may come to mean another file.

SQLite goes on writing to a file that was deleted or replaced, and nobody would read that again.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import StoreRefused, StoreUnavailable

TICK_NANOSECONDS = 100_000_000
"""More than the steps in which any file system's clock goes."""
SERVING = ".serving"
"""What the name of the file ends in that services hold while they use the database beside it."""


class DatabaseFiles:
    """The database at a path and what SQLite keeps beside it, as one process has them open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._paths = [path, Path(f"{path}-wal"), Path(f"{path}-shm")]
        self._opened: list[tuple[int, int]] = []
        self._directory = path.parent
        self._unchanged: tuple[int, int, int] | None = None
        self._lock_file: int | None = None

    def close(self) -> None:
        """Let go of the lock file."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the lock file beside the database; the kernel serves the waiting processes in turn.

        One thread of a process at a time: the lock is the open file's.
        """
        if self._lock_file is None:
            self._lock_file = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def note_opened(self) -> None:
        """Remember which files they are; the first connection of a process decides."""
        self._opened = self._opened or self._identities()

    def check(self) -> None:
        """Raise StoreUnavailable when what stands at the path is not what is open, or OSError.

        A file that comes or goes changes its directory: as long as that has not changed, neither
        have the files, and one look is enough.
        """
        found = self._directory.stat()
        directory = (found.st_dev, found.st_ino, found.st_mtime_ns)
        if directory == self._unchanged:
            return
        if self._opened and self._identities() != self._opened:
            raise StoreUnavailable(f"{self._path} is not the file that was opened: start anew")
        # A change within the clock's last tick may not be the last one of that tick.
        is_settled = time.time_ns() - found.st_mtime_ns > TICK_NANOSECONDS
        self._unchanged = directory if self._opened and is_settled else None

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


def open_serving(path: Path) -> int:
    """Open the file that services hold; to read, for it may be of another user."""
    return os.open(f"{path}{SERVING}", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)


def note_serving(path: Path) -> None:
    """Say that this process and its children use the database, for as long as one of them lives.

    Waits while a backup is restored. Raises StoreRefused.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Never closed: the kernel does that with the last process that has it.
        fcntl.flock(open_serving(path), fcntl.LOCK_SH)
    except OSError as error:
        raise StoreRefused(f"cannot make {path}{SERVING}: {error.strerror}") from error


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
