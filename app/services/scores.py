"""Create, read and delete scores."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from app import jsontext
from app.errors import KeyReused, NotFound, TooLarge
from app.ids import last_id_before
from app.leaves import leaves
from app.schemas.scores import SCORE_ID, FoundScore
from app.scorers import scorer_name
from app.services.audit import audited
from app.stores.base import REFUSED, Kept, Outcome, Store
from app.stores.model import UNASSIGNED, ApiKey, Prediction, Score

RETRY_WINDOW = timedelta(minutes=10)
"""How long after the first call a repeated one without an idempotency key counts as a retry."""

AUDITED_IDS = 50
"""How many ids of deleted scores one line of the audit log holds, to keep lines short."""

Item = TypeVar("Item", Score, Prediction)

TOO_LARGE = "The score is too large for the store"


@dataclass(frozen=True)
class Retry:
    """How a call identifies itself as a retry: by its idempotency key, or by a retry count."""

    idempotency_key: str | None = None
    is_repeated: bool = False
    api_key_id: str | None = None

    def hash_of(self, body_hash: str) -> str | None:
        """Return the hash of API key and content, None if an idempotency key tells a retry."""
        if self.api_key_id is None or self.idempotency_key is not None:
            return None
        return hash_of(f"{self.api_key_id} {body_hash}")


NO_RETRY = Retry()


def create_score(
    store: Store,
    entity: str,
    project: str,
    owner: str | None,
    body: dict[str, Any],
    retry: Retry = NO_RETRY,
) -> Outcome:
    """Store one score under a new UUIDv7; it is REPLAYED if an earlier call stored it.

    `body` is a loaded ScoreCreateBody. Raises KeyReused, TooLarge and StoreUnavailable.
    """
    score = new_score(entity, project, owner, body, retry)
    if retry.is_repeated and (first := _find_retried(store, score)):
        return Outcome(Kept.REPLAYED, first)
    outcome = store.add_score(score)
    if outcome.kept is Kept.KEY_TAKEN:
        raise KeyReused
    if outcome.kept is Kept.TOO_LARGE:
        raise TooLarge(TOO_LARGE)
    return outcome


def _find_retried(store: Store, score: Score) -> str | None:
    """Return the id of the score that the same API key stored recently with the same content."""
    if score.retry_hash is None:
        return None  # The idempotency key decides.
    after = last_id_before(score.created_at - RETRY_WINDOW)
    return store.find_retried(score, after)


def is_replay(
    store: Store,
    entity: str,
    project: str,
    owner: str | None,
    body: dict[str, Any],
    retry: Retry = NO_RETRY,
) -> bool:
    """Return whether an earlier call stored the score of a loaded ScoreCreateBody."""
    score = new_score(entity, project, owner, body, retry)
    if retry.is_repeated and _find_retried(store, score):
        return True
    return store.find_replayed([score])[0]


def find_replays(
    store: Store,
    entity: str,
    project: str,
    owner: str | None,
    bodies: Sequence[dict[str, Any]],
    idempotency_key: str | None = None,
) -> list[bool]:
    """Return of each score whether an earlier call of `create_scores` with this key stored it."""
    scores = _new_scores(entity, project, owner, bodies)
    return store.find_replayed(_derive_keys(scores, idempotency_key) if idempotency_key else scores)


def create_scores(
    store: Store,
    entity: str,
    project: str,
    owner: str | None,
    bodies: Sequence[dict[str, Any]],
    idempotency_key: str | None = None,
    *,
    partial: bool = False,
) -> list[Outcome]:
    """Store many scores in the order given, all or none; with `partial`, all that are not refused.

    `bodies` are loaded ScoreBatchLine, each with or without its own idempotency key;
    `idempotency_key` covers those without. A score whose own key was sent before with other content
    has the outcome KEY_TAKEN. Raises KeyReused, TooLarge and StoreUnavailable.
    """
    scores = _new_scores(entity, project, owner, bodies)

    def add(scores: Sequence[Score], partial: bool) -> list[Outcome]:
        return store.add_missing(scores, partial=partial)

    return add_batch(scores, idempotency_key, add, TOO_LARGE, partial=partial)


def _new_scores(
    entity: str, project: str, owner: str | None, bodies: Sequence[dict[str, Any]]
) -> list[Score]:
    return [
        new_score(entity, project, owner, body, Retry(body["idempotency_key"])) for body in bodies
    ]


def add_batch(
    items: Sequence[Item],
    idempotency_key: str | None,
    add: Callable[[Sequence[Item], bool], list[Outcome]],
    too_large: str,
    *,
    partial: bool,
) -> list[Outcome]:
    """Store a batch with `add`, and return an outcome for each item.

    `add` takes items and whether to store some if others are refused. Raises KeyReused, TooLarge
    with the message `too_large`, and whatever `add` raises.
    """
    if not idempotency_key:
        return _accepted(items, add(items, partial), too_large, partial=partial)
    items = _derive_keys(items, idempotency_key)
    # As a whole first, so that nothing is stored if the batch's key was used for another batch.
    outcomes = _accepted(items, add(items, False), too_large, partial=partial)
    if partial and any(outcome.kept in REFUSED for outcome in outcomes):
        outcomes = _accepted(items, add(items, True), too_large, partial=partial)
    return outcomes


def _accepted(
    items: Sequence[Item], outcomes: list[Outcome], too_large: str, *, partial: bool
) -> list[Outcome]:
    """Return the outcomes, or raise an error that concerns the whole batch."""
    for item, outcome in zip(items, outcomes, strict=True):
        if outcome.kept is Kept.KEY_TAKEN and not _has_own_key(item):
            raise KeyReused
        if outcome.kept is Kept.TOO_LARGE and not partial:
            raise TooLarge(too_large)
    return outcomes


def _has_own_key(item: Score | Prediction) -> bool:
    """Return whether a score or prediction of a batch was sent with its own key."""
    return item.idempotency_key is not None and " " not in item.idempotency_key


def _derive_keys(items: Sequence[Item], idempotency_key: str) -> list[Item]:
    """Derive a key for each item without one from the batch's key and the item's position.

    The space between the two cannot occur in a key that is sent. The body hash covers the content
    of the whole batch, so that a key is only replayed with the same batch.
    """
    content = hash_of("".join(item.body_hash for item in items))
    return [
        item
        if item.idempotency_key
        else replace(
            item,
            idempotency_key=f"{idempotency_key} {position}",
            body_hash=hash_of(f"{content} {position}"),
        )
        for position, item in enumerate(items)
    ]


def read_score(store: Store, entity: str, project: str, score_id: str) -> FoundScore:
    """Return one score of one project. Raises NotFound, also if it is in another project."""
    score = _find_score(store, entity, project, score_id)
    return FoundScore(score, store.find_superseding([score]).get(score_id))


def read_history(store: Store, entity: str, project: str, score_id: str) -> Iterator[FoundScore]:
    """Yield all scores of the slot of a score, newest first. Raises NotFound, like `read_score`."""
    scores = store.read_slot(_find_score(store, entity, project, score_id))
    current: str | None = None
    for score in scores:
        yield FoundScore(score, current)
        current = current or score.score_id


def _find_score(store: Store, entity: str, project: str, score_id: str) -> Score:
    score = store.find_score(entity, project, score_id)
    if score is None:
        raise NotFound(f"Score {score_id} not found")
    return score


def delete_scores(
    store: Store, entity: str, project: str, score_ids: Sequence[str], caller: ApiKey
) -> int:
    """Delete scores of one project and return how many of them existed."""
    wanted = sorted(set(score_ids))
    ids = [each for each in wanted if re.fullmatch(SCORE_ID, each)]
    parts = [ids[start : start + AUDITED_IDS] for start in range(0, len(ids), AUDITED_IDS)]
    targets = [{"entity": entity, "project": project, "score_ids": part} for part in parts]
    with audited("scores.delete", caller, *targets) as results:
        deleted = store.delete_scores(entity, project, wanted) if wanted else 0
        results["num_deleted"] = deleted
    return deleted


def new_score(
    entity: str, project: str, owner: str | None, body: dict[str, Any], retry: Retry
) -> Score:
    """Return the score of a loaded ScoreCreateBody, with its leaves and hashes."""
    value_json = jsontext.write(body["value"])
    ids = jsontext.write([body["prediction_id"], body["scorer"], body["evaluation_run_id"]])
    metadata = body.get("metadata")
    extensions = {
        "reason": body.get("reason"),
        "error": body.get("error"),
        "metadata_json": None if metadata is None else jsontext.write(metadata),
        "annotator": body.get("annotator"),
    }
    given = {name: text for name, text in extensions.items() if text is not None}
    # Fields that are not given are not hashed, so that a retry still matches after an upgrade.
    body_hash = hash_of(ids + value_json + (jsontext.write(given) if given else ""))
    return Score(
        score_id=UNASSIGNED,
        entity=entity,
        project=project,
        evaluation_run_id=body["evaluation_run_id"],
        prediction_id=body["prediction_id"],
        scorer=body["scorer"],
        scorer_name=scorer_name(body["scorer"]),
        value_json=value_json,
        leaves=leaves(body["value"]),
        wb_user_id=owner,
        created_at=datetime.now(UTC),
        idempotency_key=retry.idempotency_key,
        body_hash=body_hash,
        retry_hash=retry.hash_of(body_hash),
        **extensions,
    )


def imported_score(entity: str, project: str, owner: str | None, body: dict[str, Any]) -> Score:
    """Return the score of a loaded ScoreImportLine."""
    score = new_score(entity, project, owner, body, NO_RETRY)
    return replace(score, score_id=body["score_id"], created_at=body["created_at"])


def hash_of(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
