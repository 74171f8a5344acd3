"""Migrate the embedded store, and tell its schema version."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from app.errors import StoreRefused
from app.stores.sqlite.migrations import (
    MIGRATIONS,
    WITH_ALIASES,
    WITH_APPROVALS,
    WITH_DOCUMENTS,
    WITH_METRICS,
    WITH_SENT,
)

APPLICATION_ID = 0x53434F52
"""`SCOR` in ASCII, which marks Scoreline's files (PRAGMA application_id)."""

SENT = ("calls", "feedback", "object_versions", "contents", "score_sources")
OTHERS = {
    **dict.fromkeys(SENT, WITH_SENT),
    "metrics": WITH_METRICS,
    **dict.fromkeys(("aliases", "costs"), WITH_ALIASES),
    "approvals": WITH_APPROVALS,
}
"""The tables of what Weave's SDK sends, of metrics and approvals, with their first versions."""

FIRST_PAGES = tuple(
    f"SELECT rowid FROM {table} NOT INDEXED LIMIT 1"
    for table in ("scores", "predictions", "evaluation_runs", *OTHERS, "api_keys")
)
"""Queries that show at the start that the tables can be read; they read only a few pages."""


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Migrate the tables from a schema version to the newest, in the caller's transaction."""
    for steps in MIGRATIONS[version:]:
        for step in steps:
            if isinstance(step, str):
                connection.execute(step)
            else:
                step(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def count_all(connection: sqlite3.Connection, version: int) -> dict[str, int]:
    """Return how many scores, predictions and runs a file of a schema version holds, by table."""
    tables = ["scores"]
    if version >= WITH_DOCUMENTS:
        tables += ["predictions", "evaluation_runs"]
    return _count(connection, tables)


def count_others(connection: sqlite3.Connection, version: int) -> dict[str, int]:
    """Return how many rows each table of OTHERS has in a file of a schema version."""
    return _count(connection, [name for name, first in OTHERS.items() if version >= first])


def _count(connection: sqlite3.Connection, tables: Iterable[str]) -> dict[str, int]:
    return {
        table: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
        for table in tables
    }


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of one of Scoreline's files, or 0 for an empty database.

    Raises StoreRefused for any other database, and for one that a newer version wrote.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION_ID and (tables or application or version):
        raise StoreRefused(f"{path} is an SQLite database, but not one of Scoreline's")
    if version > len(MIGRATIONS):
        raise StoreRefused(
            f"{path} was written by a newer Scoreline: its schema is {version}, "
            f"this program knows {len(MIGRATIONS)}"
        )
    return version
