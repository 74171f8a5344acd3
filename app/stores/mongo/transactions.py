"""Run transactions on MongoDB: on replica sets and sharded clusters, not on a standalone server."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import pymongo
from pymongo import MongoClient, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from app.errors import StoreUnavailable

Result = TypeVar("Result")

TRANSACTION_SECONDS = 20.0
"""How long a transaction may take with all its retries; MongoDB aborts one after 60 seconds."""

REPEATS = 50
REPEAT_SECONDS = 0.02
"""How often to look for a score that another request is just storing, and the pause in between."""

LEAST_SECONDS = 0.001
"""The shortest timeout, because for pymongo 0 means no timeout."""

SNAPSHOT = ReadConcern("snapshot")
MAJORITY = WriteConcern(w="majority", j=True)

TRANSIENT = "TransientTransactionError"
UNKNOWN_COMMIT = "UnknownTransactionCommitResult"

UNKNOWN = frozenset({"Unknown", "PossiblePrimary"})
"""The types of a server that has not answered the driver yet."""

DUPLICATE_KEY = 11000


def has_transactions(client: Any) -> bool:
    """Return whether the server supports transactions: only a standalone server does not.

    A replica set supports them even while it has no primary.
    """
    if not isinstance(client, MongoClient):
        return False  # mongomock, in tests.
    if not _server_types(client):
        client.admin.command("ping")  # The driver learns what the server is when it connects.
    return "Standalone" not in _server_types(client)


def _server_types(client: MongoClient[dict[str, Any]]) -> set[str]:
    servers = client.topology_description.server_descriptions().values()
    return {server.server_type_name for server in servers} - UNKNOWN


def in_transaction(
    client: MongoClient[dict[str, Any]], run: Callable[[ClientSession], Result]
) -> Result:
    """Return what `run` returns, once its transaction is durable; retry it after a conflict.

    Raises StoreUnavailable if that takes too long, and whatever the driver raises.
    """
    deadline = time.monotonic() + TRANSACTION_SECONDS
    while time.monotonic() < deadline:
        try:
            return _transact(client, run, deadline)
        except PyMongoError as error:
            if not (error.has_error_label(TRANSIENT) or is_duplicate(error)):
                raise
            time.sleep(REPEAT_SECONDS)
    raise StoreUnavailable(f"a transaction did not succeed within {TRANSACTION_SECONDS:g} seconds")


def in_transaction_if_possible(
    client: MongoClient[dict[str, Any]], run: Callable[[ClientSession | None], Result]
) -> Result:
    """Return what `run` returns, which has no session on a standalone server."""
    return in_transaction(client, run) if has_transactions(client) else run(None)


def _transact(
    client: MongoClient[dict[str, Any]],
    run: Callable[[ClientSession], Result],
    deadline: float,
) -> Result:
    """Return what `run` returns, once its transaction is committed; abort it on failure.

    The driver's own `with_transaction` would use the same timeout for the abort. After a timeout it
    could not abort at all, and the server would keep the scores locked for a minute.
    """
    with client.start_session() as session, session.start_transaction(SNAPSHOT, MAJORITY):
        with _until(deadline):
            result = run(session)
        _commit(session, deadline)
        return result


def _until(deadline: float) -> AbstractContextManager[Any]:
    return pymongo.timeout(max(deadline - time.monotonic(), LEAST_SECONDS))


def _commit(session: ClientSession, deadline: float) -> None:
    """Commit, and retry if the response was lost: the server knows what it has committed."""
    while True:
        try:
            with _until(deadline):
                return session.commit_transaction()
        except PyMongoError as error:
            if not error.has_error_label(UNKNOWN_COMMIT) or time.monotonic() >= deadline:
                raise


def is_duplicate(error: PyMongoError) -> bool:
    """Return whether another request has just stored one of the ids or idempotency keys."""
    if not isinstance(error, BulkWriteError | DuplicateKeyError):
        return False
    failures = (error.details or {}).get("writeErrors") or [{"code": error.code}]
    return any(failure["code"] == DUPLICATE_KEY for failure in failures)
