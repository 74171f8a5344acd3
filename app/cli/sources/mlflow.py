"""MLflow: feedback on traces, alone or with the traces, and tables of evaluation results."""

from __future__ import annotations

import re
from typing import Any

from app.cli.sources.rows import Row
from app.cli.sources.scores import Fields, Origin, Unmappable, moment_of, score_of

_METRIC = re.compile(r"(?P<name>.+?)(?:/v[0-9]+)?/(?:score|value)")
"""A column of a table that holds a metric's value in each row: `toxicity/v1/score`."""

SOURCE_RUN = "mlflow.assessment.sourceRunId"
"""Where an assessment's metadata names the evaluation run that it was made in."""


def scores_of(row: Row, origin: Origin) -> list[dict[str, Any]]:
    """The scores of an assessment, of a trace with its assessments, or of a table's row.

    Of a trace, expectations and what was replaced are passed over. Raises Unmappable, when any of
    the others is no score.
    """
    fields = Fields(row.content, is_text=row.is_text)
    info = fields.json("info")
    trace = Fields(info) if isinstance(info, dict) else fields
    assessments = trace.json("assessments")
    trace_id = trace.text("trace_id", "request_id", "client_request_id")
    if isinstance(assessments, list):
        feedback = [each for each in map(Fields, assessments) if not _why_none(each)]
        return [_assessed(each, trace_id, origin) for each in feedback]
    if fields.get("feedback", "expectation", "assessment_id", "assessment_name") is not None:
        return [_assessed(fields, trace_id, origin)]
    return _measured(fields, row.number, origin)


def _assessed(fields: Fields, trace_id: str | None, origin: Origin) -> dict[str, Any]:
    if why := _why_none(fields):
        raise Unmappable(why)
    trace_id = fields.text("trace_id") or trace_id
    if trace_id is None:
        raise Unmappable("no trace_id")
    span_id = fields.text("span_id")
    metadata = fields.json("metadata")
    run = metadata.get(SOURCE_RUN) if isinstance(metadata, dict) else None
    source = fields.json("source")
    return score_of(
        origin,
        fields.need("assessment_id"),
        moment_of(fields, origin, "create_time", "create_time_ms"),
        name=fields.need("assessment_name", "name"),
        by=Fields(source).text("source_type") if isinstance(source, dict) else None,
        prediction_id=f"{trace_id}/{span_id}" if span_id else trace_id,
        value=_value(fields),
        run=fields.text("run_id") or run,
    )


def _why_none(fields: Fields) -> str | None:
    """Why an assessment is no judgement, where it is none by its nature."""
    if fields.get("expectation") is not None:
        return "an expectation says what should be: it is no judgement"
    return "a later assessment has taken its place" if fields.json("valid") is False else None


def _value(fields: Fields) -> Any:
    """What the feedback says; null where judging failed."""
    feedback = fields.json("feedback")
    if fields.get("error") is not None:
        return None
    if not isinstance(feedback, dict) or not feedback:
        raise Unmappable("neither feedback nor an error")
    return None if feedback.get("error") is not None else feedback.get("value")


def _measured(fields: Fields, number: int, origin: Origin) -> list[dict[str, Any]]:
    """A score for each metric of a table's row, which has no id and no time of its own."""
    metrics = {
        column: match["name"]
        for column in map(str, fields.content)
        if (match := _METRIC.fullmatch(column))
    }
    if not metrics:
        raise Unmappable("neither an assessment nor a column that ends in /score or /value")
    run = fields.text("run_id") or origin.run
    prediction_id = fields.text("trace_id", "request_id")
    if prediction_id is None:
        if run is None:
            raise Unmappable("no trace_id, request_id or run_id: --run says whose row it is")
        prediction_id = f"{run}/{number}"
    return [
        score_of(
            origin,
            repr((run, prediction_id, column)),
            moment_of(fields, origin, "timestamp", "request_time", "timestamp_ms"),
            name=name,
            by=None,
            prediction_id=prediction_id,
            value=fields.json(column),
            run=run,
        )
        for column, name in metrics.items()
    ]
