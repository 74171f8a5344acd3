"""The shapes of Weave's score resource, and of what Scoreline adds to it."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app import jsontext
from app.schemas.datetimes import Datetime
from app.schemas.fields import Anything, Pattern, Query, Shape, Text, WeaveQuery
from app.schemas.query_fields import Flag, Number, TextList, WholeNumber
from app.stores.base import Score

SCORE_ID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
IDEMPOTENCY_KEY = "^[!-~]{1,255}$"
MOST_DELETED = 1_000


class ScoreCreateBody(Shape):
    """What a client sends to keep one score; entity and project come from the path."""

    prediction_id = Text(required=True, metadata={"description": "What was judged."})
    scorer = Text(
        required=True,
        metadata={"description": "What judged, normally weave:///entity/project/object/Name:hash."},
    )
    value = Anything(
        required=True, allow_none=True, metadata={"description": "The scorer's raw output."}
    )
    evaluation_run_id = Text(
        load_default=None,
        metadata={"description": "The evaluation run that the prediction is part of, if any."},
    )


class ScoreCreateBatchItem(ScoreCreateBody):
    """One score of a batch."""

    idempotency_key = Pattern(
        IDEMPOTENCY_KEY,
        load_default=None,
        metadata={"description": "The same key with the same score is stored once."},
    )


class ScoreCreateRes(Shape):
    """What a client is told when its score is stored."""

    score_id = Text(required=True, metadata={"description": "The new score's id, a UUIDv7."})

    def dumps(self, obj: dict[str, str], *_: Any, **__: Any) -> str:
        """JSON text; an id needs no escaping."""
        return f'{{"score_id":"{obj["score_id"]}"}}'


class ScoreReadRes(Shape):
    """One stored score."""

    score_id = Text(required=True, metadata={"description": "The score's id, a UUIDv7."})
    scorer = Text(required=True, metadata={"description": "What judged."})
    value = Anything(required=True, metadata={"description": "The scorer's raw output, as sent."})
    evaluation_run_id = Text(
        required=True,
        allow_none=True,
        metadata={"description": "The evaluation run that the prediction is part of, if any."},
    )
    wb_user_id = Text(
        required=True,
        allow_none=True,
        metadata={"description": "The owner of the API key that the score was sent with."},
    )
    prediction_id = Text(required=True, metadata={"description": "What was judged."})
    created_at = Text(
        required=True,
        metadata={"description": "When it was taken, UTC in ISO 8601.", "format": "date-time"},
    )

    def dumps(self, obj: Score, *_: Any, **__: Any) -> str:
        """JSON text of one score; its value is the stored text itself, never read and rewritten."""
        write = jsontext.write
        created_at = obj.created_at.isoformat(timespec="milliseconds")
        return (
            f'{{"score_id":"{obj.score_id}","scorer":{write(obj.scorer)},'
            f'"value":{obj.value_json},"evaluation_run_id":{write(obj.evaluation_run_id)},'
            f'"wb_user_id":{write(obj.wb_user_id)},"prediction_id":{write(obj.prediction_id)},'
            f'"created_at":"{created_at.removesuffix("+00:00")}Z"}}'
        )


class ScoreFilters(Query):
    """Which scores of a project; an empty text means no filter."""

    evaluation_run_id = Text(
        load_default=None, metadata={"description": "Only scores of this evaluation run."}
    )
    prediction_id = Text(
        load_default=None, metadata={"description": "Only scores of this prediction."}
    )
    scorer = Text(load_default=None, metadata={"description": "Only scores by this scorer."})
    created_at_from = Datetime(
        load_default=None, metadata={"description": "Only scores created at this moment or later."}
    )
    created_at_to = Datetime(
        load_default=None, metadata={"description": "Only scores created earlier than this."}
    )
    created_after = Datetime(
        load_default=None,
        metadata={"description": "Only scores created later than this, itself left out."},
    )
    created_before = Datetime(
        load_default=None, metadata={"description": "Only scores created earlier than this."}
    )


class ScoreSelection(ScoreFilters):
    """Which part of the scores that pass the filters."""

    limit = WholeNumber(
        least=0, load_default=None, metadata={"description": "At most so many; all by default."}
    )
    offset = WholeNumber(
        least=0, load_default=None, metadata={"description": "Skip so many, the oldest first."}
    )
    after = Pattern(
        SCORE_ID,
        load_default=None,
        metadata={"description": "Only what follows this score_id, from a Link header."},
    )


class ScoreListQuery(WeaveQuery, ScoreSelection):
    """Which scores to list."""


class ScoreChangesQuery(Query):
    """Where to go on with following a project's scores, and how long to wait for one."""

    cursor = Text(
        load_default=None,
        metadata={
            "description": "The header `Scoreline-Cursor` of the call before, or `start` for the "
            "beginning; from now on without it."
        },
    )
    limit = WholeNumber(
        least=1, most=1_000, load_default=1_000, metadata={"description": "At most so many."}
    )
    wait = Number(
        least=0,
        most=30,
        load_default=0.0,
        metadata={"description": "Seconds to wait for a score where there is none."},
    )


class ScoreDeleteQuery(WeaveQuery):
    """Which scores to delete."""

    score_ids = TextList(
        most=MOST_DELETED,
        required=True,
        metadata={"description": f"Repeated, at most {MOST_DELETED} times."},
    )


class ScoreDeleteRes(Shape):
    """How many scores were deleted."""

    num_deleted = fields.Integer(
        required=True, metadata={"description": "How many of them were there."}
    )


class ScoreBatchQuery(Query):
    """How a batch that is not all valid is taken."""

    takes_last = True
    keep_valid = Flag(
        data_key="partial",
        load_default=False,
        metadata={"description": "Keep the valid scores; otherwise all are kept or none."},
    )


class ScoreBatchBody(Shape):
    """Many scores at once."""

    scores = fields.List(
        fields.Nested(ScoreCreateBatchItem),
        required=True,
        metadata={"description": "At most 10,000 scores."},
    )


class ScoreBatchResult(Shape):
    """What became of one score of a partial batch."""

    score_id = Text(metadata={"description": "Its id, when it is stored."})
    detail = fields.List(fields.Dict(), metadata={"description": "Its errors, when it is refused."})


class ScoreBatchRes(Shape):
    """What became of a batch, in the order sent."""

    score_ids = fields.List(Text(), metadata={"description": "The new ids, without `partial`."})
    results = fields.List(
        fields.Nested(ScoreBatchResult), metadata={"description": "Each result, with `partial`."}
    )
    num_created = fields.Integer(required=True, metadata={"description": "How many are stored."})
    num_replayed = fields.Integer(
        metadata={"description": "How many of them an earlier call stored, with `partial`."}
    )
    num_failed = fields.Integer(metadata={"description": "How many are refused, with `partial`."})
