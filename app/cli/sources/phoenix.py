"""Phoenix: annotations of spans, documents, traces and sessions, of its API and its dataframes."""

from __future__ import annotations

from typing import Any

from app.cli.sources.rows import Row
from app.cli.sources.scores import Fields, Origin, Unmappable, moment_of, score_of


def scores_of(row: Row, origin: Origin) -> list[dict[str, Any]]:
    """The one score that an annotation is. Raises Unmappable."""
    fields = Fields(row.content, is_text=row.is_text)
    name, by = fields.need("name", "annotation_name"), fields.text("annotator_kind")
    judged = fields.need("span_id", "context.span_id", "trace_id", "context.trace_id", "session_id")
    position = fields.text("document_position")
    prediction_id = judged if position is None else f"{judged}:{position}"
    # An annotation without an id is known by what Phoenix itself replaces it by.
    identity = (name, by, prediction_id, fields.text("identifier"))
    return [
        score_of(
            origin,
            fields.text("id") or repr(identity),
            moment_of(fields, origin, "created_at"),
            name=name,
            by=by,
            prediction_id=prediction_id,
            value=_value(fields),
            run=None,
        )
    ]


def _value(fields: Fields) -> dict[str, Any] | None:
    """Score, label and explanation, those that are there; null without score and label."""
    result = fields.json("result")
    if result is not None:
        fields = Fields(result)
    score = fields.number("score", "result.score")
    texts = {name: fields.get(name, f"result.{name}") for name in ("label", "explanation")}
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise Unmappable(f"{name} is no text")
    if score is None and texts["label"] is None:
        return None
    value = {"score": score, **texts}
    return {name: part for name, part in value.items() if part is not None}
