"""Write to the MongoDB store: single scores together, batches in a transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, TypeVar

import pymongo
from pymongo import MongoClient, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from app.errors import Conflict, ScorelineError, StoreUnavailable
from app.ids import id_time, new_id
from app.stores.base import UNASSIGNED, Kept, Outcome, Score
from app.stores.documents import Key, by_project
from app.stores.missing import (
    Keyed,
    Plan,
    content_digest,
    id_of,
    key_of,
    outcomes_of,
    plan_missing,
)
from app.stores.mongo.documents import IS_TEXT, score_document, to_score
from app.stores.mongo.driver import is_too_large, outcome_of

Scores = Collection[dict[str, Any]]
Result = TypeVar("Result")

TRANSACTION_SECONDS = 20.0
"""How long a batch may take with all its retries; MongoDB aborts a transaction after 60 seconds."""

REPEATS = 50
REPEAT_SECONDS = 0.02
"""How often to look for a score that another request is just storing, and the pause in between."""

STILL_STORED = "a score with this id or idempotency key is still being stored"

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


def with_ids(scores: Sequence[Score]) -> list[Score]:
    """Return the scores, with a new id and its time for those that have none."""
    return [_with_id(score) if score.score_id == UNASSIGNED else score for score in scores]


def _with_id(score: Score) -> Score:
    score_id = new_id()
    return replace(score, score_id=score_id, created_at=id_time(score_id))


def add_together(collection: Scores, scores: Sequence[Score]) -> list[Outcome | ScorelineError]:
    """Add scores in one write, where each may fail alone; return an outcome or error for each."""
    documents = [score_document(score) for score in with_ids(scores)]
    fitting = [n for n, document in enumerate(documents) if not is_too_large(document)]
    outcomes: list[Outcome | ScorelineError]
    outcomes = [Outcome(Kept.TOO_LARGE, UNASSIGNED)] * len(scores)
    failures = _insert(collection, [documents[n] for n in fitting])
    for n, failure in zip(fitting, failures, strict=True):
        outcomes[n] = failure or Outcome(Kept.CREATED, documents[n]["_id"])
    there = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Conflict)]
    found = _stored_before(collection, [scores[n] for n in there])
    for n, outcome in zip(there, found, strict=True):
        outcomes[n] = outcome
    return outcomes


def _stored_before(collection: Scores, scores: Sequence[Score]) -> list[Outcome | ScorelineError]:
    """Compare scores with those that have their ids or keys; wait until these are durable."""
    outcomes: list[Outcome | ScorelineError] = [StoreUnavailable(STILL_STORED)] * len(scores)
    left = list(range(len(scores)))
    for repeat in range(REPEATS):
        if not left:
            break
        if repeat:
            time.sleep(REPEAT_SECONDS)
        plans = _plan(collection, [scores[n] for n in left], None, partial=True)
        for n, plan in zip(left, plans, strict=True):
            if _is_decided(plan):
                outcomes[n] = Outcome(plan.kept, plan.score_id)
        left = [n for n, plan in zip(left, plans, strict=True) if not _is_decided(plan)]
    return outcomes


def _is_decided(plan: Plan) -> bool:
    """Return whether a plan depends only on stored scores, and not on another score of its call."""
    return plan.kept is not Kept.CREATED and plan.first is None


def _plan(
    collection: Scores, scores: Sequence[Score], session: ClientSession | None, *, partial: bool
) -> list[Plan]:
    """Compare scores with what is stored; without a session, with what a majority has."""
    if session is None:
        collection = collection.with_options(read_concern=ReadConcern("majority"))
    return plan_missing(
        scores,
        _find_keyed(collection, scores, session),
        _find_digests(collection, scores, session),
        [n for n, score in enumerate(scores) if is_too_large(score_document(score))],
        partial=partial,
    )


def _find_keyed(
    collection: Scores, scores: Sequence[Score], session: ClientSession | None
) -> dict[Key, Keyed]:
    found: dict[Key, Keyed] = {}
    for (entity, project), keys in by_project(map(key_of, scores)).items():
        wanted = {
            "entity": entity,
            "project": project,
            "idempotency_key": {"$in": keys, **IS_TEXT},
        }
        fields = {"idempotency_key": 1, "body_hash": 1}
        found_documents = collection.find(wanted, fields, session=session)
        for each in found_documents.hint("scores_by_idempotency_key"):
            key = (entity, project, each["idempotency_key"])
            found[key] = Keyed(each["_id"], each["body_hash"])
    return found


def _find_digests(
    collection: Scores, scores: Sequence[Score], session: ClientSession | None
) -> dict[Key, str]:
    found: dict[Key, str] = {}
    for (entity, project), score_ids in by_project(map(id_of, scores)).items():
        wanted = {"entity": entity, "project": project, "_id": {"$in": score_ids}}
        for each in collection.find(wanted, session=session):
            found[entity, project, each["_id"]] = content_digest(to_score(each))
    return found


def add_in_transaction(
    client: MongoClient[dict[str, Any]],
    collection: Scores,
    scores: Sequence[Score],
    *,
    partial: bool,
) -> list[Outcome]:
    """Add the scores that are not stored yet, all or none.

    A transaction that conflicts with another write is retried. Raises StoreUnavailable if that
    takes too long, and whatever the driver raises.
    """
    made = with_ids(scores)

    def add(session: ClientSession) -> list[Outcome]:
        return add_new_scores(collection, scores, made, session, partial=partial)

    return in_transaction(client, add)


def add_new_scores(
    collection: Scores,
    scores: Sequence[Score],
    made: Sequence[Score],
    session: ClientSession,
    *,
    partial: bool,
) -> list[Outcome]:
    """Add the scores that are not stored yet in the caller's transaction; `made` have ids."""
    plans = _plan(collection, scores, session, partial=partial)
    documents, outcomes = _carry_out(plans, made)
    if documents:
        collection.insert_many(documents, session=session)
    return outcomes


def in_transaction(
    client: MongoClient[dict[str, Any]], add: Callable[[ClientSession], Result]
) -> Result:
    """Return what `add` returns, once its transaction is durable; retry it after a conflict.

    Raises StoreUnavailable if that takes too long, and whatever the driver raises.
    """
    deadline = time.monotonic() + TRANSACTION_SECONDS
    while time.monotonic() < deadline:
        try:
            return _transact(client, add, deadline)
        except PyMongoError as error:
            if not (error.has_error_label(TRANSIENT) or is_duplicate(error)):
                raise
            time.sleep(REPEAT_SECONDS)
    raise StoreUnavailable(f"a batch was not stored within {TRANSACTION_SECONDS:g} seconds")


def _transact(
    client: MongoClient[dict[str, Any]],
    add: Callable[[ClientSession], Result],
    deadline: float,
) -> Result:
    """Return what `add` returns, once its transaction is committed; abort it on failure.

    The driver's own `with_transaction` would use the same timeout for the abort. After a timeout it
    could not abort at all, and the server would keep the scores locked for a minute.
    """
    with client.start_session() as session, session.start_transaction(SNAPSHOT, MAJORITY):
        with _until(deadline):
            result = add(session)
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


def add_one_by_one(collection: Scores, scores: Sequence[Score], *, partial: bool) -> list[Outcome]:
    """Add the scores that are not stored yet, on a server without transactions.

    After a failure, some of the scores may be stored. Their ids are made before, so that the write
    itself can be retried. Raises StoreUnavailable.
    """
    made = with_ids(scores)
    added: set[str] = set()
    for _ in range(REPEATS):
        # Scores that this call has already added keep the outcome CREATED.
        left = [n for n, score in enumerate(made) if score.score_id not in added]
        plans = _plan(collection, [scores[n] for n in left], None, partial=partial)
        documents, outcomes = _carry_out(plans, [made[n] for n in left])
        failures = _insert(collection, documents)
        pairs = zip(documents, failures, strict=True)
        added.update(document["_id"] for document, failure in pairs if failure is None)
        failed = [each for each in failures if each]
        if not failed:
            outcome_by_position = dict(zip(left, outcomes, strict=True))
            return [
                outcome_by_position.get(n) or Outcome(Kept.CREATED, score.score_id)
                for n, score in enumerate(made)
            ]
        if not all(isinstance(each, Conflict) for each in failed):
            raise next(each for each in failed if not isinstance(each, Conflict))
        time.sleep(REPEAT_SECONDS)
    raise StoreUnavailable("scores with these ids or keys are still being stored")


def _carry_out(
    plans: Sequence[Plan], made: Sequence[Score]
) -> tuple[list[dict[str, Any]], list[Outcome]]:
    """Return the documents to insert, and the outcome of each score once they are inserted."""
    new = {n: made[n].score_id for n, plan in enumerate(plans) if plan.kept is Kept.CREATED}
    return [score_document(made[n]) for n in new], outcomes_of(plans, new)


def _insert(
    collection: Scores, documents: Sequence[Mapping[str, Any]]
) -> list[ScorelineError | None]:
    """Insert documents, each of which may fail alone; return an error or None for each.

    If the connection breaks, it is unknown what was stored, so the same write is repeated once. An
    id that exists then is our own, and durable, because a server waits for the write concern even
    if nothing is left to write. Raises whatever the driver raises.
    """
    if not documents:
        return []
    try:
        return _insert_once(collection, documents)
    except AutoReconnect:
        failures = _insert_once(collection, documents)
    ids = [each["_id"] for each, failure in zip(documents, failures, strict=True) if failure]
    there = {found["_id"] for found in collection.find({"_id": {"$in": ids}}, {"_id": 1})}
    return [
        None if each["_id"] in there else failure
        for each, failure in zip(documents, failures, strict=True)
    ]


def _insert_once(
    collection: Scores, documents: Sequence[Mapping[str, Any]]
) -> list[ScorelineError | None]:
    failures: list[ScorelineError | None] = [None] * len(documents)
    try:
        collection.insert_many([dict(each) for each in documents], ordered=False)
    except BulkWriteError as error:
        details = error.details or {}
        if details.get("writeConcernErrors"):
            raise  # Written, but not durable.
        for failure in details["writeErrors"]:
            failures[failure["index"]] = outcome_of(failure)
    return failures
