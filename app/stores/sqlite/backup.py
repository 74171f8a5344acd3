"""Back up the embedded store while it is written to, and restore it while it is not in use."""

from __future__ import annotations

import errno
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
from app.stores.sqlite.connections import our_errors
from app.stores.sqlite.files import (
    inaccessible,
    make_directory,
    open_serving,
    sync_directory,
    write_lock,
)
from app.stores.sqlite.migrations import NEW_STORE_ID, WITH_STORE_ID
from app.stores.sqlite.schema import count_all, schema_version

PAGES = 4096
"""How many pages of the database are copied at a time, which is 16 MiB."""

LOCK_SECONDS = 1.0
NOT_USABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR)
"""Errors of a file for which a retry does not help."""

DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)

Progress = Callable[[int, int], None]
"""A callback that gets the number of copied pages and of all pages."""


def back_up(path: Path, file: Path, progress: Progress) -> dict[str, int]:
    """Copy the store at `path` as it is now to `file`, and return what it holds, by table.

    One read transaction spans the copy; in WAL mode it blocks no writer. `file` appears complete
    and checked, or not at all. Raises StoreRefused, StoreInaccessible, StoreFull and
    StoreUnavailable.
    """
    partial = Path(f"{file}.partial")
    with _file_errors():
        try:
            counts = _copy(path, partial, progress)
            if check_backup(partial) != counts:
                raise StoreRefused(f"{partial} is incomplete; run the backup again")
            partial.replace(file)
            sync_directory(file.parent)
        finally:
            partial.unlink(missing_ok=True)
    return counts


@contextmanager
def _file_errors() -> Iterator[None]:
    """Translate errors as `our_errors` does, but raise StoreInaccessible for unusable files."""
    with our_errors():
        try:
            yield
        except OSError as error:
            if error.errno not in NOT_USABLE:
                raise
            raise inaccessible(error.filename, error.strerror) from error


def _copy(source_path: Path, target_path: Path, progress: Progress) -> dict[str, int]:
    """Copy a database to a single, durable file, and return what it holds, by table."""
    target_path.unlink(missing_ok=True)
    os.close(os.open(target_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with (
        closing(open_read_only(source_path)) as source,
        closing(sqlite3.connect(target_path, isolation_level=None)) as target,
    ):
        source.execute("BEGIN")
        counts = count_all(source, schema_version(source, source_path))
        # The file is not used before it is complete and synced below.
        target.execute("PRAGMA synchronous = OFF")
        source.backup(
            target, pages=PAGES, progress=lambda _, left, total: progress(total - left, total)
        )
        target.execute("PRAGMA journal_mode = DELETE")
    with target_path.open("rb+") as written:
        os.fsync(written.fileno())
    return counts


def check_backup(file: Path) -> dict[str, int]:
    """Check a backup, and return how many scores, predictions and runs it holds, by table.

    Raises StoreRefused if it is damaged, not a store, or newer than this program.
    """
    try:
        with closing(open_read_only(file)) as connection:
            version = schema_version(connection, file)
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            if found != ["ok"]:
                raise StoreRefused(f"{file} is damaged: {'; '.join(found)}")
            return count_all(connection, version)
    except sqlite3.Error as error:
        raise StoreRefused(f"{file} cannot be restored: {error}") from error


def restore(file: Path, path: Path, progress: Progress) -> tuple[dict[str, int], Path | None]:
    """Replace the store at `path`, which must not be in use, with the backup `file`.

    Returns what the backup holds, by table, and where the previous store is kept. Raises
    StoreRefused if `file` is not a valid backup, StoreInaccessible if this user may not use a file,
    and Conflict if the store is in use.
    """
    check_backup(file)
    fresh = Path(f"{path}.restoring")
    with _file_errors():
        make_directory(path.parent)
        try:
            with _exclusive(path):
                counts = _copy(file, fresh, progress)
                _change_store_id(fresh)
                with write_lock(path):
                    kept = _keep_aside(path, fresh)
                    fresh.replace(path)
                    sync_directory(path.parent)
        finally:
            fresh.unlink(missing_ok=True)
    return counts, kept


def _change_store_id(fresh: Path) -> None:
    """Give a restored store a new id, so that earlier cursors of `changes` expire."""
    with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
        if schema_version(connection, fresh) >= WITH_STORE_ID:
            connection.execute(NEW_STORE_ID)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Make starting services wait during the block. Raises Conflict if a service is running."""
    descriptor = open_serving(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Conflict(f"a service is using {path}: stop it first") from None
    finally:
        os.close(descriptor)


def _keep_aside(path: Path, fresh: Path) -> Path | None:
    """Keep the store at `path` under a second name, and give `fresh` its mode and owner."""
    if path.exists():
        if _is_readable(path):
            _close_log(path)
        shutil.copymode(path, fresh)
        if os.geteuid() == 0:
            shutil.chown(fresh, path.stat().st_uid, path.stat().st_gid)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    kept = Path(f"{path}.replaced-{stamp}")
    for beside in ("-wal", "-shm"):  # SQLite would take them for those of the new store.
        if Path(f"{path}{beside}").exists():
            Path(f"{path}{beside}").replace(f"{kept}{beside}")
    if not path.exists():
        return None
    os.link(path, kept)  # Not renamed, because a start would create a store where there is none.
    return kept


def _is_readable(path: Path) -> bool:
    """Return whether the file is an SQLite database; SQLite deletes the -wal file of any other."""
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
    """Move the content of the write-ahead log into the database.

    Raises Conflict if another program has the database open.
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
