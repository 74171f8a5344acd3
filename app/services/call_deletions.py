"""Delete what Weave's SDK has sent of runs and predictions: calls, feedback, sources of scores."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Sequence

from app.ids import AFTER_ALL
from app.stores.base import DocumentQuery, Store
from app.stores.model import Document, EvaluationRun, Prediction
from app.stores.weave import Call, Feedback, ScoreSource


def delete_calls(
    store: Store,
    entity: str,
    project: str,
    call_ids: Iterable[str],
    *,
    before: str = AFTER_ALL,
    deadline: float = math.inf,
) -> int | None:
    """Delete calls with those below them, their feedback, and the sources of their scores.

    Returns how many calls there were, None if some are left at the `deadline`. Calls below
    another evaluation run stay, and so does what has a `sort_id` that is not below `before`. The
    deepest calls are deleted first, so that the same call completes a deletion that broke off.
    """
    levels, num_deleted = [sorted(set(call_ids))], 0
    opened = set(levels[0])
    while levels:
        if time.monotonic() > deadline:
            return None
        ids = levels[-1]
        if below := _children(store, entity, project, ids, before, opened):
            levels.append(below)
            opened.update(below)
            continue
        _delete_found(store, Feedback, _query(entity, project, "call_id", ids, before))
        _delete_found(store, ScoreSource, _query(entity, project, "prediction_id", ids, before))
        num_deleted += _delete_found(store, Call, _query(entity, project, "id", ids, before))
        opened.difference_update(levels.pop())
    return num_deleted


def delete_calls_of_predictions(
    store: Store, entity: str, project: str, predictions: Sequence[tuple[str, str | None]]
) -> None:
    """Delete the calls of predictions, which are given by id and run."""
    wanted = {(prediction_id, run_id or "") for prediction_id, run_id in predictions}
    ids = sorted({prediction_id for prediction_id, _ in wanted})
    sources = store.read_documents(
        ScoreSource, _query(entity, project, "prediction_id", ids, AFTER_ALL)
    )
    calls = {
        each.prediction_id
        for each in sources
        if (each.prediction_id, each.evaluation_run_id or "") in wanted
    }
    calls |= {
        each.predict_and_score_call_id
        for each in store.find_documents(Prediction, entity, project, sorted(calls))
        if (each.id, each.evaluation_run_id or "") in wanted
    }
    if calls:
        delete_calls(store, entity, project, calls)


def _children(
    store: Store,
    entity: str,
    project: str,
    ids: Sequence[str],
    before: str,
    opened: Collection[str],
) -> list[str]:
    """Return the ids of some calls directly below others, [] if no more are to be deleted."""
    query = _query(entity, project, "parent_id", ids, before)
    for page in store.read_fields(Call, query, ("id",)):
        found = [call_id for _, call_id in page if call_id not in opened]
        runs = {each.id for each in store.find_documents(EvaluationRun, entity, project, found)}
        if left := [call_id for call_id in found if call_id not in runs]:
            return left
    return []


def _query(
    entity: str, project: str, name: str, values: Sequence[str], before: str
) -> DocumentQuery:
    return DocumentQuery(entity, project, filters={name: values}, before=before)


def _delete_found(store: Store, kind: type[Document], query: DocumentQuery) -> int:
    """Delete the documents of a query, and return how many there were."""
    num_deleted = 0
    for page in store.read_fields(kind, query, ("id",)):
        ids = [document_id for _, document_id in page]
        num_deleted += store.delete_documents(kind, query.entity or "", query.project or "", ids)
    return num_deleted
