"""Schemas of exports and imports."""

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
    """One score to import: a line of an export."""

    score_id = Pattern(
        UUID_V7,
        required=True,
        metadata={
            "description": "The id, whose first 48 bits are the milliseconds of `created_at`."
        },
    )
    created_at = PastDatetime(
        required=True, metadata={"description": "The time of creation, with a time zone."}
    )

    @post_load
    def _truncate_to_milliseconds(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Truncate the time to milliseconds, and check that the id has the same time."""
        milliseconds = (loaded["created_at"] - _EPOCH) // _MILLISECOND
        if milliseconds != int(loaded["score_id"].replace("-", "")[:12], 16):
            raise ValidationError({"score_id": [OTHER_TIME]})
        return {**loaded, "created_at": _EPOCH + milliseconds * _MILLISECOND}


class ScoreImportBody(Shape):
    """Scores to import."""

    scores = fields.List(
        fields.Nested(ScoreImportItem),
        required=True,
        metadata={"description": "At most 10,000 scores."},
    )


class ScoreImportRes(Shape):
    """The results of an import."""

    num_created = fields.Integer(required=True, metadata={"description": "Scores that are new."})
    num_present = fields.Integer(
        required=True, metadata={"description": "Scores that were already stored, unchanged."}
    )
    num_failed = fields.Integer(
        required=True, metadata={"description": "Scores that were refused."}
    )
    results = fields.List(
        fields.Nested(ScoreBatchResult),
        required=True,
        metadata={"description": "One result for each score, in the order sent."},
    )


FORMATS = ("jsonl", "csv", "parquet")
MAX_COLUMNS = 1_000
"""The greatest number of leaves with a column in an export."""


class ScoreExportQuery(ScoreSelection):
    """The scores to export, and the format."""

    format = Choice(
        FORMATS,
        load_default="jsonl",
        metadata={"description": "The format of the file; `jsonl` by default."},
    )
    columns = TextList(
        most=MAX_COLUMNS,
        load_default=None,
        metadata={
            "description": "The path of a leaf that gets a column, in csv and parquet; repeatable. "
            "By default all leaves do."
        },
    )
