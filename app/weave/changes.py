"""Rename and delete calls, and delete feedback, with the scores that were made from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app import jsontext
from app.services.call_deletions import delete_calls
from app.services.deletions import delete_runs, delete_stored_predictions
from app.services.scores import delete_scores
from app.stores.base import DocumentQuery, Store
from app.stores.model import ApiKey, EvaluationRun, Prediction
from app.stores.weave import Call, Feedback, ScoreSource
from app.weave.contents import Place
from app.weave.facts import PREDICT_AND_SCORE, CallFacts, op_of, score_of, scorer_of_call
from app.weave.intake import hashed, named
from app.weave.judged import read_judged
from app.weave.projection import project, source_key
from app.weave.run_views import SUMMARY
from app.weave.view_queries import Views


def rename_call(store: Store, place: Place, call_id: str, name: str | None) -> None:
    """Set the display name of a call and of its run, also for when they are sent later."""
    renamed_json = jsontext.write(name)
    call = Call(
        entity=place.entity,
        project=place.project,
        wb_user_id=place.owner,
        id=call_id,
        body_hash="",
        renamed_json=renamed_json,
    )
    store.upsert_documents([hashed(call)], lambda stored, _sent: named(stored, renamed_json))
    store.change_document(EvaluationRun, place.entity, place.project, call_id, name=name or None)


def delete_named_calls(store: Store, place: Place, call_ids: Sequence[str], caller: ApiKey) -> int:
    """Delete calls with those below them, and their runs, predictions and scores.

    Returns how many calls there were. A run below a deleted call stays.
    """
    num_views = _delete_views(store, place, call_ids, caller)
    found = list(store.find_documents(Call, place.entity, place.project, call_ids))
    ids = [call.id for call in found]
    above = [call.parent_id for call in found if call.parent_id]
    parents = {each: each for each in _predict_and_score(store, place, above)}
    parents |= {each.outer_id: each.id for each in read_judged(store, place, above)}
    names = {
        source_key(parents[call.parent_id], scorer_of_call(CallFacts(call))[0], "")
        for call in found
        if call.parent_id in parents
    }
    kept = store.find_documents(
        ScoreSource, place.entity, place.project, [source_key(each) for each in ids]
    )
    predictions = {*ids, *(source.prediction_id for source in kept)}
    delete_sources(store, place, names)
    _delete_loose_scores(store, place, ids)
    num_deleted = delete_calls(store, place.entity, place.project, ids) or 0
    delete_stored_predictions(store, place.entity, place.project, sorted(predictions), caller)
    delete_runs(store, place.entity, place.project, ids, caller)
    project(store, place, parents)
    return num_deleted + num_views


def _delete_views(store: Store, place: Place, call_ids: Sequence[str], caller: ApiKey) -> int:
    """Delete the runs, predictions and scores that are read as calls, and return how many."""
    entity, project_name = place.entity, place.project
    views = Views(store, place, whole=False).find(call_ids)
    ids = sorted({each.id for each in views if not each.id.endswith(SUMMARY)})
    if not ids:
        return 0
    query = DocumentQuery(entity, project_name, filters={"predict_and_score_call_id": ids})
    outer = store.read_fields(Prediction, query, ("id",))
    predictions = [*ids, *(row[1] for page in outer for row in page)]
    delete_scores(store, entity, project_name, ids, caller)
    delete_stored_predictions(store, entity, project_name, predictions, caller)
    delete_runs(store, entity, project_name, ids, caller)
    return len(ids)


def delete_feedback(
    store: Store, place: Place, feedback_ids: Sequence[str], caller: ApiKey
) -> None:
    """Delete feedback with its scores; calls that have the same scores make them again."""
    views = [each.id for each in Views(store, place, whole=False).find_feedback(feedback_ids)]
    if views:
        delete_scores(store, place.entity, place.project, views, caller)
    found = list(store.find_documents(Feedback, place.entity, place.project, feedback_ids))
    call_ids = {each.call_id for each in found if each.call_id}
    calls = store.find_documents(Call, place.entity, place.project, sorted(call_ids))
    parent_of = {call.id: call.parent_id or "" for call in calls}
    above = {*call_ids, *parent_of.values()}
    prediction_of = {each.outer_id: each.id for each in read_judged(store, place, above)}
    keys = set()
    for each in found:
        if (score := score_of(each)) and each.call_id:
            name = (score.name, score.annotator or "")
            keys |= {source_key(each.call_id, *name, score.call_id or "")}
            parent_id = parent_of.get(each.call_id)
            owners = (each.call_id, parent_id, prediction_of.get(parent_id or each.call_id))
            keys |= {source_key(call_id, *name) for call_id in owners if call_id}
    store.delete_documents(Feedback, place.entity, place.project, [each.id for each in found])
    delete_sources(store, place, keys)
    project(store, place, above - {""})


def delete_sources(store: Store, place: Place, keys: Iterable[str]) -> None:
    """Delete sources of scores with their scores, and what these had superseded."""
    for source in store.find_documents(ScoreSource, place.entity, place.project, sorted(keys)):
        _delete_source(store, source)


def _delete_source(store: Store, source: ScoreSource) -> None:
    score = store.find_score(source.entity, source.project, source.score_id)
    if score is not None:
        older = [each.id for each in store.read_slot(score) if each.id <= score.id]
        store.delete_scores(source.entity, source.project, older)
    store.delete_documents(ScoreSource, source.entity, source.project, [source.id])


def _delete_loose_scores(store: Store, place: Place, call_ids: Sequence[str]) -> None:
    """Delete the scores of calls that belong to no run."""
    query = DocumentQuery(place.entity, place.project, filters={"prediction_id": call_ids})
    for source in list(store.read_documents(ScoreSource, query)) if call_ids else ():
        if source.evaluation_run_id is None:
            _delete_source(store, source)


def _predict_and_score(store: Store, place: Place, call_ids: Sequence[str]) -> set[str]:
    """Return which of some calls predict and score."""
    found = store.find_documents(Call, place.entity, place.project, call_ids)
    return {call.id for call in found if op_of(call) in PREDICT_AND_SCORE}
