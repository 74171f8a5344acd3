"""Backups of the embedded store: made while it is written to, and restored while nobody uses it."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from app.errors import Conflict, StoreRefused
from app.stores.sqlite.checks import open_read_only
from app.stores.sqlite.errors import our_errors
from app.stores.sqlite.files import make_directory, open_serving, sync_directory, write_lock
from app.stores.sqlite.schema import NEW_STORE_ID, WITH_STORE_ID, schema_version

PAGES = 4096
"""Pages of the database that are copied at a time: 16 MiB."""

LOCK_SECONDS = 1.0
DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)

Progress = Callable[[int, int], None]
"""What is told of how much is done: pages, of pages."""


def back_up(path: Path, file: Path, progress: Progress) -> int:
    """Copy the store at `path` as it is at this moment into `file`; how many scores it holds.

    A read transaction holds the moment, which in WAL keeps no writer waiting. `file` appears
    whole and checked, or not at all. Raises StoreRefused, StoreFull and StoreUnavailable.
    """
    partial = Path(f"{file}.partial")
    try:
        with our_errors():
            count = _copy(path, partial, progress)
            if check_backup(partial) != count:
                raise StoreRefused(f"{partial} does not hold what the store holds; make it again")
            partial.replace(file)
            sync_directory(file.parent)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _copy(source_path: Path, target_path: Path, progress: Progress) -> int:
    """Copy a database into one file, durable, that needs no other beside it; how many scores."""
    target_path.unlink(missing_ok=True)
    os.close(os.open(target_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with (
        closing(open_read_only(source_path)) as source,
        closing(sqlite3.connect(target_path, isolation_level=None)) as target,
    ):
        source.execute("BEGIN")
        schema_version(source, source_path)
        count = int(source.execute("SELECT count(*) FROM scores").fetchone()[0])
        # Nobody reads it before it is whole, and on disk as the next lines have it.
        target.execute("PRAGMA synchronous = OFF")
        source.backup(
            target, pages=PAGES, progress=lambda _, left, total: progress(total - left, total)
        )
        target.execute("PRAGMA journal_mode = DELETE")
    with target_path.open("rb+") as written:
        os.fsync(written.fileno())
    return count


def check_backup(file: Path) -> int:
    """How many scores a backup holds. Raises StoreRefused when it is not ours, newer or damaged."""
    try:
        with closing(open_read_only(file)) as connection:
            schema_version(connection, file)
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            if found != ["ok"]:
                raise StoreRefused(f"{file} is damaged: {'; '.join(found)}")
            return int(connection.execute("SELECT count(*) FROM scores").fetchone()[0])
    except sqlite3.Error as error:
        raise StoreRefused(f"{file} cannot be restored: {error}") from error


def restore(file: Path, path: Path, progress: Progress) -> tuple[int, Path | None]:
    """Put the backup `file` in the place of the store at `path`, which nobody may be using.

    Returns how many scores it holds, and where the store that stood there is now. Raises
    StoreRefused when `file` is no sound backup, Conflict when the store is in use.
    """
    check_backup(file)
    fresh = Path(f"{path}.restoring")
    with our_errors():
        make_directory(path.parent)
        try:
            with _alone(path):
                count = _copy(file, fresh, progress)
                _rename_store(fresh)
                with write_lock(path):
                    kept = _keep_aside(path, fresh)
                    fresh.replace(path)
                    sync_directory(path.parent)
        finally:
            fresh.unlink(missing_ok=True)
    return count, kept


def _rename_store(fresh: Path) -> None:
    """Give a restored store an id of its own: cursors of `changes` from before it are too old."""
    with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
        if schema_version(connection, fresh) >= WITH_STORE_ID:
            connection.execute(NEW_STORE_ID)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep services away: those that start wait. Raises Conflict when one serves already."""
    descriptor = open_serving(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Conflict(f"a service is using {path}: stop it first") from None
    finally:
        os.close(descriptor)


def _keep_aside(path: Path, fresh: Path) -> Path | None:
    """Give the store that stands at `path` a second name, the new one its mode and owner."""
    if path.exists():
        if _is_readable(path):
            _close_log(path)
        shutil.copymode(path, fresh)
        if os.geteuid() == 0:
            shutil.chown(fresh, path.stat().st_uid, path.stat().st_gid)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    kept = Path(f"{path}.replaced-{stamp}")
    for beside in ("-wal", "-shm"):  # Left there, they would be taken for the new store's.
        if Path(f"{path}{beside}").exists():
            Path(f"{path}{beside}").replace(f"{kept}{beside}")
    if not path.exists():
        return None
    os.link(path, kept)  # Not renamed: at no moment is there no store, of which a start makes one.
    return kept


def _is_readable(path: Path) -> bool:
    """Whether SQLite takes the file for a database; of any other it would delete the log."""
    try:
        with closing(open_read_only(path)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except StoreRefused:
        return False
    except sqlite3.DatabaseError as error:
        if _kind(error) in DAMAGED:
            return False
        raise
    return True


def _close_log(path: Path) -> None:
    """Have SQLite bring the write-ahead log into the database, which it does for the last user.

    Raises Conflict when another program has the database open.
    """
    uri = f"{path.as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS)) as connection:
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.DatabaseError as error:
            if _kind(error) == sqlite3.SQLITE_BUSY:
                raise Conflict(f"another program has {path} open: end it first") from error
            if _kind(error) not in DAMAGED:
                raise


def _kind(error: sqlite3.Error) -> int:
    return error.sqlite_errorcode & 0xFF
