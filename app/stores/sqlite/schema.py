"""The embedded store's tables: one migration a schema version, never changed once released."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from app.errors import StoreRefused
from app.stores.sqlite.moves import move_scores

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

NEW_STORE_ID = """
    INSERT OR REPLACE INTO meta (name, value) VALUES ('store_id', lower(hex(randomblob(8))))
"""
WITH_STORE_ID = 5
"""The first schema version with that id."""

_SEQUENCE_AND_CREATORS = (
    """
    CREATE TABLE scores_in_sequence (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        _id TEXT NOT NULL UNIQUE,
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
        body_hash TEXT NOT NULL,
        retry_hash TEXT,
        checksum INTEGER
    )
    """,
    move_scores,
    "DROP TABLE scores",
    "ALTER TABLE scores_in_sequence RENAME TO scores",
    "CREATE INDEX scores_by_sequence ON scores (entity, project)",  # And the row's own sequence.
    "CREATE INDEX scores_by_project ON scores (entity, project, _id)",
    "CREATE INDEX scores_by_run ON scores (entity, project, evaluation_run_id, _id)",
    "CREATE INDEX scores_by_prediction ON scores (entity, project, prediction_id, _id)",
    "CREATE INDEX scores_by_scorer ON scores (entity, project, scorer, _id)",
    """
    CREATE UNIQUE INDEX scores_by_idempotency_key ON scores (entity, project, idempotency_key)
    WHERE idempotency_key IS NOT NULL
    """,
    """
    CREATE INDEX scores_by_retry_hash ON scores (entity, project, retry_hash, _id)
    WHERE retry_hash IS NOT NULL
    """,
    "CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
    NEW_STORE_ID,
    "ALTER TABLE api_keys ADD COLUMN created_by TEXT",
)

Step = str | Callable[[sqlite3.Connection], None]

MIGRATIONS: tuple[tuple[Step, ...], ...] = (
    _FIRST,
    _RETRIES_WITHOUT_A_KEY,
    _CHECKSUMS,
    _KEYS_EXPIRE_AND_TELL_THEIR_LAST_USE,
    _SEQUENCE_AND_CREATORS,
)
"""What brings a file from schema version i to i + 1 (PRAGMA user_version)."""

FIRST_PAGES = (
    "SELECT rowid FROM scores NOT INDEXED LIMIT 1",
    "SELECT rowid FROM api_keys NOT INDEXED LIMIT 1",
)
"""What a start reads to see that the tables are there: a few pages, however large the file is."""


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring the tables from a schema version to this program's, within the caller's transaction."""
    for steps in MIGRATIONS[version:]:
        for step in steps:
            if isinstance(step, str):
                connection.execute(step)
            else:
                step(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of one of Scoreline's files; 0 for an empty database.

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
