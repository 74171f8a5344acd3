"""What SQLite and the file system raise, as the service's errors."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import (
    Conflict,
    ScorelineError,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    TooLarge,
)

_KINDS: dict[int, type[StoreUnavailable]] = {
    sqlite3.SQLITE_FULL: StoreFull,
    sqlite3.SQLITE_CORRUPT: StoreDamaged,
    sqlite3.SQLITE_NOTADB: StoreDamaged,
}


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn what the driver raises into the service's errors."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise ours(error) from error


def ours(error: sqlite3.Error | OSError) -> ScorelineError:
    """The service's error for one of the driver's."""
    if isinstance(error, sqlite3.IntegrityError):
        return Conflict(str(error))
    if isinstance(error, sqlite3.DataError):
        return TooLarge(str(error))
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return StoreFull(str(error)) if full else StoreUnavailable(str(error))
    # The low byte is the kind, the rest its details; the driver's own errors have no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return _KINDS.get(code, StoreUnavailable)(str(error))
