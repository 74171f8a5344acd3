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

_NOT_UTF8 = "Could not decode to UTF-8"
"""How an error of the driver's own begins; the text itself follows, which is not for a log."""

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


@contextmanager
def read_errors() -> Iterator[None]:
    """As `our_errors`, for reading: what is too large now was not so when it was written."""
    with our_errors():
        try:
            yield
        except sqlite3.DataError as error:
            raise StoreDamaged(str(error)) from error


def ours(error: sqlite3.Error | OSError) -> ScorelineError:
    """The service's error for one of the driver's."""
    if isinstance(error, sqlite3.IntegrityError):
        return Conflict(str(error))
    if isinstance(error, sqlite3.DataError):
        return TooLarge(str(error))
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return StoreFull(str(error)) if full else StoreUnavailable(str(error))
    if str(error).startswith(_NOT_UTF8):
        return StoreDamaged("a text is not UTF-8")
    # The low byte is the kind, the rest its details; the driver's own errors have no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return _KINDS.get(code, StoreUnavailable)(str(error))
