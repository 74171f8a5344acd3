"""Attempts: failed predictions, which every scorer of their run attempted or should have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from app.errors import InvalidParameter
from app.ids import id_time
from app.scorers import scorer_name
from app.services.evaluation_runs import find_evaluation
from app.services.lists import ClientCheck, no_client_check
from app.stores.base import DocumentQuery, Key, ScoreQuery, Store
from app.stores.model import EvaluationRun, Prediction

MAX_RUNS = 20_000
"""The most runs with failed predictions in one answer."""


class Attempt(NamedTuple):
    """A failed prediction, and a scorer of its run without a score of it."""

    prediction_id: str
    sort_id: str
    """That of the prediction."""
    evaluation_run_id: str
    scorer_name: str
    scorer: str
    """The reference in the scorer's newest score in the run, otherwise in the evaluation."""


def key_of(attempt: Attempt, fields: Sequence[str]) -> Key:
    """Return the values of `fields` of a score that the attempt would have had."""
    created_at = id_time(attempt.sort_id)
    values = {
        **attempt._asdict(),
        "day": f"{created_at:%Y-%m-%d}",
        "hour": f"{created_at:%Y-%m-%dT%H:00Z}",
    }
    return tuple(values[name] for name in fields)


def failed_attempts(
    store: Store, query: ScoreQuery, check_client: ClientCheck = no_client_check
) -> Iterator[Attempt]:
    """Yield the attempts without a score that pass the filters of `query`.

    A prediction of no run has none, because no scorers are known that should have judged it. Raises
    InvalidParameter for more than MAX_RUNS runs, and whatever `check_client` raises.
    """
    for run_id in _runs_with_failures(store, query, check_client):
        for attempt in _attempts(store, query, run_id, check_client):
            if query.scorer in (None, attempt.scorer) and query.scorer_name in (
                None,
                attempt.scorer_name,
            ):
                yield attempt


def _runs_with_failures(store: Store, query: ScoreQuery, check_client: ClientCheck) -> list[str]:
    """Return the runs in which a prediction failed, or the one in `query`."""
    if query.evaluation_run_id is not None:
        return [query.evaluation_run_id]
    run_ids: dict[str, None] = {}
    failed = DocumentQuery(query.entity, query.project, failed=True)
    for page in store.read_fields(Prediction, failed, ("evaluation_run_id",)):
        check_client()
        run_ids |= dict.fromkeys(run_id for _, run_id in page if run_id)
        if len(run_ids) > MAX_RUNS:
            message = f"over {MAX_RUNS} runs have failed predictions: name a run"
            raise InvalidParameter("evaluation_run_id", None, message)
    return list(run_ids)


def _attempts(
    store: Store, query: ScoreQuery, run_id: str, check_client: ClientCheck
) -> Iterator[Attempt]:
    failed = _failed(store, query, run_id)
    if not failed:
        return
    scorers = _scorers_of_evaluation(store, query, run_id)
    judged: set[tuple[str, str]] = set()
    place = (query.entity, query.project)
    of_run = ScoreQuery(*place, evaluation_run_id=run_id, as_of=query.as_of)
    for page in store.read_leaves(of_run, ("prediction_id", "scorer_name", "scorer")):
        check_client()
        for key in page.keys:
            prediction_id, name, scorer = (part or "" for part in key)
            scorers[name] = scorer
            if prediction_id in failed:
                judged.add((prediction_id, name))
    for prediction_id, sort_id in failed.items():
        for name, scorer in scorers.items():
            if (prediction_id, name) not in judged:
                yield Attempt(prediction_id, sort_id, run_id, name, scorer)


def _scorers_of_evaluation(store: Store, query: ScoreQuery, run_id: str) -> dict[str, str]:
    """Return the references of the scorers that a run's evaluation names, by their names.

    Only an evaluation that Weave's SDK has stored as an object in the same project names any.
    """
    run = store.find_document(EvaluationRun, query.entity, query.project, run_id)
    evaluation = find_evaluation(store, run) if run else None
    value = json.loads(evaluation.value_json) if evaluation else None
    scorers = value.get("scorers") if isinstance(value, dict) else None
    named = scorers if isinstance(scorers, list) else []
    return {scorer_name(each): each for each in named if isinstance(each, str)}


def _failed(store: Store, query: ScoreQuery, run_id: str) -> dict[str, str]:
    """Return the failed predictions of a run that pass the filters: their `sort_id`, by id."""
    wanted = DocumentQuery(
        query.entity,
        query.project,
        filters={"evaluation_run_id": [run_id]},
        after=query.after,
        before=query.before,
        failed=True,
    )
    pages = store.read_fields(Prediction, wanted, ("id",))
    failed = {prediction_id: sort_id for page in pages for sort_id, prediction_id in page}
    if query.prediction_id is None:
        return failed
    return {name: failed[name] for name in {query.prediction_id} & failed.keys()}
