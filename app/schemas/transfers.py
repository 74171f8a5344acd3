"""Schemas of exports and imports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import ValidationError, fields, post_load

from app.schemas.fields import Choice, PastDatetime, Pattern, Reason, Shape
from app.schemas.query_fields import TextList
from app.schemas.scores import ScoreBatchResult, ScoreBody, ScoreSelection

UUID_V7 = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
OTHER_TIME = Reason("score_id_time", "Input should begin with the milliseconds of created_at")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class ScoreImportLine(ScoreBody):
    """One score of an import: an element of its list, or a line of an export."""

    score_id = Pattern(
        UUID_V7,
        required=True,
        metadata={
            "description": "The id of the score; its first 48 bits are created_at in milliseconds."
        },
    )
    created_at = PastDatetime(
        required=True,
        metadata={"description": "When the score was created, with a time zone."},
    )

    @post_load
    def _check_time(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Round created_at down to milliseconds, and reject it if it differs from the id's time."""
        milliseconds = (loaded["created_at"] - _EPOCH) // _MILLISECOND
        if milliseconds != int(loaded["score_id"].replace("-", "")[:12], 16):
            raise ValidationError({"score_id": [OTHER_TIME]})
        return {**loaded, "created_at": _EPOCH + milliseconds * _MILLISECOND}


class ScoreImportBody(Shape):
    """The body that imports scores."""

    scores = fields.List(
        fields.Nested(ScoreImportLine),
        required=True,
        metadata={"description": "At most 10,000 scores."},
    )


class ScoreImportRes(Shape):
    """The response to an import."""

    num_created = fields.Integer(
        required=True, metadata={"description": "How many scores are new."}
    )
    num_present = fields.Integer(
        required=True, metadata={"description": "How many equal scores already existed."}
    )
    num_failed = fields.Integer(
        required=True, metadata={"description": "How many scores are rejected."}
    )
    results = fields.List(
        fields.Nested(ScoreBatchResult),
        required=True,
        metadata={"description": "The results in the order sent."},
    )


FORMATS = ("jsonl", "csv", "parquet")
MAX_COLUMNS = 1_000
"""The most leaves that an export has columns for."""


class ScoreExportQuery(ScoreSelection):
    """The query of an export."""

    format = Choice(
        FORMATS,
        load_default="jsonl",
        metadata={"description": "The format of the file. Default: jsonl."},
    )
    columns = TextList(
        most=MAX_COLUMNS,
        load_default=None,
        metadata={
            "description": "The paths of the leaves to write as columns, for csv and parquet. "
            "Default: all."
        },
    )
