"""Scores: keep, find, list and delete them."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from app import jsontext
from app.errors import Conflict, KeyReused, NotFound, StoreUnavailable
from app.ids import id_time, last_id_before, new_id
from app.leaves import leaves
from app.schemas.scores import SCORE_ID
from app.services.audit import audited
from app.stores.base import ApiKey, KeyedScore, Score, Store

RETRY_WINDOW = timedelta(minutes=10)
"""How long a repeated call without a key is taken for the call before."""

AUDITED_IDS = 50
"""How many ids of deleted scores a line of the audit log holds: a line stays short."""

REPEATS = 50
REPEAT_SECONDS = 0.02
"""How often, and after which pause, a key is looked at that another request holds just now."""


@dataclass(frozen=True)
class Retry:
    """What a call says of being a retry: a key, or that it is repeated, and by whom."""

    idempotency_key: str | None = None
    is_repeated: bool = False
    api_key_id: str | None = None


NO_RETRY = Retry()


@dataclass(frozen=True)
class Created:
    """The ids of scores that are stored, in the order sent, and how many of them are new.

    The id is None where a score's own key was sent before with other content.
    """

    score_ids: list[str | None]
    num_new: int

    @property
    def num_replayed(self) -> int:
        """How many were stored before, by an earlier call with the same keys."""
        return len(self.score_ids) - self.score_ids.count(None) - self.num_new

    @property
    def replayed(self) -> bool:
        """Whether this is the answer of an earlier call again: nothing is new."""
        return bool(self.score_ids) and self.num_new == 0


def create_score(
    store: Store,
    entity: str,
    project: str,
    owner: str | None,
    body: dict[str, Any],
    retry: Retry = NO_RETRY,
) -> Created:
    """Keep one score, whose id is a UUIDv7 in lower case.

    `body` is a loaded ScoreCreateBody. The same key with the same body is the same score. Raises
    KeyReused, TooLarge and StoreUnavailable.
    """
    idempotency_key = retry.idempotency_key
    score = new_score(entity, project, owner, body, idempotency_key, retry.api_key_id)
    if retry.is_repeated and (first := _find_retried(store, score)):
        return Created([first], num_new=0)
    try:
        store.add_score(score)
    except Conflict:
        if idempotency_key is None:
            raise
        return _replay(store, score, idempotency_key)
    return Created([score.score_id], num_new=1)


def _find_retried(store: Store, score: Score) -> str | None:
    """The score that the same API key stored with the same content just before, if it did."""
    if score.retry_hash is None:
        return None  # Its idempotency key says more.
    after = last_id_before(score.created_at - RETRY_WINDOW)
    return store.find_retried(score.entity, score.project, score.retry_hash, after)


def _replay(store: Store, score: Score, idempotency_key: str) -> Created:
    """The answer to a key that is taken: the score that took it, when it is the same."""
    for _ in range(REPEATS):
        keyed = store.find_keyed(score.entity, score.project, [idempotency_key])
        if first := keyed.get(idempotency_key):
            if first.body_hash != score.body_hash:
                raise KeyReused
            return Created([first.score_id], num_new=0)
        time.sleep(REPEAT_SECONDS)  # It is being made durable by another request.
    raise StoreUnavailable("a score with this idempotency key is still being stored")


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
    """Keep many scores, in the order given.

    `bodies` are loaded ScoreCreateBatchItem, each with a key of its own or none; `idempotency_key`
    covers those without, all together. Where a score's own key was sent before with other content,
    nothing is kept, or with `partial` all but that score. Raises KeyReused, TooLarge and
    StoreUnavailable; the store says whether some are kept then. With keys, the same call again
    finishes what is missing.
    """
    scores = [new_score(entity, project, owner, body, body["idempotency_key"]) for body in bodies]
    if idempotency_key:
        scores = _cover(scores, idempotency_key)
    for _ in range(REPEATS):
        try:
            return _add_missing(store, scores, partial=partial)
        except Conflict:
            if all(score.idempotency_key is None for score in scores):
                raise
            time.sleep(REPEAT_SECONDS)  # Another request stores scores with these keys just now.
    raise StoreUnavailable("scores with these idempotency keys are still being stored")


def _add_missing(store: Store, scores: list[Score], *, partial: bool) -> Created:
    """Keep what no earlier call with the same keys has kept."""
    keys = [score.idempotency_key for score in scores if score.idempotency_key]
    first = store.find_keyed(scores[0].entity, scores[0].project, keys) if keys else {}
    missing: list[Score] = []
    score_ids: list[str | None] = []
    for score in scores:
        holder = KeyedScore(score.score_id, score.body_hash)
        if score.idempotency_key:
            holder = first.setdefault(score.idempotency_key, holder)
        if holder.score_id == score.score_id:
            missing.append(score)
        same = holder.body_hash == score.body_hash
        if not same and not _is_own(score):
            raise KeyReused
        score_ids.append(holder.score_id if same else None)
    if missing and (partial or None not in score_ids):
        store.add_scores(missing)
    return Created(score_ids, num_new=len(missing))


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
    """A new score, whose id is a UUIDv7 of this moment."""
    score_id = new_id()
    return score_of(
        body,
        entity,
        project,
        owner,
        score_id,
        id_time(score_id),
        idempotency_key,
        api_key_id,
    )


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
