"""Delete a project with everything in it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from app.ids import AFTER_ALL, new_id
from app.services.audit import audited
from app.services.clearing import PAGE, clear
from app.services.copies import KINDS
from app.stores.base import DocumentQuery, Store
from app.stores.model import ApiKey, Document, EvaluationRun
from app.stores.weave import SENT_DOCUMENTS

KEPT_LAST: tuple[type[Document], ...] = (
    *(kind for kind in KINDS if kind not in SENT_DOCUMENTS),
    *reversed(SENT_DOCUMENTS),
)
"""Every kind of document, objects and contents last: calls and feedback refer to them."""


def delete_project(store: Store, entity: str, project: str, caller: ApiKey) -> dict[str, int]:
    """Delete all that a project holds, and return how many documents there were by collection.

    What is sent meanwhile may stay. If it breaks off, the same call continues it.
    """
    place, worker = (entity, project), new_id()
    target = {"entity": entity, "project": project}
    with audited("project.delete", caller, target) as results:
        deleted = {"evaluation_runs": 0, "predictions": 0, "scores": 0}
        for run_ids in _runs(store, *place):
            for each in store.begin_deletions(*place, run_ids, caller.key_id):
                clear(store, each, math.inf, worker)
                deleted["evaluation_runs"] += each.runs
                deleted["predictions"] += each.predictions
                deleted["scores"] += each.scores
        for each in store.list_deletions(*place, pending=True, limit=PAGE):
            clear(store, each, math.inf, worker)
        is_whole = False
        while not is_whole:
            loose = store.delete_unassigned(*place, AFTER_ALL, PAGE)
            deleted["predictions"] += loose.predictions
            deleted["scores"] += loose.scores
            is_whole = loose.is_whole
        for kind in KEPT_LAST:
            number = deleted.get(kind.collection, 0)
            for page in store.read_fields(kind, DocumentQuery(*place), ("id",)):
                ids = [document_id for _, document_id in page]
                number += store.delete_documents(kind, *place, ids)
            deleted[kind.collection] = number
        results.update(deleted)
    return deleted


def _runs(store: Store, entity: str, project: str) -> Iterator[list[str]]:
    """Yield the ids of all runs, also of those that only scores or predictions name."""
    for page in store.read_fields(EvaluationRun, DocumentQuery(entity, project), ("id",)):
        yield [run_id for _, run_id in page]
    while named := store.list_named_runs(entity, project, None, PAGE):
        yield [each.name for each in named]
