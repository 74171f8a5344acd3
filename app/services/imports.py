"""Imports: scores that were made before, stored under their own ids and times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.services.audit import audited
from app.services.scores import score_of
from app.stores.base import ApiKey, Kept, Store


def import_scores(
    store: Store, entity: str, project: str, by: ApiKey, bodies: Sequence[dict[str, Any]]
) -> list[Kept]:
    """Store scores for an API key, whose owner becomes theirs; return what became of each.

    `bodies` are loaded ScoreImportLine. A score that is stored already is not stored again: the
    same one is PRESENT, any other has taken its id. The accepted ones are stored together or not
    at all. Raises StoreUnavailable; the same call again is safe.
    """
    scores = [
        score_of(body, entity, project, by.owner, body["score_id"], body["created_at"])
        for body in bodies
    ]
    with audited("scores.import", by, {"entity": entity, "project": project}) as told:
        outcomes = [each.kept for each in store.add_missing(scores, partial=True)]
        told["num_created"] = outcomes.count(Kept.CREATED)
        told["num_sent"] = len(outcomes)
    return outcomes
