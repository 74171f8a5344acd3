"""Bound the memory that the parsing of large bodies takes, in all processes of a service."""

from __future__ import annotations

import fcntl
import tempfile
import time
from typing import IO

DENSE = 2_000_000
"""With more commas and brackets, a body takes up to 35 times as much memory as its text."""

_POLL_SECONDS = 0.05


class SharedLock:
    """A lock between processes, which the system releases if the process that has it is killed.

    In each process, one thread at a time may use it.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None

    def share(self) -> None:
        """Share the lock with the processes that are forked from now on."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115

    def acquire(self, timeout: float) -> bool:
        """Wait for the lock for at most `timeout` seconds, and return whether this process has it.

        Before it is shared, the process has it.
        """
        deadline = time.monotonic() + timeout
        while self._file is not None:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_POLL_SECONDS)
            else:
                return True
        return True

    def release(self) -> None:
        """Release the lock."""
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


dense_bodies = SharedLock()
"""One dense body at a time is parsed in all processes of the service."""


def is_dense(data: bytes) -> bool:
    """Return whether JSON has very many values."""
    return sum(map(data.count, (b",", b"[", b"{"))) > DENSE
