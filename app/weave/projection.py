"""Make runs, predictions and scores from what Weave's SDK has sent.

Everything is computed again from all that is stored of a prediction, so the order in which calls
and feedback arrive does not matter. Two requests may do so at once: each stores what it brought
before it reads the rest, so at least one of them sees all, and a score is only added if its source
is still the one that was read.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from app import jsontext
from app.errors import StoreUnavailable
from app.examples import example_key
from app.services.documents import text_or_none
from app.services.scores import NO_RETRY, new_score
from app.stores.base import DocumentQuery, Store
from app.stores.model import AnyDocument, EvaluationRun, Prediction, Score
from app.stores.weave import Call, Feedback, Projected, ScoreSource
from app.weave import contents
from app.weave.contents import Place
from app.weave.facts import (
    EVALUATE,
    PREDICT_AND_SCORE,
    CallFacts,
    PredictionFacts,
    ScoreFacts,
    in_order,
    op_of,
    score_of,
)

PART = 200
"""How many calls are projected at a time."""

ATTEMPTS = 20
"""How often a projection is computed again because others have changed a source meanwhile."""


def project(
    store: Store, place: Place, call_ids: Iterable[str], arrived: Sequence[str] = ()
) -> None:
    """Store the runs, predictions and scores that follow from calls and their feedback.

    Feedback on the children of calls that have `arrived` may have waited for these. Raises
    StoreUnavailable.
    """
    children = _read(store, place, Call, "parent_id", arrived)
    wanted = sorted({*call_ids, *(child.id for child in children)})
    for first in range(0, len(wanted), PART):
        _project_part(store, place, wanted[first : first + PART])


def _project_part(store: Store, place: Place, call_ids: Sequence[str]) -> None:
    calls = list(store.find_documents(Call, place.entity, place.project, call_ids))
    runs = [_run(place, CallFacts(call)) for call in calls if op_of(call) == EVALUATE]
    store.upsert_documents(runs, _replace_run)
    predictions = [call for call in calls if op_of(call) in PREDICT_AND_SCORE]
    for _ in range(ATTEMPTS):
        facts = _read_facts(store, place, predictions)
        if _store_facts(store, place, facts) and _store_loose(store, place, calls):
            return
    raise StoreUnavailable("others keep changing the same scores")


def _run(place: Place, call: CallFacts) -> EvaluationRun:
    """Return the run of a call of `Evaluation.evaluate`."""
    attributes = {name: each for name, each in call.object("attributes").items() if name != "weave"}
    status = "running"
    if call.call.ended_at is not None:
        status = "failed" if call.error else "completed"
    output = call.output
    sent = EvaluationRun(
        id=call.call.id,
        entity=place.entity,
        project=place.project,
        wb_user_id=call.call.wb_user_id,
        body_hash="",
        evaluation=_text(call.inputs.get("self")),
        model=_text(call.inputs.get("model")),
        status=status,
        started_at=call.call.started_at or call.call.created_at,
        finished_at=call.call.ended_at,
        name=call.text("display_name"),
        attributes_json=text_or_none(attributes or None),
        summary_json=jsontext.write(output) if isinstance(output, dict) else None,
    )
    return _hashed(sent)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _replace(stored: AnyDocument, sent: AnyDocument) -> AnyDocument:
    """Return what was sent in place of what is stored, unless another owner's key stored that."""
    if stored.body_hash == sent.body_hash or stored.wb_user_id != sent.wb_user_id:
        return stored
    return replace(sent, sort_id=stored.sort_id)


def _replace_run(stored: EvaluationRun, sent: EvaluationRun) -> EvaluationRun:
    """Return what was sent in place of a stored run, except for what `change_run` changes."""
    is_only_named = not stored.evaluation and not stored.model
    is_foreign = stored.wb_user_id != sent.wb_user_id and not is_only_named
    if stored.body_hash == sent.body_hash or is_foreign:
        return stored
    return replace(
        sent,
        sort_id=stored.sort_id,
        name=stored.name or sent.name,
        description=stored.description,
        attributes_json=stored.attributes_json or sent.attributes_json,
        archived_at=stored.archived_at,
    )


def _hashed(document: AnyDocument) -> AnyDocument:
    """Return a document whose `body_hash` changes with each of its fields."""
    values = {
        each.name: value.isoformat() if isinstance(value, datetime) else value
        for each in fields(document)
        if (value := getattr(document, each.name)) is not None
    }
    return replace(document, body_hash=_hash(jsontext.write(values)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# Predictions


def _read_facts(store: Store, place: Place, calls: Sequence[Call]) -> list[PredictionFacts]:
    """Return what is stored of calls that predict and score."""
    ids = [call.id for call in calls]
    children: dict[str, list[CallFacts]] = defaultdict(list)
    for child in _read(store, place, Call, "parent_id", ids):
        children[child.parent_id or ""].append(CallFacts(child))
    feedback: dict[str, list[Feedback]] = defaultdict(list)
    of_prediction = {each.call.id: parent for parent in children for each in children[parent]}
    of_prediction |= {each: each for each in ids}
    for each in _read(store, place, Feedback, "call_id", list(of_prediction)):
        feedback[of_prediction[each.call_id or ""]].append(each)
    return [
        PredictionFacts(CallFacts(call), in_order(children[call.id]), feedback[call.id])
        for call in calls
    ]


def _read(
    store: Store, place: Place, kind: type[AnyDocument], name: str, values: Sequence[str]
) -> Iterator[AnyDocument]:
    for first in range(0, len(values), PART):
        some = {name: values[first : first + PART]}
        yield from store.read_documents(
            kind, DocumentQuery(place.entity, place.project, filters=some)
        )


def _store_facts(store: Store, place: Place, facts: Sequence[PredictionFacts]) -> bool:
    """Store predictions and their scores; return False if others have changed a source."""
    scores = {each.id: each.scores() for each in facts}
    ready = [each for each in facts if each.has_ended or (scores[each.id] and each.predict)]
    ids = _decide_ids(store, place, ready)
    rows = contents.read_rows(store, place, [each.row_digest for each in ready if each.row_digest])
    predictions = [_prediction(place, each, ids[each.id], rows) for each in ready]
    store.upsert_documents(predictions, _replace)
    return _add_scores(
        store,
        place,
        [
            (f"{each.id}/{name}/{annotator}", ids[each.id], each.call.call.parent_id, score)
            for each in ready
            for (name, annotator), score in scores[each.id].items()
        ],
    )


def _decide_ids(store: Store, place: Place, facts: Sequence[PredictionFacts]) -> dict[str, str]:
    """Return the id of each prediction by the id of its call; the first decision is kept."""
    decisions = [
        ScoreSource(
            entity=place.entity,
            project=place.project,
            id=each.id,
            body_hash="",
            evaluation_run_id=each.call.call.parent_id,
            prediction_id=each.predict.call.id if each.predict else each.id,
            score_id="",
        )
        for each in facts
    ]
    kept = store.upsert_documents(decisions, lambda stored, _sent: stored)
    return {each.id: each.prediction_id for each in kept}


def _prediction(
    place: Place, facts: PredictionFacts, prediction_id: str, rows: dict[str, str]
) -> Prediction:
    predict = facts.predict
    timed = predict.call if predict and not facts.is_imperative else None
    digest = facts.row_digest
    inputs_json = rows.get(digest or "") or jsontext.write(facts.inline_example)
    usage = predict.object("summary").get("usage") if predict else None
    sent = Prediction(
        id=prediction_id,
        entity=place.entity,
        project=place.project,
        wb_user_id=facts.call.call.wb_user_id,
        body_hash="",
        predict_and_score_call_id=facts.id,
        evaluation_run_id=facts.call.call.parent_id,
        model=facts.model,
        inputs_json=inputs_json,
        output_json=jsontext.write(facts.output),
        # The row may have been sent to another server, and only its digest be known here.
        example_id=digest if digest not in rows else None,
        example_key=digest or example_key(None, facts.inline_example),
        error=facts.error,
        started_at=timed.started_at if timed else None,
        finished_at=timed.ended_at if timed else None,
        usage_json=jsontext.write(usage) if isinstance(usage, dict) else None,
    )
    return _hashed(sent)


# Scores

Wanted = tuple[str, str, str | None, ScoreFacts]
"""The key of a score's source, the id of its prediction, that of its run, and the score."""


def _add_scores(store: Store, place: Place, wanted: Sequence[Wanted]) -> bool:
    """Add the scores that are new or differ from the newest of their source.

    Returns False if others have changed a source.
    """
    keys = [key for key, *_ in wanted]
    stored = {
        each.id: each
        for each in store.find_documents(ScoreSource, place.entity, place.project, keys)
    }
    new = []
    for key, prediction_id, run_id, score in wanted:
        source = ScoreSource(
            entity=place.entity,
            project=place.project,
            id=key,
            body_hash=_hash(jsontext.write([score.value, score.error])),
            evaluation_run_id=run_id,
            prediction_id=prediction_id,
            score_id="",
        )
        known = stored.get(key)
        if known is None or known.body_hash != source.body_hash:
            made = _score(place, prediction_id, run_id, score)
            new.append(Projected(made, source, known.body_hash if known else None))
    return store.add_projected(new)


def _score(place: Place, prediction_id: str, run_id: str | None, score: ScoreFacts) -> Score:
    body = {
        "prediction_id": prediction_id,
        "scorer": score.scorer,
        "value": score.value,
        "evaluation_run_id": run_id,
        "reason": score.reason,
        "error": score.error,
        "annotator": score.annotator,
    }
    made = new_score(place.entity, place.project, place.owner, body, NO_RETRY)
    return replace(made, scorer_name=score.name)


def _store_loose(store: Store, place: Place, calls: Sequence[Call]) -> bool:
    """Add the scores that feedback says of calls outside of evaluations.

    A call whose parent has not arrived may be part of an evaluation, so its feedback waits.
    """
    parents = [call.parent_id for call in calls if call.parent_id]
    started = {
        each.id
        for each in store.find_documents(Call, place.entity, place.project, parents)
        if each.start_json and op_of(each) not in PREDICT_AND_SCORE
    }
    loose = [
        call.id
        for call in calls
        if call.start_json
        and op_of(call) not in PREDICT_AND_SCORE
        and (call.parent_id is None or call.parent_id in started)
    ]
    wanted: list[Wanted] = []
    for feedback in _read(store, place, Feedback, "call_id", loose):
        if score := score_of(feedback):
            call_id = feedback.call_id or ""
            key = f"{call_id}/{score.name}/{score.annotator or ''}/{score.call_id or ''}"
            wanted.append((key, call_id, None, score))
    return _add_scores(store, place, wanted)
