"""Langfuse: scores of its public API (v1 to v3), and of the exports of its scores table."""

from __future__ import annotations

from typing import Any

from app.cli.sources.rows import Row
from app.cli.sources.scores import Fields, Origin, Unmappable, moment_of, score_of

_BOOLEANS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def scores_of(row: Row, origin: Origin) -> list[dict[str, Any]]:
    """The one score that a row is. Raises Unmappable."""
    fields = Fields(row.content, is_text=row.is_text)
    judged = fields.text("observationId", "traceId", "sessionId")
    run = fields.text("datasetRunId")
    if judged is None:
        raise Unmappable("it judges a dataset run, no prediction" if run else "no traceId")
    return [
        score_of(
            origin,
            fields.need("id"),
            moment_of(fields, origin, "timestamp", "createdAt"),
            name=fields.need("name"),
            by=fields.text("source"),
            prediction_id=judged,
            value=_value(fields, fields.text("dataType") or "NUMERIC"),
            run=run,
        )
    ]


def _value(fields: Fields, data_type: str) -> Any:
    """The value of its type; a value that is not there is null."""
    if data_type == "NUMERIC":
        return fields.number("value")
    if data_type in ("CATEGORICAL", "TEXT"):
        return _text(fields)
    if data_type == "BOOLEAN":
        return _boolean(fields)
    raise Unmappable(f"dataType {data_type} is no judgement")


def _text(fields: Fields) -> str | None:
    """API v3 has the text as `value`; before, a number stands there, or nothing."""
    text, value = fields.get("stringValue"), fields.get("value")
    if text is None and isinstance(value, str) and not fields.is_text:
        return value
    if text is not None and not isinstance(text, str):
        raise Unmappable("stringValue is no text")
    return text


def _boolean(fields: Fields) -> bool | None:
    value = fields.get("value", "stringValue")
    if value is None:
        return None
    if str(value).lower() not in _BOOLEANS:
        raise Unmappable("value is no boolean")
    return _BOOLEANS[str(value).lower()]
