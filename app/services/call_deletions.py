"""Delete what Weave's SDK has sent of runs and predictions: calls, feedback, sources of scores."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Iterator, Sequence

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
    sources = store.read_documents(ScoreSource, _query(entity, project, "prediction_id", ids))
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


def read_loose_calls(store: Store, entity: str, project: str, before: str) -> Iterator[list[str]]:
    """Yield pages of the ids of calls that are in no run and below no other call.

    With the calls below them, these are all calls outside of runs whose `sort_id` is below
    `before`, but for those below a later call.
    """
    query = DocumentQuery(entity, project, before=before)
    for page in store.read_fields(Call, query, ("id", "parent_id")):
        parents = {parent_id for _, _, parent_id in page if parent_id}
        missing = parents - _ids_there(store, Call, _query(entity, project, "id", parents))
        tops = [row[1:] for row in page if not row[2] or row[2] in missing]
        in_runs = _of_runs(store, entity, project, {call_id for call_id, _ in tops}, missing)
        yield [call_id for call_id, parent_id in tops if in_runs.isdisjoint((call_id, parent_id))]


def count_calls(
    store: Store, entity: str, project: str, call_ids: Sequence[str], before: str
) -> int:
    """Return how many calls `delete_calls` would delete."""
    num_calls, levels = 0, [iter([list(call_ids)])]
    while levels:
        if ids := next(levels[-1], None):
            num_calls += len(ids)
            levels.append(_pages_below(store, entity, project, ids, before))
        elif ids is None:
            levels.pop()
    return num_calls


def read_loose_feedback(
    store: Store, entity: str, project: str, before: str
) -> Iterator[list[tuple[str, str | None]]]:
    """Yield pages of feedback that is about no call and nothing in a run: its id and call."""
    query = DocumentQuery(entity, project, before=before)
    for page in store.read_fields(Feedback, query, ("id", "call_id")):
        call_ids = {call_id for _, _, call_id in page if call_id}
        kept = _ids_there(store, Call, _query(entity, project, "id", call_ids))
        kept |= _of_runs(store, entity, project, (), call_ids - kept)
        yield [(each, call_id) for _, each, call_id in page if call_id not in kept]


def delete_loose_feedback(
    store: Store,
    entity: str,
    project: str,
    feedback: Sequence[tuple[str, str | None]],
    before: str,
) -> int:
    """Delete feedback of no call and the sources of its scores, and return how much there was."""
    call_ids = {call_id for _, call_id in feedback if call_id}
    _delete_found(store, ScoreSource, _query(entity, project, "prediction_id", call_ids, before))
    return store.delete_documents(Feedback, entity, project, [each for each, _ in feedback])


def _of_runs(
    store: Store, entity: str, project: str, call_ids: Iterable[str], missing: Collection[str]
) -> set[str]:
    """Return which ids are those of runs, or of predictions or scores in them.

    There are calls of `call_ids`, and none of `missing`.
    """
    ids = {*call_ids, *missing}
    found = _ids_there(store, EvaluationRun, _query(entity, project, "id", ids))
    for name in ("id", "predict_and_score_call_id"):
        query = _query(entity, project, name, ids)
        for page in store.read_fields(Prediction, query, (name, "evaluation_run_id")):
            found.update(call_id for _, call_id, run_id in page if run_id)
    scores = store.read_scores(entity, project, sorted(missing))
    found.update(score.id for score in scores if score.evaluation_run_id)
    for call_id in set(missing) - found:  # Perhaps only its predictions or scores name a run.
        if store.measure_run(entity, project, call_id).newest_id:
            found.add(call_id)
    return found


def _ids_there(store: Store, kind: type[Document], query: DocumentQuery) -> set[str]:
    """Return the ids of the documents of a query."""
    return {row[1] for page in store.read_fields(kind, query, ("id",)) for row in page}


def _children(
    store: Store,
    entity: str,
    project: str,
    ids: Sequence[str],
    before: str,
    opened: Collection[str],
) -> list[str]:
    """Return the ids of some calls directly below others, [] if no more are to be deleted."""
    for page in _pages_below(store, entity, project, ids, before):
        if left := [call_id for call_id in page if call_id not in opened]:
            return left
    return []


def _pages_below(
    store: Store, entity: str, project: str, ids: Sequence[str], before: str
) -> Iterator[list[str]]:
    """Yield pages of the ids of calls directly below others, without those of runs."""
    query = _query(entity, project, "parent_id", ids, before)
    for page in store.read_fields(Call, query, ("id",)):
        found = [call_id for _, call_id in page]
        runs = _ids_there(store, EvaluationRun, _query(entity, project, "id", found))
        yield [call_id for call_id in found if call_id not in runs]


def _query(
    entity: str, project: str, name: str, values: Iterable[str], before: str = AFTER_ALL
) -> DocumentQuery:
    return DocumentQuery(entity, project, filters={name: sorted(values)}, before=before)


def _delete_found(store: Store, kind: type[Document], query: DocumentQuery) -> int:
    """Delete the documents of a query, and return how many there were."""
    num_deleted = 0
    for page in store.read_fields(kind, query, ("id",)):
        ids = [document_id for _, document_id in page]
        num_deleted += store.delete_documents(kind, query.entity or "", query.project or "", ids)
    return num_deleted
