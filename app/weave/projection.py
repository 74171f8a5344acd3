"""Make runs, predictions and scores from what Weave's SDK has sent.

Everything is computed again from all that is stored of a prediction, so the order in which calls
and feedback arrive does not matter. Two requests may do so at once: each stores what it brought
before it reads the rest, so at least one of them sees all; a score is only added if its source is
still the one that was read; and whoever has stored something looks whether it has become outdated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from app import jsontext
from app.errors import StoreUnavailable
from app.examples import example_key
from app.services.documents import text_or_none
from app.services.scores import NO_RETRY, hash_of, new_score
from app.stores.base import Store
from app.stores.documents import encode
from app.stores.model import FROM_CALLS, AnyDocument, EvaluationRun, Prediction, Score
from app.stores.weave import Call, Feedback, Projected, ScoreSource
from app.weave.contents import Place, read_rows
from app.weave.facts import (
    EVALUATE,
    PREDICT_AND_SCORE,
    CallFacts,
    PredictionFacts,
    by_scorer,
    op_of,
    scores_of,
    text_of,
)
from app.weave.judged import JudgedPrediction, read_judged
from app.weave.judgements import Judgement, judgements_of
from app.weave.sent import (
    PART,
    read_all,
    read_hashes,
    read_outside,
    read_predictions,
    read_versions,
    versions_of,
)

ATTEMPTS = 20
"""How often a projection is computed again because others have changed a source meanwhile."""


def project(
    store: Store, place: Place, call_ids: Iterable[str], arrived: Sequence[str] = ()
) -> None:
    """Store the runs, predictions and scores that follow from calls and their feedback.

    Feedback on the children of calls that have `arrived` may have waited for these. Raises
    StoreUnavailable.
    """
    children = read_all(store, place, Call, "parent_id", arrived)
    wanted = sorted({*call_ids, *(child.id for child in children)})
    for first in range(0, len(wanted), PART):
        _project_part(store, place, wanted[first : first + PART])


def _project_part(store: Store, place: Place, call_ids: Sequence[str]) -> None:
    left = list(call_ids)
    for _ in range(ATTEMPTS):
        calls = list(store.find_documents(Call, place.entity, place.project, left))
        facts = read_predictions(
            store, place, [call for call in calls if op_of(call) in PREDICT_AND_SCORE]
        )
        outside = read_outside(store, place, calls)
        loose = [CallFacts(call) for call, _ in outside.values()]
        _store_marked(store, place, [each for each in loose if each.marked_model is not None])
        judged = read_judged(store, place, {*left} - {call.id for call in calls if call.start_json})
        runs = [call for call in calls if op_of(call) == EVALUATE]
        store.upsert_documents([_run(place, CallFacts(call)) for call in runs], _replace_run)
        is_stored = [
            _store_facts(store, place, facts),
            _store_outside(store, place, outside),
            _store_judged(store, place, judged),
        ]
        if all(is_stored):
            # Others may have stored more, and projected it before the older state was stored here.
            seen = versions_of({call.id: [call] for call in runs})
            seen |= versions_of(
                {name: [call, *feedback] for name, (call, feedback) in outside.items()}
            )
            seen |= versions_of({each.id: each.documents for each in facts})
            seen |= versions_of({each.id: each.documents for each in judged})
            now = read_versions(
                store, place, [call.id for call in runs], list(outside), [each.id for each in facts]
            )
            again = read_judged(store, place, [each.id for each in judged])
            now |= versions_of({each.id: each.documents for each in again})
            left = [call_id for call_id in seen if now.get(call_id) != seen[call_id]]
            left += _with_new_rows(store, place, facts)
        if not left:
            return
    raise StoreUnavailable("others keep changing the same scores")


def project_rows(store: Store, place: Place, digests: Sequence[str]) -> None:
    """Give the predictions that await rows their inputs. Raises StoreUnavailable."""
    waiting = read_all(store, place, Prediction, "awaited_row", digests)
    project(store, place, {each.predict_and_score_call_id for each in waiting})


def _with_new_rows(store: Store, place: Place, facts: Sequence[PredictionFacts]) -> list[str]:
    """Return the ids of predictions whose rows have arrived since they were read."""
    awaited = [each.awaited_row for each in facts if each.awaited_row]
    rows = read_rows(store, place, awaited)
    return [each.id for each in facts if each.awaited_row in rows]


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
        evaluation=text_of(call.inputs.text("self")) or "",
        model=text_of(call.inputs.text("model")) or "",
        status=status,
        started_at=call.call.started_at or call.call.created_at,
        finished_at=call.call.ended_at,
        name=call.text("display_name") or None,
        attributes_json=text_or_none(attributes or None),
        summary_json=jsontext.write(output) if isinstance(output, dict) else None,
    )
    return _hashed(sent)


def _replace_prediction(stored: Prediction, sent: Prediction) -> Prediction:
    """Return what was sent in place of a stored prediction, except for what `finish` changes."""
    is_foreign = stored.wb_user_id != sent.wb_user_id
    if stored.body_hash == sent.body_hash or is_foreign:
        return stored
    return replace(sent, sort_id=stored.sort_id, ended_at=stored.ended_at)


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
    return replace(document, body_hash=hash_of(jsontext.write(encode(document))))


# Predictions


def _store_facts(store: Store, place: Place, facts: Sequence[PredictionFacts]) -> bool:
    """Store predictions and their scores; return False if others have changed a source."""
    scores = {each.id: each.scores() for each in facts}
    ready = [each for each in facts if each.has_ended or (scores[each.id] and each.predict)]
    ids = _decide_ids(store, place, ready)
    known = read_hashes(store, place, Prediction, list(ids.values()))
    news = [each for each in ready if known.get(ids[each.id]) != _hash_of_sources(each)]
    store.upsert_documents(
        [_prediction(place, each, ids[each.id]) for each in news], _replace_prediction
    )
    return _add_scores(
        store,
        place,
        [
            (
                source_key(each.id, name, annotator),
                ids[each.id],
                each.call.call.parent_id,
                judgements,
            )
            for each in ready
            for (name, annotator), judgements in scores[each.id].items()
        ],
        [feedback for each in ready for feedback in each.feedback],
    )


def _decide_ids(store: Store, place: Place, facts: Sequence[PredictionFacts]) -> dict[str, str]:
    """Return the id of each prediction by the id of its call; the first decision is kept."""
    decisions = [
        ScoreSource(
            entity=place.entity,
            project=place.project,
            id=source_key(each.id),
            body_hash="",
            evaluation_run_id=each.call.call.parent_id,
            prediction_id=each.predict.call.id if each.predict else each.id,
            score_id="",
        )
        for each in facts
    ]
    kept = store.upsert_documents(decisions, lambda stored, _sent: stored)
    return {each.id: source.prediction_id for each, source in zip(facts, kept, strict=True)}


def source_key(*parts: str) -> str:
    """Return the key of a source; a JSON list, because ids and names may have any characters."""
    return jsontext.write(parts)


def _hash_of_sources(facts: PredictionFacts) -> str:
    """Return a hash that changes with all that `_prediction` reads, without reading it.

    A prediction may have many megabytes, and each small feedback on it comes here.
    """
    calls = [each.call for each in (facts.call, facts.predict) if each]
    sources = [(each.id, each.body_hash) for each in calls]
    return hash_of(jsontext.write([sources, facts.awaited_row]))


def _prediction(place: Place, facts: PredictionFacts, prediction_id: str) -> Prediction:
    predict = facts.predict
    timed = predict.call if predict and not facts.is_imperative else None
    example = facts.row_digest or example_key(None, facts.inline_example)
    usage = predict.object("summary").get("usage") if predict else None
    return Prediction(
        id=prediction_id,
        entity=place.entity,
        project=place.project,
        wb_user_id=facts.call.call.wb_user_id,
        body_hash=_hash_of_sources(facts),
        predict_and_score_call_id=facts.id,
        evaluation_run_id=facts.call.call.parent_id,
        model=facts.model,
        inputs_json=facts.row_json or jsontext.write(facts.inline_example),
        awaited_row=facts.awaited_row,
        output_json=jsontext.write(facts.output),
        example_id=example,
        example_key=example,
        error=facts.error,
        started_at=timed.started_at if timed else None,
        finished_at=timed.ended_at if timed else None,
        usage_json=jsontext.write(usage) if isinstance(usage, dict) else None,
    )


# Scores

Wanted = tuple[str, str, str | None, Sequence[Judgement]]
"""The key of a source, the ids of its prediction and of the run, and the judgements in order."""


def _add_scores(
    store: Store, place: Place, wanted: Sequence[Wanted], feedback: Sequence[Feedback]
) -> bool:
    """Add the scores of judgements that have made none yet.

    `feedback` no longer waits for its calls. Returns False if others have changed a source.
    """
    keys = [key for key, *_ in wanted]
    stored = {
        each.id: each
        for each in store.find_documents(ScoreSource, place.entity, place.project, keys)
    }
    new = []
    for key, prediction_id, run_id, judgements in wanted:
        known = stored.get(key)
        for judgement in _news(judgements, known):
            source = ScoreSource(
                entity=place.entity,
                project=place.project,
                id=key,
                body_hash=judgement.hash,
                evaluation_run_id=run_id,
                prediction_id=prediction_id,
                score_id="",
            )
            if len(judgements) > 1:
                source = _with_judgements(source, judgements)
            made = _score(place, prediction_id, run_id, judgement)
            new.append(Projected(made, source, known.body_hash if known else None))
    return store.add_projected(new, [each for each in feedback if each.awaited_call])


def _news(judgements: Sequence[Judgement], source: ScoreSource | None) -> list[Judgement]:
    """Return the judgements that have made no score and differ from the one before."""
    known: dict[str | None, str] = {}
    newest = source.body_hash if source else ""
    if source and source.judgements_json:
        known = jsontext.read(source.judgements_json.encode())
        newest = known.pop("")
    elif first := next((each for each in judgements if newest in each.hashes), None):
        known = {first.id: newest}
    news = []
    for each in judgements:
        is_known = any(known.get(name) in each.hashes for name in (each.id, each.call_id))
        if not is_known and newest not in each.hashes:
            news.append(each)
            newest = each.hash
    return news


def _with_judgements(source: ScoreSource, judgements: Sequence[Judgement]) -> ScoreSource:
    """Return a source that knows several judgements, with a hash that changes with each."""
    hashes = {each.id: each.hash for each in judgements}
    judgements_json = jsontext.write({**hashes, "": source.body_hash})
    return replace(source, body_hash=hash_of(judgements_json), judgements_json=judgements_json)


def _score(place: Place, prediction_id: str, run_id: str | None, judgement: Judgement) -> Score:
    body = {
        "prediction_id": prediction_id,
        "scorer": judgement.scorer,
        "value": judgement.value,
        "evaluation_run_id": run_id,
        "reason": judgement.reason,
        "error": judgement.error,
        "annotator": judgement.annotator,
    }
    made = new_score(place.entity, place.project, judgement.owner, body, NO_RETRY)
    return replace(made, scorer_name=judgement.name, retry_hash=FROM_CALLS)


def _store_marked(store: Store, place: Place, calls: Sequence[CallFacts]) -> None:
    """Store the predictions of calls that are marked as such, outside of evaluations."""
    decisions = [
        ScoreSource(
            entity=place.entity,
            project=place.project,
            id=source_key(each.call.id),
            body_hash="",
            prediction_id=each.call.id,
            score_id="",
        )
        for each in calls
    ]
    store.upsert_documents(decisions, lambda stored, _sent: stored)
    store.upsert_documents([_marked(place, each) for each in calls], _replace_prediction)


def _marked(place: Place, facts: CallFacts) -> Prediction:
    inputs = facts.inputs.get("inputs")
    given = inputs if isinstance(inputs, dict) else {}
    usage = facts.object("summary").get("usage")
    return Prediction(
        id=facts.call.id,
        entity=place.entity,
        project=place.project,
        wb_user_id=facts.call.wb_user_id,
        body_hash=facts.call.body_hash,
        predict_and_score_call_id=facts.call.id,
        model=facts.marked_model or "",
        inputs_json=jsontext.write(given),
        output_json=jsontext.write(facts.output),
        example_key=example_key(None, given),
        error=facts.error,
        started_at=facts.call.started_at,
        finished_at=facts.call.ended_at,
        usage_json=jsontext.write(usage) if isinstance(usage, dict) else None,
    )


def _store_judged(store: Store, place: Place, judged: Sequence[JudgedPrediction]) -> bool:
    """Add the scores of predictions that have no stored call."""
    return _add_scores(
        store,
        place,
        [
            (source_key(each.id, name, annotator), each.id, each.evaluation_run_id, judgements)
            for each in judged
            for (name, annotator), judgements in each.scores().items()
        ],
        [feedback for each in judged for feedback in each.feedback],
    )


def _store_outside(
    store: Store, place: Place, outside: Mapping[str, tuple[Call, list[Feedback]]]
) -> bool:
    """Add the scores that feedback says of calls outside of evaluations."""
    wanted: list[Wanted] = []
    settled: list[Feedback] = []
    for call_id, (call, feedback) in outside.items():
        settled += feedback
        for (name, annotator), judgements in by_scorer(scores_of(feedback)).items():
            by_source = defaultdict(list)
            for each in judgements_of(call.wb_user_id, [], judgements, None):
                by_source[source_key(call_id, name, annotator, each.call_id or "")].append(each)
            wanted += [(key, call_id, None, each) for key, each in by_source.items()]
    return _add_scores(store, place, wanted, settled)
