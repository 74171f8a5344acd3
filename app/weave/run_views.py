"""Runs, predictions and scores as the calls and feedback that Weave's own server makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from app import jsontext
from app.examples import digest_text, row_digest
from app.ids import id_time
from app.scorers import scorer_name
from app.stores.model import Document, EvaluationRun, Prediction, Score
from app.stores.weave import Call, Feedback
from app.weave.definitions import NO_SOURCE, op_value
from app.weave.facts import ANNOTATION, EVALUATE, RUNNABLE, parse

SUMMARIZE = "Evaluation.summarize"
PREDICT_AND_SCORE = "Evaluation.predict_and_score"
PREDICT, SCORE = ".predict", ".score"
"""What follows the name of a model or a scorer in the name of its op."""

SUMMARY = ":summarize"
"""What follows the id of a run in the id of the call that summarizes it."""

OP_DIGEST = row_digest(op_value(digest_text(NO_SOURCE.encode())))
"""The digest of an op without code, in the references of ops that nobody has published."""

write = jsontext.write


def calls_of_run(run: EvaluationRun) -> Iterator[Call]:
    """Yield the call that evaluates, and the one that summarizes if the run has ended."""
    ended_at = run.finished_at or (None if run.status == "running" else run.started_at)
    meta = {"evaluation_run": "true", "evaluation": run.evaluation, "model": run.model}
    if run.source_evaluation_run_id:
        meta["source_evaluation_run_id"] = run.source_evaluation_run_id
    summary = (run.summary_json or "{}") if ended_at else "null"
    yield _call(
        run,
        *(run.id, run.id, None, EVALUATE),
        *(run.started_at, ended_at),
        display_name=write(run.name),
        attributes=_attributes(run.attributes_json, meta),
        inputs=write({"self": run.evaluation, "model": run.model}),
        output=summary,
        summary=summary,
        exception=write("the run failed" if run.status == "failed" else None),
    )
    if ended_at:
        yield _call(
            run,
            *(f"{run.id}{SUMMARY}", run.id, run.id, SUMMARIZE),
            *(ended_at, ended_at),
            inputs=write({"self": run.evaluation}),
            output=summary,
        )


def calls_of_prediction(
    prediction: Prediction, evaluation: str | None, scores: Sequence[Score], *, whole: bool
) -> Iterator[Call]:
    """Yield the call that predicts and scores, if the prediction is in a run, and the model's.

    `evaluation` is that of the run. The calls have inputs, outputs and `scores` if they are to be
    `whole`.
    """
    run_id = prediction.evaluation_run_id or None
    began = prediction.started_at or prediction.created_at
    finished_at = max(began, prediction.finished_at or began)
    outer_id = prediction.predict_and_score_call_id if run_id else None
    if run_id and outer_id:
        ended_at = max(finished_at, prediction.ended_at or finished_at)
        call = _call(
            prediction,
            *(outer_id, run_id, run_id, PREDICT_AND_SCORE),
            *(began, ended_at),
        )
        yield replace(call, start_json=_outer(prediction, evaluation, scores)) if whole else call
    if outer_id == prediction.id:
        return  # The call of the model was never known.
    name = scorer_name(prediction.model)
    op = f"{'Model' if name == prediction.model else name}{PREDICT}"
    call = _call(
        prediction, prediction.id, run_id or prediction.id, outer_id, op, began, finished_at
    )
    yield replace(call, start_json=_inner(prediction)) if whole else call


def _outer(prediction: Prediction, evaluation: str | None, scores: Sequence[Score]) -> str:
    """Return the content of the call that predicts and scores."""
    latency = None
    if prediction.started_at and prediction.finished_at:
        seconds = (prediction.finished_at - prediction.started_at).total_seconds()
        latency = {"mean": max(0.0, seconds)}
    values = {
        each.scorer_name: each.value_json
        for each in scores
        if not each.annotator and each.value_json != "null"
    }
    return _object(
        attributes=write({"weave": {"predict_call_id": prediction.id}}),
        inputs=_object(
            self=write(evaluation), model=write(prediction.model), example=prediction.inputs_json
        ),
        output=_object(
            output=prediction.output_json, scores=_object(**values), model_latency=write(latency)
        ),
    )


def _inner(prediction: Prediction) -> str:
    """Return the content of the model's call."""
    meta = {"prediction": "true", "model": prediction.model}
    if prediction.evaluation_run_id:
        meta["evaluation_run_id"] = prediction.evaluation_run_id
    return _object(
        attributes=_attributes(prediction.metadata_json, meta),
        inputs=_object(self=write(prediction.model), inputs=prediction.inputs_json),
        output=prediction.output_json,
        exception=write(prediction.error),
        summary=_object(usage=prediction.usage_json) if prediction.usage_json else "null",
    )


def call_of_score(score: Score, prediction: Prediction | None, *, whole: bool) -> Call:
    """Return the scorer's call; its inputs are those of the stored prediction, if there is one."""
    run_id = score.evaluation_run_id or None
    parent_id = run_id
    if run_id and prediction and prediction.evaluation_run_id:
        parent_id = prediction.predict_and_score_call_id
    began = id_time(score.score_id)
    op = f"{score.scorer_name}{SCORE}"
    call = _call(score, score.score_id, run_id or score.score_id, parent_id, op, began, began)
    if not whole:
        return call
    meta = {"score": "true", "prediction_id": score.prediction_id, "scorer": score.scorer}
    if run_id:
        meta["evaluation_run_id"] = run_id
    content = _object(
        attributes=_attributes(score.metadata_json, meta),
        inputs=_object(
            self=write(score.scorer),
            inputs=prediction.inputs_json if prediction else "{}",
            output=prediction.output_json if prediction else "null",
        ),
        output=score.value_json,
        exception=write(score.error),
    )
    return replace(call, start_json=content)


def feedback_of_score(score: Score) -> Feedback:
    """Return a scorer's result, or a person's annotation, as feedback on the model's call."""
    is_human = bool(score.annotator)
    ref = score.scorer if score.scorer.startswith("weave:///") else None
    more = {name: text for name in ("reason", "error") if (text := getattr(score, name))}
    payload = {"value" if is_human else "output": score.value_json}
    payload |= {name: write(text) for name, text in more.items()}
    fields = {
        "payload": _object(**payload),
        "annotation_ref" if is_human else "runnable_ref": write(ref),
        "creator": write(score.annotator or None),
    }
    return Feedback(
        **_owner(score),
        id=score.score_id,
        call_id=score.prediction_id,
        weave_ref=(
            weave_ref := f"weave:///{score.entity}/{score.project}/call/{score.prediction_id}"
        ),
        feedback_type=(kind := f"{ANNOTATION if is_human else RUNNABLE}{score.scorer_name}"),
        body_json=_object(weave_ref=write(weave_ref), feedback_type=write(kind), **fields),
    )


def _call(
    document: Document | Score,
    call_id: str,
    trace_id: str,
    parent_id: str | None,
    op: str,
    started_at: datetime,
    ended_at: datetime | None,
    **content: str,
) -> Call:
    ref = f"weave:///{document.entity}/{document.project}/op/{quote(op, safe='')}:{OP_DIGEST}"
    return Call(
        **_owner(document),
        id=call_id,
        trace_id=trace_id,
        parent_id=parent_id,
        op_name=ref,
        started_at=started_at,
        ended_at=ended_at,
        start_json=_object(**content),
    )


def _owner(document: Document | Score) -> dict[str, Any]:
    return {
        "sort_id": document.sort_id,
        "entity": document.entity,
        "project": document.project,
        "wb_user_id": document.wb_user_id,
        "body_hash": "",
    }


def _attributes(given_json: str | None, meta: Mapping[str, str]) -> str:
    """Return attributes that were given, with those of Weave's server."""
    return write({**parse(given_json), "weave": meta})


def _object(**fields: str) -> str:
    """Return the text of a JSON object, from the texts of its fields."""
    return f"{{{','.join(f'{write(name)}:{text}' for name, text in fields.items())}}}"
