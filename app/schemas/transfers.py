"""The shapes of exports and imports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import ValidationError, fields, post_load

from app.schemas.datetimes import PastDatetime
from app.schemas.fields import Choice, Pattern, Reason, Shape
from app.schemas.query_fields import TextList
from app.schemas.scores import ScoreBatchResult, ScoreCreateBody, ScoreSelection

UUID_V7 = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
OTHER_TIME = Reason("score_id_time", "Input should begin with the milliseconds of created_at")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class ScoreImportItem(ScoreCreateBody):
    """One score that was taken before: a line of an export."""

    score_id = Pattern(
        UUID_V7,
        required=True,
        metadata={"description": "Its id, whose first 48 bits are created_at's milliseconds."},
    )
    created_at = PastDatetime(
        required=True, metadata={"description": "When it was taken, with a time zone."}
    )

    @post_load
    def _as_fine_as_the_id(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Cut the time to milliseconds, and refuse another one than that of the id."""
        milliseconds = (loaded["created_at"] - _EPOCH) // _MILLISECOND
        if milliseconds != int(loaded["score_id"].replace("-", "")[:12], 16):
            raise ValidationError({"score_id": [OTHER_TIME]})
        return {**loaded, "created_at": _EPOCH + milliseconds * _MILLISECOND}


class ScoreImportBody(Shape):
    """Many scores that were taken before."""

    scores = fields.List(
        fields.Nested(ScoreImportItem),
        required=True,
        metadata={"description": "At most 10,000 scores."},
    )


class ScoreImportRes(Shape):
    """What became of an import."""

    num_created = fields.Integer(required=True, metadata={"description": "How many are new."})
    num_present = fields.Integer(
        required=True, metadata={"description": "How many were there already, the same."}
    )
    num_failed = fields.Integer(required=True, metadata={"description": "How many are refused."})
    results = fields.List(
        fields.Nested(ScoreBatchResult),
        required=True,
        metadata={"description": "Each result, in the order sent."},
    )


FORMATS = ("jsonl", "csv", "parquet")
MOST_COLUMNS = 1_000
"""How many leaves an export has columns for."""


class ScoreExportQuery(ScoreSelection):
    """Which scores to export, and how."""

    format = Choice(
        FORMATS, load_default="jsonl", metadata={"description": "What to write; jsonl by default."}
    )
    columns = TextList(
        most=MOST_COLUMNS,
        load_default=None,
        metadata={
            "description": "The leaves that have columns, by path, repeated; all by default. "
            "For csv and parquet."
        },
    )
