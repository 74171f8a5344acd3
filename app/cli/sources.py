"""Map the exports of Langfuse, Phoenix and MLflow to scores; docs/exports.md has the tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from app.cli.rows import Fields, Missing, Origin, Row, Unmappable, creation_time, make_score

_BOOLEANS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}

_METRIC = re.compile(r"(?P<metric>(?P<name>.+?)(?:/v[0-9]+)?)/(?:score|value)")
"""A column of an MLflow table that holds a metric, such as `toxicity/v1/score`."""

SOURCE_RUN = "mlflow.assessment.sourceRunId"
"""The key in an MLflow assessment's metadata that names its evaluation run."""


def langfuse_scores(row: Row, origin: Origin) -> list[dict[str, Any]]:
    """Return the score in a row of Langfuse's public API (v1 to v3) or of its score exports.

    Raises Unmappable.
    """
    fields = Fields(row.content, is_text=row.is_text)
    prediction_id = fields.text("observationId", "traceId", "sessionId")
    run, source = fields.text("datasetRunId"), fields.text("source")
    if prediction_id is None:
        if run:
            raise Unmappable("it scores a dataset run, not a prediction")
        raise Missing("no traceId")
    return [
        make_score(
            origin,
            fields.require("id"),
            creation_time(fields, origin, "timestamp", "createdAt"),
            name=fields.require("name"),
            kind=source,
            prediction_id=prediction_id,
            value=_langfuse_value(fields, fields.text("dataType") or "NUMERIC"),
            run=run,
            reason=fields.text("comment"),
            annotator=fields.text("authorUserId") if source == "ANNOTATION" else None,
        )
    ]


def _langfuse_value(fields: Fields, data_type: str) -> Any:
    """Return the value by its data type; a missing value is None."""
    if data_type == "NUMERIC":
        return fields.number("value")
    if data_type in ("CATEGORICAL", "TEXT"):
        return _langfuse_text(fields)
    if data_type == "BOOLEAN":
        return _langfuse_boolean(fields)
    raise Unmappable(f"dataType {data_type} is not a score")


def _langfuse_text(fields: Fields) -> str | None:
    """Return the text, which only API v3 has as `value`: v1 and v2 have a number or nothing there.

    Raises Unmappable.
    """
    text, value = fields.get("stringValue"), fields.get("value")
    if text is None and isinstance(value, str) and not fields.is_text:
        return value
    if text is not None and not isinstance(text, str):
        raise Unmappable("stringValue is not text")
    return text


def _langfuse_boolean(fields: Fields) -> bool | None:
    value = fields.get("value", "stringValue")
    if value is None:
        return None
    if str(value).lower() not in _BOOLEANS:
        raise Unmappable("value is not a boolean")
    return _BOOLEANS[str(value).lower()]


def phoenix_scores(row: Row, origin: Origin) -> list[dict[str, Any]]:
    """Return the score in a Phoenix annotation of a span, document, trace or session.

    Takes the rows of its API and of its dataframes. Raises Unmappable.
    """
    fields = Fields(row.content, is_text=row.is_text)
    name, kind = fields.require("name", "annotation_name"), fields.text("annotator_kind")
    subject = fields.require(
        "span_id", "context.span_id", "trace_id", "context.trace_id", "session_id"
    )
    position = fields.text("document_position")
    prediction_id = subject if position is None else f"{subject}:{position}"
    # Without an id, use the fields by which Phoenix itself finds the annotation to replace.
    identity = (name, kind, prediction_id, fields.text("identifier"))
    return [
        make_score(
            origin,
            fields.text("id") or repr(identity),
            creation_time(fields, origin, "created_at"),
            name=name,
            kind=kind,
            prediction_id=prediction_id,
            value=_phoenix_value(fields),
            run=None,
            reason=_phoenix_explanation(fields),
            annotator=fields.text("user_id") if kind == "HUMAN" else None,
        )
    ]


def _phoenix_value(fields: Fields) -> dict[str, Any] | None:
    """Return score, label and explanation without missing ones; None without score and label."""
    fields = _phoenix_result(fields)
    score = fields.number("score", "result.score")
    texts = {name: fields.get(name, f"result.{name}") for name in ("label", "explanation")}
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise Unmappable(f"{name} is not text")
    if score is None and texts["label"] is None:
        return None
    value = {"score": score, **texts}
    return {name: part for name, part in value.items() if part is not None}


def _phoenix_result(fields: Fields) -> Fields:
    """Return the fields of the annotation's result, which are columns in a dataframe."""
    result = fields.json("result")
    return fields if result is None else Fields(result)


def _phoenix_explanation(fields: Fields) -> str | None:
    """Return the explanation, also if there is neither a score nor a label."""
    explanation = _phoenix_result(fields).get("explanation", "result.explanation")
    return explanation if isinstance(explanation, str) else None


def mlflow_scores(row: Row, origin: Origin) -> list[dict[str, Any]]:
    """Return the scores of an MLflow assessment, a trace with assessments, or a row of a table.

    Expectations and replaced assessments of a trace are skipped. Raises Unmappable if any other
    assessment is not a score.
    """
    fields = Fields(row.content, is_text=row.is_text)
    info = fields.json("info")
    trace = Fields(info) if isinstance(info, dict) else fields
    assessments = trace.json("assessments")
    trace_id = trace.text("trace_id", "request_id", "client_request_id")
    if isinstance(assessments, list):
        feedback = [each for each in map(Fields, assessments) if not _why_not_feedback(each)]
        return [_mlflow_assessment(each, trace_id, origin) for each in feedback]
    if fields.get("feedback", "expectation", "assessment_id", "assessment_name") is not None:
        return [_mlflow_assessment(fields, trace_id, origin)]
    return _mlflow_metrics(fields, row.number, origin)


def _mlflow_assessment(fields: Fields, trace_id: str | None, origin: Origin) -> dict[str, Any]:
    if why := _why_not_feedback(fields):
        raise Unmappable(why)
    trace_id = fields.text("trace_id") or trace_id
    if trace_id is None:
        raise Unmappable("no trace_id")
    span_id = fields.text("span_id")
    metadata = fields.json("metadata")
    run = metadata.get(SOURCE_RUN) if isinstance(metadata, dict) else None
    source = fields.json("source")
    judge = Fields(source if isinstance(source, dict) else {})
    kind = judge.text("source_type")
    return make_score(
        origin,
        fields.require("assessment_id"),
        creation_time(fields, origin, "create_time", "create_time_ms"),
        name=fields.require("assessment_name", "name"),
        kind=kind,
        prediction_id=f"{trace_id}/{span_id}" if span_id else trace_id,
        value=_mlflow_value(fields),
        run=fields.text("run_id") or run,
        reason=fields.text("rationale"),
        error=_mlflow_error(fields),
        annotator=judge.text("source_id") if kind == "HUMAN" else None,
    )


def _why_not_feedback(fields: Fields) -> str | None:
    """Return why an assessment is not feedback, or None if it is."""
    if fields.get("expectation") is not None:
        return "it is an expectation, not feedback"
    return "it was replaced by a later assessment" if fields.json("valid") is False else None


def _mlflow_value(fields: Fields) -> Any:
    """Return the value of the feedback; None if it failed with an error."""
    feedback = fields.json("feedback")
    if fields.get("error") is not None:
        return None
    if not isinstance(feedback, dict) or not feedback:
        raise Unmappable("neither feedback nor an error")
    return None if feedback.get("error") is not None else feedback.get("value")


def _mlflow_error(fields: Fields) -> str | None:
    """Return the message or code of the error in a failed feedback, or None."""
    feedback = fields.json("feedback")
    error = fields.json("error")
    if error is None and isinstance(feedback, dict):
        error = feedback.get("error")
    if error is None or not isinstance(error, dict):
        return error if isinstance(error, str) else None
    return Fields(error).text("error_message", "error_code") or json.dumps(error)


def _mlflow_metrics(fields: Fields, number: int, origin: Origin) -> list[dict[str, Any]]:
    """Return a score for each metric in a row of a table, which has neither an id nor a time."""
    metrics = {
        column: match for column in map(str, fields.content) if (match := _METRIC.fullmatch(column))
    }
    if not metrics:
        raise Missing("neither an assessment nor a column that ends in /score or /value")
    run = fields.text("run_id") or origin.run
    prediction_id = fields.text("trace_id", "request_id")
    if prediction_id is None:
        if run is None:
            raise Unmappable("no trace_id, request_id or run_id; use --run to set the run")
        prediction_id = f"{run}/{number}"
    return [
        make_score(
            origin,
            repr((run, prediction_id, column)),
            creation_time(fields, origin, "timestamp", "request_time", "timestamp_ms"),
            name=match["name"],
            kind=None,
            prediction_id=prediction_id,
            value=fields.json(column),
            run=run,
            reason=fields.text(f"{match['metric']}/justification", f"{match['metric']}/rationale"),
        )
        for column, match in metrics.items()
    ]


SOURCES: Mapping[str, Callable[[Row, Origin], list[dict[str, Any]]]] = {
    "langfuse": langfuse_scores,
    "phoenix": phoenix_scores,
    "mlflow": mlflow_scores,
}
"""The mapping for each name that `scoreline import --from` takes."""
