"""The embedded store's tables: one migration a schema version, never changed once released."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from app.errors import StoreRefused

APPLICATION_ID = 0x53434F52
"""`SCOR` in ASCII: SQLite's mark of whose file this is (PRAGMA application_id)."""

_FIRST = (
    """
    CREATE TABLE scores (
        _id TEXT NOT NULL PRIMARY KEY,
        entity TEXT NOT NULL,
        project TEXT NOT NULL,
        evaluation_run_id TEXT,
        prediction_id TEXT NOT NULL,
        scorer TEXT NOT NULL,
        value_json TEXT NOT NULL,
        leaves TEXT NOT NULL,
        wb_user_id TEXT,
        created_at TEXT NOT NULL,
        idempotency_key TEXT,
        body_hash TEXT NOT NULL
    )
    """,
    "CREATE INDEX scores_by_project ON scores (entity, project, _id)",
    "CREATE INDEX scores_by_run ON scores (entity, project, evaluation_run_id, _id)",
    "CREATE INDEX scores_by_prediction ON scores (entity, project, prediction_id, _id)",
    "CREATE INDEX scores_by_scorer ON scores (entity, project, scorer, _id)",
    """
    CREATE UNIQUE INDEX scores_by_idempotency_key ON scores (entity, project, idempotency_key)
    WHERE idempotency_key IS NOT NULL
    """,
    """
    CREATE TABLE api_keys (
        _id TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        scope TEXT NOT NULL,
        owner TEXT NOT NULL,
        key_hash TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL,
        revoked_at TEXT
    )
    """,
)

_RETRIES_WITHOUT_A_KEY = (
    "ALTER TABLE scores ADD COLUMN retry_hash TEXT",
    """
    CREATE INDEX scores_by_retry_hash ON scores (entity, project, retry_hash, _id)
    WHERE retry_hash IS NOT NULL
    """,
)

_CHECKSUMS = (
    # Of the rest of the row; rows from before have none.
    "ALTER TABLE scores ADD COLUMN checksum INTEGER",
    "ALTER TABLE api_keys ADD COLUMN checksum INTEGER",
)

_KEYS_EXPIRE_AND_TELL_THEIR_LAST_USE = (
    "ALTER TABLE api_keys ADD COLUMN expires_at TEXT",
    "ALTER TABLE api_keys ADD COLUMN last_used_at TEXT",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    _FIRST,
    _RETRIES_WITHOUT_A_KEY,
    _CHECKSUMS,
    _KEYS_EXPIRE_AND_TELL_THEIR_LAST_USE,
)
"""Statements that bring a file from schema version i to i + 1 (PRAGMA user_version)."""

FIRST_PAGES = (
    "SELECT rowid FROM scores NOT INDEXED LIMIT 1",
    "SELECT rowid FROM api_keys NOT INDEXED LIMIT 1",
)
"""What a start reads to see that the tables are there: a few pages, however large the file is."""


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version of a store of ours; 0 of a database in which nothing is.

    Raises StoreRefused on any other database, and on one that a newer program wrote.
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
