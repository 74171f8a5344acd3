"""Write scores to the MongoDB store, and with them what is unique in a project."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, BulkWriteError
from pymongo.read_concern import ReadConcern

from app.errors import Conflict, ScorelineError, StoreUnavailable
from app.ids import id_time, new_id, next_id
from app.stores.base import Kept, Outcome
from app.stores.documents import Key, by_project, idempotency_key
from app.stores.missing import (
    Keyed,
    Plan,
    content_digest,
    id_of,
    outcomes_of,
    plan_missing,
)
from app.stores.model import UNASSIGNED, Score
from app.stores.mongo.documents import score_document, to_score
from app.stores.mongo.driver import outcome_of
from app.stores.mongo.parts import find_by_ids, never_fits, put_in_parts
from app.stores.mongo.transactions import REPEAT_SECONDS, REPEATS, in_transaction
from app.stores.mongo.unique_keys import (
    Taken,
    find_begun,
    find_taken,
    given_ids,
    idempotency_keys,
    unique_keys,
)

Scores = Collection[dict[str, Any]]


def has_unique_key(score: Score) -> bool:
    """Return whether a score has an id or an idempotency key that another one may have too."""
    return score.score_id != UNASSIGNED or score.idempotency_key is not None


def scores_with_ids(scores: Sequence[Score]) -> list[Score]:
    """Return the scores, with a new id and its time for those that have none."""
    return [_with_id(score, new_id()) for score in scores]


def scores_after(scores: Sequence[Score], others: Sequence[str | None]) -> list[Score]:
    """Return the scores, each with a new id that is higher than that of another score, if any.

    Clocks of machines differ, and two processes may make ids in one millisecond.
    """
    return [_with_id(score, next_id(other)) for score, other in zip(scores, others, strict=True)]


def _with_id(score: Score, score_id: str) -> Score:
    if score.score_id != UNASSIGNED:
        return score
    return replace(score, score_id=score_id, created_at=id_time(score_id))


def add_together(collection: Scores, scores: Sequence[Score]) -> list[Outcome | ScorelineError]:
    """Add scores without unique keys in one write, where each may fail alone.

    Returns an outcome or an error for each.
    """
    made = scores_with_ids(scores)
    documents = [score_document(score) for score in made]
    fitting = [n for n, document in enumerate(documents) if not never_fits(document)]
    outcomes: list[Outcome | ScorelineError]
    outcomes = [Outcome(Kept.TOO_LARGE, UNASSIGNED)] * len(scores)
    failures = _insert(collection, put_in_parts(collection, [documents[n] for n in fitting]))
    for n, failure in zip(fitting, failures, strict=True):
        outcomes[n] = failure or Outcome(Kept.CREATED, made[n].score_id)
    return outcomes


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
    made = scores_with_ids(scores)

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
    taken = find_taken(collection, map(idempotency_key, scores), session)
    plans = _plan(collection, scores, taken, session, partial=partial)
    new = {n: score_document(made[n]) for n in _new(plans)}
    with_given_ids = [new[n] for n in new if scores[n].score_id != UNASSIGNED]
    keys = idempotency_keys(collection, new.values()) + given_ids(collection, with_given_ids)
    if keys:
        unique_keys(collection).insert_many(keys, session=session)
    if new:
        collection.insert_many(put_in_parts(collection, new.values(), session), session=session)
    return outcomes_of(plans, {n: made[n].score_id for n in new})


def _new(plans: Sequence[Plan]) -> list[int]:
    return [n for n, plan in enumerate(plans) if plan.kept is Kept.CREATED]


def _plan(
    collection: Scores,
    scores: Sequence[Score],
    taken: Mapping[Key, Taken],
    session: ClientSession | None,
    *,
    partial: bool,
) -> list[Plan]:
    """Compare scores with what is stored; without a session, with what a majority has."""
    if session is None:
        collection = collection.with_options(read_concern=ReadConcern("majority"))
    return plan_missing(
        scores,
        {key: Keyed(*each) for key, each in taken.items()},
        _find_digests(collection, scores, session),
        [n for n, score in enumerate(scores) if never_fits(score_document(score))],
        partial=partial,
    )


def _find_digests(
    collection: Scores, scores: Sequence[Score], session: ClientSession | None
) -> dict[Key, str]:
    found: dict[Key, str] = {}
    for (entity, project), score_ids in by_project(map(id_of, scores)).items():
        for each in find_by_ids(collection, entity, project, score_ids, session):
            found[entity, project, each["score_id"]] = content_digest(to_score(each))
    return found


def add_one_by_one(collection: Scores, scores: Sequence[Score], *, partial: bool) -> list[Outcome]:
    """Add the scores that are not stored yet, on a server without transactions.

    Idempotency keys are taken first, so that a retry completes a write that broke off, under the
    same id. After a failure, some of the scores may be stored. Raises StoreUnavailable.
    """
    made = dict(enumerate(scores_with_ids(scores)))
    outcomes: dict[int, Outcome] = {}
    left = list(made)
    for _ in range(REPEATS):
        some = [scores[n] for n in left]
        taken = find_taken(collection, map(idempotency_key, some), None)
        begun = _begun(collection, some, taken)
        others = {key: each for key, each in taken.items() if key not in begun}
        plans = _plan(collection, some, others, None, partial=partial)
        new = [left[position] for position in _new(plans)]
        for n in new:
            if already := begun.get(idempotency_key(scores[n])):
                made[n] = _with_id(scores[n], already.id)
        score_ids = {position: made[n].score_id for position, n in enumerate(left)}
        outcomes.update(zip(left, outcomes_of(plans, score_ids), strict=True))
        failures = _take_and_insert(collection, [made[n] for n in new], begun)
        left = [n for n, failure in zip(new, failures, strict=True) if failure]
        if not left:
            return [outcomes[n] for n in range(len(scores))]
        time.sleep(REPEAT_SECONDS)
    raise StoreUnavailable("scores with these ids or keys are still being stored")


def _begun(
    collection: Scores, scores: Sequence[Score], taken: Mapping[Key, Taken]
) -> dict[Key | None, Taken]:
    """Return the keys that a call with the same content took for a score that is not stored."""
    first = {idempotency_key(score): score for score in reversed(scores)}
    return {
        key: each
        for key, each in find_begun(collection, taken).items()
        if first[key].body_hash == each.body_hash and first[key].score_id in (UNASSIGNED, each.id)
    }


def _take_and_insert(
    collection: Scores, scores: Sequence[Score], begun: Mapping[Key | None, Taken]
) -> list[ScorelineError | None]:
    """Take the idempotency keys of scores, then insert those; return a Conflict or None for each.

    Raises any other failure.
    """
    documents = [score_document(score) for score in scores]
    keyed = [
        n
        for n, score in enumerate(scores)
        if idempotency_key(score) and idempotency_key(score) not in begun
    ]
    keys = idempotency_keys(collection, [documents[n] for n in keyed])
    failures = dict(zip(keyed, _insert_once(unique_keys(collection), keys), strict=True))
    ready = [n for n in range(len(scores)) if not failures.get(n)]
    inserted = _insert(collection, put_in_parts(collection, [documents[n] for n in ready]))
    failures.update(zip(ready, inserted, strict=True))
    for failure in failures.values():
        if failure and not isinstance(failure, Conflict):
            raise failure
    return [failures[n] for n in range(len(scores))]


def _insert(
    collection: Scores, documents: Sequence[Mapping[str, Any]]
) -> list[ScorelineError | None]:
    """Insert documents, each of which may fail alone; return an error or None for each.

    If the connection breaks, it is unknown what was stored, so the same write is repeated once. An
    id that exists then is our own, and durable, because a server waits for the write concern even
    if nothing is left to write. Raises whatever the driver raises.
    """
    try:
        return _insert_once(collection, documents)
    except AutoReconnect:
        failures = _insert_once(collection, documents)
    return [None if isinstance(failure, Conflict) else failure for failure in failures]


def _insert_once(
    collection: Scores, documents: Sequence[Mapping[str, Any]]
) -> list[ScorelineError | None]:
    failures: list[ScorelineError | None] = [None] * len(documents)
    if not documents:
        return failures
    try:
        collection.insert_many([dict(each) for each in documents], ordered=False)
    except BulkWriteError as error:
        details = error.details or {}
        if details.get("writeConcernErrors"):
            raise  # Written, but not durable.
        for failure in details["writeErrors"]:
            failures[failure["index"]] = outcome_of(failure)
    return failures
