"""The files of the embedded store: create, protect and lock them, and detect replaced files.

SQLite would keep writing to a file that was deleted or replaced, and these writes would be lost.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pwd
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.errors import StoreBusy, StoreInaccessible, StoreRefused, StoreUnavailable

log = logging.getLogger("scoreline.store")

TICK_NANOSECONDS = 100_000_000
"""Longer than the timestamp resolution of any file system."""

SERVING = ".serving"
"""The suffix of the file that services lock while they use the database."""

LOCK_SECONDS = 5.0
"""How long a write waits for the lock file."""

RESTORE_SECONDS = 600.0
"""How long a start waits for the restore of a backup."""

RESTORE_PAUSE_SECONDS = 0.1

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
OTHERS = 0o077


class WriteLock:
    """The lock file next to a database, which one process holds while it writes.

    The kernel wakes waiting processes in turn, while SQLite's own busy handler starves some. As
    flock(2) has no timeout, an extra thread waits if the lock is held. Only one thread of a process
    may call `acquire` at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")
        self._descriptor: int | None = None
        self._state = threading.Condition()
        self._waits_since: float | None = None
        self._is_wanted = False
        self._is_granted = False

    def acquire(self, seconds: float) -> None:
        """Acquire the lock. Raises StoreBusy if others hold it for longer than `seconds`.

        The time counts from when this process began to wait, so that later calls fail at once.
        """
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self._state:
            if self._waits_since is None:
                if self._try(self._descriptor):
                    return
                self._waits_since = time.monotonic()
                waiting = threading.Thread(target=self._wait, args=(self._descriptor,), daemon=True)
                waiting.start()
            self._is_wanted = True
            granted = self._state.wait_for(
                lambda: self._is_granted, max(0, self._waits_since + seconds - time.monotonic())
            )
            self._is_wanted = self._is_granted = False
        if not granted:
            raise StoreBusy(f"another program holds {self._path}")

    @staticmethod
    def _try(descriptor: int) -> bool:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def _wait(self, descriptor: int) -> None:
        """Wait for the lock, and release it if no thread waits for it any longer."""
        with suppress(OSError):  # The store was closed in the meantime.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with self._state:
            self._waits_since = None
            if self._is_wanted:
                self._is_granted = True
                self._state.notify()
                return
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the lock file, which also releases the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class DatabaseFiles:
    """The files of a database that one process has open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._paths = [path, Path(f"{path}-wal"), Path(f"{path}-shm")]
        self._opened: list[tuple[int, int]] = []
        self._directory = path.parent
        self._unchanged: tuple[int, int, int] | None = None

    def note_opened(self) -> None:
        """Remember which files the first connection of the process opened."""
        self._opened = self._opened or self._identities()

    def check(self) -> None:
        """Raise StoreUnavailable if a file was replaced since it was opened, or OSError.

        Replacing a file changes the directory's mtime, so that only the directory is checked as
        long as it stays the same.
        """
        found = self._directory.stat()
        directory = (found.st_dev, found.st_ino, found.st_mtime_ns)
        if directory == self._unchanged:
            return
        if self._opened and self._identities() != self._opened:
            raise StoreUnavailable(f"{self._path} was replaced: restart the service")
        # A recent mtime may stay the same when the directory changes again within the tick.
        is_settled = time.time_ns() - found.st_mtime_ns > TICK_NANOSECONDS
        self._unchanged = directory if self._opened and is_settled else None

    def check_writable(self) -> None:
        """Raise StoreUnavailable if the database, though open, must not be written."""
        if not os.access(self._path, os.W_OK):
            raise StoreUnavailable(f"{self._path} is read-only")

    def _identities(self) -> list[tuple[int, int]]:
        found = [path.stat() for path in self._paths]
        return [(each.st_dev, each.st_ino) for each in found]


def make_database(path: Path) -> None:
    """Create the database file and its directory if they are missing, and make them private.

    Raises StoreRefused, and StoreInaccessible if this user may not read the file.
    """
    wal = Path(f"{path}-wal")
    try:
        if _size(path):
            make_private(path)
            if not os.access(path, os.R_OK):
                raise inaccessible(path, "Permission denied")
            return
        if _size(wal):
            # SQLite would treat the database as new and delete its -wal file.
            raise StoreRefused(
                f"{path} is missing, but {wal} exists: restore it, or remove both for a new store"
            )
        make_directory(path.parent)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE))
        make_private(path)
    except OSError as error:
        raise StoreRefused(f"cannot make {path}: {error.strerror}") from error


def inaccessible(path: Path | str, why: str | None) -> StoreInaccessible:
    """Return the error for a file that this user may not use."""
    return StoreInaccessible(f"{path} cannot be used by the user {user_name()}: {why}")


def user_name() -> str:
    """Return the name of the user who runs this process, or the number of a user without one."""
    with suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())


def make_directory(directory: Path) -> None:
    """Create a directory and its missing parents for this user only."""
    for missing in reversed(
        [each for each in (directory, *directory.parents) if not each.exists()]
    ):
        missing.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)


def make_private(path: Path) -> None:
    """Remove the rights of other users to the files of a database.

    Earlier versions created them with the umask's rights. Files of other users stay as they are.
    """
    for beside in ("", "-wal", "-shm", ".lock", SERVING):
        file = Path(f"{path}{beside}")
        with suppress(FileNotFoundError, PermissionError):
            mode = file.stat().st_mode
            if stat.S_ISREG(mode) and mode & OTHERS:  # The setting may name a directory.
                file.chmod(PRIVATE_FILE)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Hold the lock file of a database during a block. Raises StoreBusy and OSError."""
    lock = WriteLock(path)
    try:
        lock.acquire(LOCK_SECONDS)
        yield
    finally:
        lock.close()


def open_serving(path: Path) -> int:
    """Open the file that services lock while they run."""
    return os.open(f"{path}{SERVING}", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)


def note_serving(path: Path) -> None:
    """Mark the store as in use for as long as this process or one of its children runs.

    Waits up to RESTORE_SECONDS while a backup is being restored. Raises StoreRefused.
    """
    try:
        make_directory(path.parent)
        descriptor = open_serving(path)  # Never closed; the last process to end unlocks it.
        if _share(descriptor):
            return
        log.warning("%s%s is locked: waiting for the restore of a backup", path, SERVING)
        deadline = time.monotonic() + RESTORE_SECONDS
        while not _share(descriptor):
            if time.monotonic() > deadline:
                raise StoreRefused(f"another program holds {path}{SERVING}")
            time.sleep(RESTORE_PAUSE_SECONDS)
    except OSError as error:
        raise StoreRefused(f"cannot make {path}{SERVING}: {error.strerror}") from error


def _share(descriptor: int) -> bool:
    """Lock a file together with other services; return False if a restore has locked it."""
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    return False


def sync_directory(directory: Path) -> None:
    """Flush a directory to disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
