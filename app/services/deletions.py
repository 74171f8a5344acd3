"""Delete evaluation runs and predictions with what is in them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from app.ids import new_id
from app.services.audit import audited
from app.services.call_deletions import delete_calls_of_predictions
from app.services.clearing import CALL_SECONDS, PAGE, clear
from app.services.documents import audit_targets
from app.stores.base import Store
from app.stores.model import UNASSIGNED, ApiKey, EvaluationRun, Prediction

TOGETHER = 100
"""How many predictions are deleted in one transaction."""


@dataclass(frozen=True)
class DeletedRuns:
    """What was there of the runs of a call.

    `num_pending` counts the runs of which something is hidden, but not yet removed.
    """

    num_deleted: int
    num_predictions: int
    num_scores: int
    num_pending: int


@dataclass(frozen=True)
class DeletedPredictions:
    """How many predictions of a call were there, and how many scores of them."""

    num_deleted: int
    num_scores: int


def delete_runs(
    store: Store, entity: str, project: str, run_ids: Sequence[str], caller: ApiKey
) -> DeletedRuns:
    """Delete runs of one project with the predictions and scores in them.

    They are hidden at once. What is not removed within CALL_SECONDS stays hidden until it is.
    """
    wanted = sorted(set(run_ids) - {""})
    targets = audit_targets(EvaluationRun, entity, project, wanted)
    with audited("evaluation_runs.delete", caller, *targets) as results:
        begun = store.begin_deletions(entity, project, wanted, caller.key_id)
        deadline, worker = time.monotonic() + CALL_SECONDS, new_id()
        ended = [clear(store, each, deadline, worker) for each in begun]
        deleted = DeletedRuns(
            len(begun),
            sum(each.predictions for each in begun),
            sum(each.scores for each in begun),
            sum(each.is_pending for each in ended),
        )
        results.update(asdict(deleted))
    return deleted


def delete_predictions(
    store: Store,
    entity: str,
    project: str,
    predictions: Sequence[tuple[str, str | None]],
    caller: ApiKey,
) -> DeletedPredictions:
    """Delete predictions of one project, given by id and run, with their scores."""
    ids = sorted({prediction_id for prediction_id, _ in predictions})
    targets = audit_targets(Prediction, entity, project, ids)
    with audited("predictions.delete", caller, *targets) as results:
        deleted = _delete_predictions(store, entity, project, predictions)
        results.update(asdict(deleted))
    return deleted


def delete_stored_predictions(
    store: Store, entity: str, project: str, prediction_ids: Sequence[str], caller: ApiKey
) -> DeletedPredictions:
    """Delete stored predictions of one project with their scores."""
    ids = sorted(set(prediction_ids) - {UNASSIGNED})
    targets = audit_targets(Prediction, entity, project, ids)
    with audited("predictions.delete", caller, *targets) as results:
        found = store.find_documents(Prediction, entity, project, ids)
        there = [(each.id, each.evaluation_run_id) for each in found]
        deleted = _delete_predictions(store, entity, project, there)
        results.update(asdict(deleted))
    return deleted


def _delete_predictions(
    store: Store, entity: str, project: str, predictions: Iterable[tuple[str, str | None]]
) -> DeletedPredictions:
    wanted = sorted(set(predictions), key=str)
    num_deleted = num_scores = 0
    for start in range(0, len(wanted), TOGETHER):
        part, is_whole = wanted[start : start + TOGETHER], False
        delete_calls_of_predictions(store, entity, project, part)
        while not is_whole:
            deleted = store.delete_predictions(entity, project, part, PAGE)
            num_deleted += deleted.predictions
            num_scores += deleted.scores
            is_whole = deleted.is_whole
    return DeletedPredictions(num_deleted, num_scores)
