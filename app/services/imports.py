"""Import evaluation runs, predictions and scores together, with their ids and times."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from app.ids import id_with
from app.services.audit import audited
from app.services.clearing import finish_deletions
from app.services.evaluation_runs import imported_run
from app.services.predictions import imported_prediction
from app.services.scores import imported_score
from app.stores.base import Kept, Outcome, Store
from app.stores.deletions import run_of
from app.stores.model import DOCUMENTS, ApiKey, Document, Score

POSITION_BITS = 14
"""Enough for the position of a line in its import."""


def import_lines(
    store: Store, entity: str, project: str, caller: ApiKey, bodies: Sequence[dict[str, Any]]
) -> list[Outcome]:
    """Store what the lines of an import hold, and return what was done with each.

    `bodies` are loaded EvaluationRunLine, PredictionLine and ScoreLine in any order; the caller's
    owner becomes the owner. What is stored already is PRESENT, and what has the id of something
    else is ID_TAKEN. The rest is stored in one transaction. Raises StoreUnavailable; it is safe to
    repeat the call.
    """
    made = [_made(entity, project, caller.owner, body) for body in _placed(bodies)]
    parts = [[each for each in made if isinstance(each, kind)] for kind in DOCUMENTS]
    groups = [part for part in parts if part]
    scores = [each for each in made if isinstance(each, Score)]
    with audited("project.import", caller, {"entity": entity, "project": project}) as results:
        finish_deletions(store, entity, project, map(run_of, made))
        added, outcomes = store.add_accepted(groups, scores)
        left: dict[type, Iterator[Outcome]] = {Score: iter(outcomes)}
        for group, each in zip(groups, added, strict=True):
            left[type(group[0])] = iter(each)
        found = [next(left[type(each)]) for each in made]
        results["num_created"] = sum(each.kept is Kept.CREATED for each in found)
        results["num_sent"] = len(found)
    return found


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
