"""The embedded store's files: made private, locked, and watched for a file that was replaced.

SQLite goes on writing to a file that was deleted or replaced, which nobody would read again.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.errors import StoreBusy, StoreRefused, StoreUnavailable

TICK_NANOSECONDS = 100_000_000
"""More than the resolution of any file system's clock."""

SERVING = ".serving"
"""The suffix of the file that services hold while they use the database beside it."""

LOCK_SECONDS = 5.0
"""How long a write waits for the lock file."""

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
OTHERS = 0o077


class WriteLock:
    """The lock file beside a database, which one process holds while it writes.

    The kernel wakes the waiting processes in turn, where SQLite's own busy handler starves some.
    flock(2) has no time limit, so a thread of its own waits where the lock is held. One thread of
    a process at a time may acquire it.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")
        self._descriptor: int | None = None
        self._state = threading.Condition()
        self._waits_since: float | None = None
        self._is_wanted = False
        self._is_granted = False

    def acquire(self, seconds: float) -> None:
        """Hold the lock. Raises StoreBusy when others hold it for longer than `seconds`.

        The time counts from when this process began to wait, so that calls which come later fail
        at once.
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
        """Wait for the lock, and give it back where nobody wants it any more."""
        with suppress(OSError):  # The store was closed meanwhile.
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
        """Let the next process write."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class DatabaseFiles:
    """The database at a path and what SQLite keeps beside it, as one process has them open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._paths = [path, Path(f"{path}-wal"), Path(f"{path}-shm")]
        self._opened: list[tuple[int, int]] = []
        self._directory = path.parent
        self._unchanged: tuple[int, int, int] | None = None

    def note_opened(self) -> None:
        """Remember which files are open; the first connection of a process decides."""
        self._opened = self._opened or self._identities()

    def check(self) -> None:
        """Raise StoreUnavailable when another file stands at the path than is open, or OSError.

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
        """Raise StoreUnavailable when the database may not be written, though it is open."""
        if not os.access(self._path, os.W_OK):
            raise StoreUnavailable(f"{self._path} is read-only")

    def _identities(self) -> list[tuple[int, int]]:
        found = [path.stat() for path in self._paths]
        return [(each.st_dev, each.st_ino) for each in found]


def make_database(path: Path) -> None:
    """Make an empty file at `path`, and its directory, unless it is there; keep others out.

    Raises StoreRefused.
    """
    wal = Path(f"{path}-wal")
    try:
        if _size(path):
            make_private(path)
            return
        if _size(wal):
            # SQLite would take the one for new and delete the other.
            raise StoreRefused(
                f"{path} is gone, but not {wal}: put it back, or remove both to begin anew"
            )
        make_directory(path.parent)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE))
        make_private(path)
    except OSError as error:
        raise StoreRefused(f"cannot make {path}: {error.strerror}") from error


def make_directory(directory: Path) -> None:
    """Make a directory and its parents, those that are missing, for this user alone."""
    for missing in reversed(
        [each for each in (directory, *directory.parents) if not each.exists()]
    ):
        missing.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)


def make_private(path: Path) -> None:
    """Take the rights of other users away from a database and the files beside it.

    Earlier releases left them with what the umask gave. A file of another user is left alone.
    """
    for beside in ("", "-wal", "-shm", ".lock", SERVING):
        file = Path(f"{path}{beside}")
        with suppress(FileNotFoundError, PermissionError):
            if file.stat().st_mode & OTHERS:
                file.chmod(PRIVATE_FILE)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Hold the lock file of a database for the length of a block. Raises StoreBusy and OSError."""
    lock = WriteLock(path)
    try:
        lock.acquire(LOCK_SECONDS)
        yield
    finally:
        lock.close()


def open_serving(path: Path) -> int:
    """Open the file that services hold."""
    return os.open(f"{path}{SERVING}", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)


def note_serving(path: Path) -> None:
    """Hold that file as long as this process or one of its children lives.

    Waits while a backup is restored. Raises StoreRefused.
    """
    try:
        make_directory(path.parent)
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
