"""Scores: keep, find, list and delete them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app import jsontext
from app.errors import KeyReused, NotFound, TooLarge
from app.ids import last_id_before
from app.leaves import leaves
from app.schemas.scores import SCORE_ID
from app.services.audit import audited
from app.stores.base import UNASSIGNED, ApiKey, Kept, Outcome, Score, Store

RETRY_WINDOW = timedelta(minutes=10)
"""How long a repeated call without a key is taken for the call before."""

AUDITED_IDS = 50
"""How many ids of deleted scores a line of the audit log holds: a line stays short."""

TOO_LARGE = "The score is too large for the store"


@dataclass(frozen=True)
class Retry:
    """What a call says of being a retry: a key, or that it is repeated, and by whom."""

    idempotency_key: str | None = None
    is_repeated: bool = False
    api_key_id: str | None = None


NO_RETRY = Retry()


@dataclass(frozen=True)
class Created:
    """What became of the scores of a call, in the order sent."""

    outcomes: list[Outcome]

    @property
    def score_ids(self) -> list[str]:
        """The ids of the scores that are stored."""
        return [each.score_id for each in self.outcomes if each.kept in STORED]

    @property
    def num_new(self) -> int:
        """How many scores this call stored."""
        return sum(each.kept is Kept.CREATED for each in self.outcomes)

    @property
    def num_replayed(self) -> int:
        """How many scores an earlier call with the same keys stored."""
        return sum(each.kept is Kept.PRESENT for each in self.outcomes)

    @property
    def replayed(self) -> bool:
        """Whether this is the answer of an earlier call again: nothing is new."""
        return all(each.kept is Kept.PRESENT for each in self.outcomes) and bool(self.outcomes)


STORED = (Kept.CREATED, Kept.PRESENT)


def create_score(
    store: Store,
    entity: str,
    project: str,
    owner: str | None,
    body: dict[str, Any],
    retry: Retry = NO_RETRY,
) -> Created:
    """Store one score, whose id is a UUIDv7 in lower case.

    `body` is a loaded ScoreCreateBody. The same key with the same body is the same score. Raises
    KeyReused, TooLarge and StoreUnavailable.
    """
    score = new_score(entity, project, owner, body, retry.idempotency_key, retry.api_key_id)
    if retry.is_repeated and (first := _find_retried(store, score)):
        return Created([Outcome(Kept.PRESENT, first)])
    outcome = store.add_score(score)
    if outcome.kept is Kept.KEY_TAKEN:
        raise KeyReused
    if outcome.kept is Kept.TOO_LARGE:
        raise TooLarge(TOO_LARGE)
    return Created([outcome])


def _find_retried(store: Store, score: Score) -> str | None:
    """The score that the same API key stored with the same content just before, if it did."""
    if score.retry_hash is None:
        return None  # Its idempotency key says more.
    after = last_id_before(score.created_at - RETRY_WINDOW)
    return store.find_retried(score.entity, score.project, score.retry_hash, after)


def create_scores(
    store: Store,
    entity: str,
    project: str,
    owner: str | None,
    bodies: Sequence[dict[str, Any]],
    idempotency_key: str | None = None,
    *,
    partial: bool = False,
) -> Created:
    """Store many scores, in the order given, all of them or none.

    `bodies` are loaded ScoreBatchLine, each with a key of its own or none; `idempotency_key`
    covers those without, all together. Where a score's own key was sent before with other content,
    nothing is stored. With `partial`, all but the refused scores are stored. Raises KeyReused,
    TooLarge and StoreUnavailable.
    """
    scores = [new_score(entity, project, owner, body, body["idempotency_key"]) for body in bodies]
    if idempotency_key:
        scores = _cover(scores, idempotency_key)
    outcomes = store.add_missing(scores, partial=partial)
    for score, outcome in zip(scores, outcomes, strict=True):
        if outcome.kept is Kept.KEY_TAKEN and not _is_own(score):
            raise KeyReused
        if outcome.kept is Kept.TOO_LARGE and not partial:
            raise TooLarge(TOO_LARGE)
    return Created(outcomes)


def _is_own(score: Score) -> bool:
    """Whether a score of a batch came with a key of its own."""
    return score.idempotency_key is not None and " " not in score.idempotency_key


def _cover(scores: list[Score], idempotency_key: str) -> list[Score]:
    """Give each score its part of a batch's key, which stands for the whole batch's content.

    A blank parts the two, which no key that is sent can hold.
    """
    content = hash_of("".join(score.body_hash for score in scores))
    return [
        score
        if score.idempotency_key
        else replace(
            score,
            idempotency_key=f"{idempotency_key} {position}",
            body_hash=hash_of(f"{content} {position}"),
        )
        for position, score in enumerate(scores)
    ]


def read_score(store: Store, entity: str, project: str, score_id: str) -> Score:
    """One score of one project. Raises NotFound, also when it is in another."""
    score = store.find_score(entity, project, score_id)
    if score is None:
        raise NotFound(f"Score {score_id} not found")
    return score


def delete_scores(
    store: Store, entity: str, project: str, score_ids: Sequence[str], by: ApiKey
) -> int:
    """Delete scores of one project for an API key; how many of them were there."""
    wanted = sorted(set(score_ids))
    ids = [each for each in wanted if re.fullmatch(SCORE_ID, each)]
    parts = [ids[start : start + AUDITED_IDS] for start in range(0, len(ids), AUDITED_IDS)]
    whats = [{"entity": entity, "project": project, "score_ids": part} for part in parts]
    with audited("scores.delete", by, *whats) as told:
        deleted = store.delete_scores(entity, project, wanted) if wanted else 0
        told["num_deleted"] = deleted
    return deleted


def new_score(
    entity: str,
    project: str,
    owner: str | None,
    body: dict[str, Any],
    idempotency_key: str | None = None,
    api_key_id: str | None = None,
) -> Score:
    """Return a score whose id and time the store will make."""
    now = datetime.now(UTC)
    return score_of(body, entity, project, owner, UNASSIGNED, now, idempotency_key, api_key_id)


def score_of(
    body: dict[str, Any],
    entity: str,
    project: str,
    owner: str | None,
    score_id: str,
    created_at: datetime,
    idempotency_key: str | None = None,
    api_key_id: str | None = None,
) -> Score:
    """The score that a loaded ScoreCreateBody is, under an id and of a time."""
    value_json = jsontext.write(body["value"])
    ids = jsontext.write([body["prediction_id"], body["scorer"], body["evaluation_run_id"]])
    body_hash = hash_of(ids + value_json)
    recognised_by_content = api_key_id is not None and idempotency_key is None
    return Score(
        score_id=score_id,
        entity=entity,
        project=project,
        evaluation_run_id=body["evaluation_run_id"],
        prediction_id=body["prediction_id"],
        scorer=body["scorer"],
        value_json=value_json,
        leaves=leaves(body["value"]),
        wb_user_id=owner,
        created_at=created_at,
        idempotency_key=idempotency_key,
        body_hash=body_hash,
        retry_hash=hash_of(f"{api_key_id} {body_hash}") if recognised_by_content else None,
    )


def hash_of(text: str) -> str:
    """The SHA-256 of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
