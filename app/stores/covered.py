"""What pending deletions mean for a write: shared by both engines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from app.errors import BeingDeleted
from app.stores.deletions import Deletion
from app.stores.model import UNASSIGNED, Document, EvaluationRun, Prediction, Score

Item = Score | Document


def by_project(items: Iterable[Item]) -> dict[tuple[str, str], list[Item]]:
    """Return scores or documents by entity and project."""
    found: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        found.setdefault((item.entity, item.project), []).append(item)
    return found


def check_not_covered(pending: Sequence[Deletion], items: Iterable[Item]) -> None:
    """Raise BeingDeleted if a deletion covers the given id of one of `items`."""
    for item in items:
        if _order_id(item) != UNASSIGNED and is_covered(item, pending):
            run_id = run_of(item) or ""
            raise BeingDeleted(f"Evaluation run {run_id[:100]} is being deleted, try again later")


def is_covered(item: Item, pending: Iterable[Deletion]) -> bool:
    """Return whether one of some deletions of its project covers a score or document."""
    run_id, item_id = run_of(item), _order_id(item)
    return any(each.evaluation_run_id == run_id and item_id <= each.bound for each in pending)


def run_of(item: Item) -> str | None:
    """Return the id of the run that a score, prediction or run belongs to."""
    if isinstance(item, Score | Prediction):
        return item.evaluation_run_id
    return item.id if isinstance(item, EvaluationRun) else None


def _order_id(item: Item) -> str:
    """Return the id with the time, in whose order lists are."""
    return item.score_id if isinstance(item, Score) else item.sort_id


def names_of(items: Iterable[Item]) -> Mapping[str, list[str]]:
    """Return the given ids and idempotency keys of scores or documents, by the field's name."""
    names: dict[str, dict[str, None]] = {"id": {}, "idempotency_key": {}}
    for item in items:
        item_id = item.score_id if isinstance(item, Score) else item.id
        if item_id != UNASSIGNED:
            names["id"][item_id] = None
        if item.idempotency_key is not None:
            names["idempotency_key"][item.idempotency_key] = None
    return {name: list(texts) for name, texts in names.items() if texts}
