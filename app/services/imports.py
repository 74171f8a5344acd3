"""Import evaluation runs, predictions and scores, with their ids and times."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from app.errors import KeyReused
from app.ids import id_with
from app.services.audit import audited
from app.services.clearing import finish_deletions
from app.services.documents import content_hash
from app.services.evaluation_runs import imported_run
from app.services.predictions import imported_prediction
from app.services.scores import hash_of, imported_score
from app.stores.base import Kept, Outcome, SharedKey, Store
from app.stores.deletions import run_of
from app.stores.model import DOCUMENTS, ApiKey, Document, Score

POSITION_BITS = 14
"""Enough for the position of a line in its import."""


Item = TypeVar("Item", bound=Score | Document)


def import_scores(
    store: Store,
    entity: str,
    project: str,
    caller: ApiKey,
    bodies: Sequence[dict[str, Any]],
    idempotency_key: str | None = None,
) -> list[Outcome]:
    """Store scores, as `import_lines` does; `bodies` are loaded ScoreImportLine."""
    lines = [{"kind": "score", **body} for body in bodies]
    return _import(store, entity, project, caller, lines, idempotency_key, "scores.import")


def import_lines(
    store: Store,
    entity: str,
    project: str,
    caller: ApiKey,
    bodies: Sequence[dict[str, Any]],
    idempotency_key: str | None = None,
) -> list[Outcome]:
    """Store what the lines of an import hold, and return what was done with each.

    `bodies` are loaded EvaluationRunLine, PredictionLine and ScoreLine in any order; the caller's
    owner becomes the owner. What is stored already is PRESENT, or REPLAYED if an import with the
    same key stored it, and what has the id of something else is ID_TAKEN. The rest is stored in one
    transaction. Raises KeyReused and StoreUnavailable; it is safe to repeat the call.
    """
    return _import(store, entity, project, caller, bodies, idempotency_key, "project.import")


def find_replays(
    store: Store,
    entity: str,
    project: str,
    caller: ApiKey,
    bodies: Sequence[dict[str, Any]],
    idempotency_key: str | None = None,
) -> list[bool]:
    """Return of each line whether it is a score that an import with this key stored.

    `bodies` are those of `import_lines` or, without a `kind`, of `import_scores`.
    """
    lines = [{"kind": "score", **body} for body in bodies]
    made = [_made(entity, project, caller.owner, body) for body in _placed(lines)]
    key = _shared_key(entity, project, idempotency_key, lines)
    scores = _keyed([each for each in made if isinstance(each, Score)], key)
    stored = iter(store.find_replayed(scores))
    return [isinstance(each, Score) and next(stored) for each in made]


def _import(
    store: Store,
    entity: str,
    project: str,
    caller: ApiKey,
    bodies: Sequence[dict[str, Any]],
    idempotency_key: str | None,
    action: str,
) -> list[Outcome]:
    made = [_made(entity, project, caller.owner, body) for body in _placed(bodies)]
    key = _shared_key(entity, project, idempotency_key, bodies)
    scores = _keyed([each for each in made if isinstance(each, Score)], key)
    parts = [_keyed([each for each in made if isinstance(each, kind)], key) for kind in DOCUMENTS]
    groups = [part for part in parts if part]
    with audited(action, caller, {"entity": entity, "project": project}) as results:
        finish_deletions(store, entity, project, map(run_of, made))
        added, outcomes = store.add_accepted(groups, scores, key)
        left: dict[type, Iterator[Outcome]] = {Score: iter(outcomes)}
        for group, each in zip(groups, added, strict=True):
            left[type(group[0])] = iter(each)
        found = [next(left[type(each)]) for each in made]
        kept = [each.kept for each in found]
        if Kept.KEY_TAKEN in kept:  # At the same moment, on a store without transactions.
            raise KeyReused
        results["num_created"] = kept.count(Kept.CREATED)
        results["num_sent"] = len(kept)
    return found


def _shared_key(
    entity: str, project: str, idempotency_key: str | None, bodies: Sequence[dict[str, Any]]
) -> SharedKey | None:
    """Return the key of an import, whose spaces cannot occur in a key that is sent."""
    if idempotency_key is None:
        return None
    content = hash_of("".join(map(content_hash, bodies)))
    return SharedKey(entity, project, f"{idempotency_key} import ", content)


def _keyed(items: Sequence[Item], key: SharedKey | None) -> list[Item]:
    """Give each item of a kind a key of its own, which begins with that of the import."""
    if key is None:
        return list(items)
    return [
        replace(item, idempotency_key=f"{key.prefix}{position}", body_hash=key.body_hash)
        for position, item in enumerate(items)
    ]


def _placed(bodies: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the bodies; one without its `sort_id` gets one with the time and order of now."""
    now = time.time_ns() // 1_000_000 << POSITION_BITS
    for position, body in enumerate(bodies):
        if "sort_id" in body and body["sort_id"] is None:
            yield {**body, "sort_id": id_with(body["created_at"], now | position)}
        else:
            yield body


def _made(entity: str, project: str, owner: str, body: dict[str, Any]) -> Score | Document:
    if body["kind"] == "evaluation_run":
        return imported_run(entity, project, owner, body)
    if body["kind"] == "prediction":
        return imported_prediction(entity, project, owner, body)
    return imported_score(entity, project, owner, body)
