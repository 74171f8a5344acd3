"""A reference service with the same call and durability, on FastAPI, pydantic and sqlite3.

It has the same table and indexes, checks an API key, and responds when the score is on disk. It has
no leaves, idempotency keys, log lines or limits, which is an advantage.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import (
    HTTPAuthorizationCredentials,
    HTTPBasic,
    HTTPBasicCredentials,
    HTTPBearer,
)
from pydantic import BaseModel
from uuid_utils import uuid7

from app.scorers import scorer_name
from app.stores.sqlite.schema import migrate

INSERT = """
    INSERT INTO scores (
        _id, entity, project, evaluation_run_id, prediction_id, scorer, scorer_name, value_json,
        leaves, wb_user_id, created_at, idempotency_key, body_hash, checksum
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '[]', 'admin', ?, NULL, '', 0)
"""
BUSY_SECONDS = 30.0

Basic = Annotated[HTTPBasicCredentials | None, Depends(HTTPBasic(auto_error=False))]
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


class ScoreCreateBody(BaseModel):
    """The body that creates a score."""

    prediction_id: str
    scorer: str
    value: Any
    evaluation_run_id: str | None = None


class ScoreCreateRes(BaseModel):
    """The response to creating a score."""

    score_id: str


def create_app() -> FastAPI:
    """Create the ASGI application, which stores in REFERENCE_DATABASE and accepts REFERENCE_KEY."""
    store = Store(os.environ["REFERENCE_DATABASE"])
    key = os.environ["REFERENCE_KEY"].encode()
    app = FastAPI()

    async def authenticate(basic: Basic, bearer: Bearer) -> None:
        sent = basic.password if basic else bearer.credentials if bearer else ""
        if not hmac.compare_digest(sent.encode(), key):
            raise HTTPException(401, "Not authenticated")

    @app.post("/v2/{entity}/{project}/scores", dependencies=[Depends(authenticate)])
    def score_create(entity: str, project: str, body: ScoreCreateBody) -> ScoreCreateRes:
        return ScoreCreateRes(score_id=store.add(entity, project, body))

    return app


class Store:
    """Scores in the SQLite file at `path`, with a connection for each thread.

    Writers take turns with a lock file, because SQLite's own busy handler alone was slower.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._local = threading.local()
        with self._transaction() as connection:
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                migrate(connection, 0)

    def add(self, entity: str, project: str, body: ScoreCreateBody) -> str:
        """Store one score, and return its id when it is durable."""
        score_id = str(uuid7())
        value = json.dumps(body.value, ensure_ascii=False, separators=(",", ":"))
        ids = (entity, project, body.evaluation_run_id, body.prediction_id, body.scorer)
        name = scorer_name(body.scorer)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._transaction() as connection:
            connection.execute(INSERT, (score_id, *ids, name, value, now))
        return score_id

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with Path(f"{self._path}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self._connection() as connection:  # Commits, or rolls back after an error.
                connection.execute("BEGIN")
                yield connection

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._local.connection = connection
        return connection
