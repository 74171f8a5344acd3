"""Check the embedded store, its tables and its file system, without changing anything."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from app.errors import ScorelineError, StoreInaccessible, StoreRefused
from app.stores.checks import (
    FAIL,
    OK,
    WARN,
    CheckResult,
    check_clock,
    check_deletions,
    check_space,
)
from app.stores.sqlite.connections import our_errors
from app.stores.sqlite.deletions import COUNT_PENDING
from app.stores.sqlite.files import OTHERS, DatabaseFiles, inaccessible, write_lock
from app.stores.sqlite.migrations import MIGRATIONS
from app.stores.sqlite.schema import count_all, count_others, migrate, schema_version

REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.sshfs", "afs"}
"""Network file systems, on which SQLite's locks and shared memory do not work."""

TEMPORARY = {"tmpfs": "a restart of the machine", "overlay": "the container"}
"""Temporary file systems, and with what they end."""


def check(path: Path) -> Iterator[CheckResult]:
    """Check the embedded store at `path`; yield each result."""
    try:
        with our_errors(), closing(open_read_only(path)) as connection:
            version = schema_version(connection, path)
            counts = ", ".join(
                f"{table.replace('_', ' ')}: {count}"
                for count_tables in (count_all, count_others)
                for table, count in count_tables(connection, version).items()
            )
            yield CheckResult("store", OK, f"{path} is a store of Scoreline; {counts}")
            yield _schema(version)
            yield _integrity(connection)
            if version == len(MIGRATIONS):
                yield _indexes(connection)
                yield check_deletions(connection.execute(COUNT_PENDING).fetchone()[0])
            newest = connection.execute("SELECT max(_id) FROM scores").fetchone()[0]
        yield _writing(path)
        yield _privacy(path)
        yield check_clock(newest)
    except ScorelineError as error:
        yield CheckResult("store", FAIL, str(error), _advice(path, error))
    yield from _disk(path)


def _disk(path: Path) -> Iterator[CheckResult]:
    try:
        usage = shutil.disk_usage(path.parent)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # The check of the store reports this.
    yield check_space(usage.free, usage.total, f"at {path.parent}")
    yield _file_system(path)


def _advice(path: Path, error: ScorelineError) -> str:
    if isinstance(error, StoreInaccessible):
        return "run this as the user of the service, or let this user read and write the directory"
    if path.exists():
        return "repair it, or restore a backup: scoreline store restore"
    return "start the service once to create it, or set SCORELINE_STORE to where it is"


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open an existing database.

    Raises StoreRefused if it does not exist or is empty, and StoreInaccessible if this user may not
    read it.
    """
    try:
        if not _has_content(path):
            raise StoreRefused(f"there is no store at {path}")
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    except (PermissionError, sqlite3.OperationalError) as error:
        raise inaccessible(path, getattr(error, "strerror", str(error))) from error
    try:
        connection.execute("SELECT * FROM sqlite_master")  # Opens the files next to it too.
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        why = "SQLite may not open or create the files next to it"
        raise inaccessible(path, why) from error
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _has_content(path: Path) -> bool:
    """Return whether there is a file that is not empty. Raises PermissionError."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0


def _schema(version: int) -> CheckResult:
    says = f"version {version} of {len(MIGRATIONS)}"
    if version < len(MIGRATIONS):
        return CheckResult("schema", WARN, says, "the next start migrates it; make a backup first")
    return CheckResult("schema", OK, says)


def _integrity(connection: sqlite3.Connection) -> CheckResult:
    began = time.monotonic()
    found = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    took = f"quick_check took {time.monotonic() - began:.1f} seconds"
    if found != ["ok"]:
        says = f"damaged: {'; '.join(found)} ({took})"
        return CheckResult("integrity", FAIL, says, "stop, and restore a backup: scoreline store")
    return CheckResult("integrity", OK, f"no damage found; {took}")


def _indexes(connection: sqlite3.Connection) -> CheckResult:
    """Check that tables and indexes are what the migrations make."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        migrate(fresh, 0)
        wanted, found = _definitions(fresh), _definitions(connection)
    wrong = sorted(name for name, sql in wanted.items() if found.get(name) != sql)
    if wrong:
        says = f"missing or not as declared: {', '.join(wrong)}"
        advice = "create them as app/stores/sqlite/migrations.py declares them, or restore a backup"
        return CheckResult("indexes", FAIL, says, advice)
    return CheckResult("indexes", OK, f"all {len(wanted)} tables and indexes are as declared")


def _definitions(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {name: " ".join(sql.split()) for name, sql in rows}


def _writing(path: Path) -> CheckResult:
    """Check that a transaction can begin; write nothing."""
    try:
        with our_errors(), write_lock(path):
            DatabaseFiles(path).check_writable()
            uri = f"{path.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
    except ScorelineError as error:
        advice = "let the service's user write to the file, its directory and the files next to it"
        return CheckResult("writing", FAIL, f"not possible: {error}", advice)
    return CheckResult("writing", OK, "a transaction can begin")


def _privacy(path: Path) -> CheckResult:
    """Check that other users of the machine cannot access the files."""
    files = [Path(f"{path}{beside}") for beside in ("", "-wal", "-shm", ".lock", ".serving")]
    opened = [str(file) for file in files if file.exists() and file.stat().st_mode & OTHERS]
    if opened:
        advice = f"chmod 600 {' '.join(opened)}"
        return CheckResult("privacy", FAIL, f"other users may access {', '.join(opened)}", advice)
    return CheckResult("privacy", OK, "other users cannot access the files")


def _file_system(path: Path) -> CheckResult:
    kind = file_system(path, Path("/proc/self/mountinfo"))
    if kind is None:
        says = "unknown on this system; the store must be on a local disk"
        return CheckResult("file system", OK, says)
    if kind in REMOTE:
        advice = "move the store to a local disk: SQLite's locks do not work across machines"
        return CheckResult("file system", FAIL, f"{kind} is on another machine", advice)
    if kind in TEMPORARY:
        advice = "keep the store on a persistent volume or disk"
        return CheckResult("file system", WARN, f"{kind}: it ends with {TEMPORARY[kind]}", advice)
    return CheckResult("file system", OK, f"{kind}, local")


def file_system(path: Path, mounts: Path) -> str | None:
    """Return the type of the file system of `path` from mountinfo (proc(5)), if it exists."""
    if not mounts.exists():
        return None
    resolved = path.resolve()
    found: tuple[int, str] = (-1, "")
    for line in mounts.read_text().splitlines():
        before, _, after = line.partition(" - ")
        mounted = Path(before.split()[4].encode().decode("unicode_escape"))
        if resolved.is_relative_to(mounted):
            found = max(found, (len(mounted.parts), after.split()[0]), key=lambda each: each[0])
    return found[1] or None
