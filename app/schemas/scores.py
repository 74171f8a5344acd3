"""Schemas of scores: create, read, list, delete, batches and changes."""

from __future__ import annotations

from typing import Any, NamedTuple

from marshmallow import ValidationError, fields, post_load

from app import jsontext
from app.schemas.fields import (
    Anything,
    Choice,
    Datetime,
    JsonObject,
    Pattern,
    Query,
    Reason,
    Shape,
    Text,
    WeaveQuery,
)
from app.schemas.query_fields import ConditionText, Flag, Number, TextList, WholeNumber
from app.stores.model import Score

SCORE_ID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
IDEMPOTENCY_KEY = "^[!-~]{1,255}$"
MAX_DELETED = 1_000
MAX_CONDITIONS = 20


class ScoreCreateBody(Shape):
    """The body that creates a score; entity and project are in the path."""

    prediction_id = Text(required=True, metadata={"description": "The prediction that was scored."})
    scorer = Text(
        required=True,
        metadata={"description": "The scorer, usually weave:///entity/project/object/Name:digest."},
    )
    value = Anything(
        required=True, allow_none=True, metadata={"description": "The scorer's output, any JSON."}
    )
    evaluation_run_id = Text(
        load_default=None,
        metadata={"description": "The evaluation run of the prediction, if any."},
    )


ERROR_AND_VALUE = Reason(
    "value_error", "Value error, a score with an error has the value null", {"error": {}}
)


class ScoreBody(ScoreCreateBody):
    """The body that creates a score, with the fields that Scoreline adds to Weave's."""

    reason = Text(load_default=None, metadata={"description": "Why the scorer gave this value."})
    error = Text(
        load_default=None,
        metadata={"description": "Why the judgement failed; `value` is null then."},
    )
    metadata = JsonObject(
        load_default=None, metadata={"description": "Any other data about the score."}
    )
    annotator = Text(
        load_default=None, metadata={"description": "The person who judged, if one did."}
    )

    @post_load
    def _check_error(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Reject a score that has both an error and a value."""
        if loaded["error"] is not None and loaded["value"] is not None:
            raise ValidationError({"error": [ERROR_AND_VALUE]})
        return loaded


class ScoreBatchLine(ScoreBody):
    """One score of a batch: an element of its list, or one of its lines."""

    idempotency_key = Pattern(
        IDEMPOTENCY_KEY,
        load_default=None,
        metadata={"description": "A key with which this score is stored only once."},
    )


class ScoreCreateRes(Shape):
    """The response to creating a score."""

    score_id = Text(required=True, metadata={"description": "The id of the score, a UUIDv7."})

    def dumps(self, obj: dict[str, str], *_: Any, **__: Any) -> str:
        """Return the JSON text; an id needs no escaping."""
        return f'{{"score_id":"{obj["score_id"]}"}}'


class FoundScore(NamedTuple):
    """A score, and the id of the current score of its slot if that is another one."""

    score: Score
    superseded_by: str | None = None


class ScoreReadRes(Shape):
    """A stored score."""

    score_id = Text(required=True, metadata={"description": "The id of the score, a UUIDv7."})
    scorer = Text(required=True, metadata={"description": "The scorer."})
    value = Anything(required=True, metadata={"description": "The scorer's output, as sent."})
    evaluation_run_id = Text(
        required=True,
        allow_none=True,
        metadata={"description": "The evaluation run of the prediction, if any."},
    )
    wb_user_id = Text(
        required=True,
        allow_none=True,
        metadata={"description": "The owner of the API key that the score was sent with."},
    )
    prediction_id = Text(required=True, metadata={"description": "The prediction that was scored."})
    created_at = Text(
        required=True,
        metadata={
            "description": "When the score was created, in UTC and ISO 8601.",
            "format": "date-time",
        },
    )
    reason = Text(metadata={"description": "Why the scorer gave this value, if it was sent."})
    error = Text(metadata={"description": "Why the judgement failed, if it did."})
    metadata = JsonObject(
        metadata={"description": "Any other data about the score, if it was sent."}
    )
    annotator = Text(metadata={"description": "The person who judged, if one did."})
    superseded_by = Text(
        metadata={
            "description": "If this score is superseded, the current one of the same run, "
            "prediction, scorer's name and annotator."
        }
    )

    def dumps(self, obj: Any, *_: Any, **__: Any) -> str:
        """Return the JSON text of a Score or a FoundScore."""
        return score_text(*obj) if isinstance(obj, FoundScore) else score_text(obj)


def score_text(score: Score, superseded_by: str | None = None) -> str:
    """Return the JSON text of a score. Its value is the stored text, which is not parsed."""
    write = jsontext.write
    created_at = score.created_at.isoformat(timespec="milliseconds")
    superseding = f',"superseded_by":"{superseded_by}"' if superseded_by else ""
    return (
        f'{{"score_id":"{score.score_id}","scorer":{write(score.scorer)},'
        f'"value":{score.value_json},"evaluation_run_id":{write(score.evaluation_run_id)},'
        f'"wb_user_id":{write(score.wb_user_id)},"prediction_id":{write(score.prediction_id)},'
        f'"created_at":"{created_at.removesuffix("+00:00")}Z"{_extensions(score)}{superseding}}}'
    )


def _extensions(score: Score) -> str:
    """Return the JSON text of the extension fields of a score, each after a comma."""
    texts = {
        "reason": score.reason,
        "error": score.error,
        "metadata": score.metadata_json,
        "annotator": score.annotator,
    }
    return "".join(
        f',"{name}":{text if name == "metadata" else jsontext.write(text)}'
        for name, text in texts.items()
        if text is not None
    )


class ScoreFilters(Query):
    """The filters of a project's scores. An empty string is no filter."""

    evaluation_run_id = Text(
        load_default=None, metadata={"description": "Only scores of this evaluation run."}
    )
    prediction_id = Text(
        load_default=None, metadata={"description": "Only scores of this prediction."}
    )
    scorer = Text(load_default=None, metadata={"description": "Only scores by this scorer."})
    scorer_name = Text(
        load_default=None,
        metadata={"description": "Only scores by a scorer of this name, in any version."},
    )
    created_at_from = Datetime(
        load_default=None, metadata={"description": "Only scores created at or after this time."}
    )
    created_at_to = Datetime(
        load_default=None, metadata={"description": "Only scores created before this time."}
    )
    created_after = Datetime(
        load_default=None, metadata={"description": "Only scores created after this time."}
    )
    created_before = Datetime(
        load_default=None, metadata={"description": "Only scores created before this time."}
    )


class ScoreSelection(ScoreFilters):
    """The filters, and which part of the matching scores to return."""

    limit = WholeNumber(
        least=0,
        load_default=None,
        metadata={"description": "The most scores to return. Default: all."},
    )
    offset = WholeNumber(
        least=0,
        load_default=None,
        metadata={"description": "How many of the oldest scores to skip."},
    )
    after = Pattern(
        SCORE_ID,
        load_default=None,
        metadata={"description": "Only scores after this score_id, taken from a Link header."},
    )


class ScoreListQuery(WeaveQuery, ScoreSelection):
    """The query of a list of scores."""

    where = TextList(
        most=MAX_CONDITIONS,
        element=ConditionText(),
        load_default=list,
        metadata={
            "description": "Only scores with a leaf that fits, such as `accuracy.f1<0.5`; may be "
            f"repeated, at most {MAX_CONDITIONS} times, then all must fit."
        },
    )
    failed = Flag(
        load_default=None,
        metadata={"description": "Only judgements that failed or gave null, or only others."},
    )
    reason_contains = Text(
        load_default="",
        metadata={"description": "Only scores with this text in their reason, in any case."},
    )
    sort_by = Text(
        load_default=None,
        metadata={"description": "The leaf to sort by. Default: the time of creation."},
    )
    order = Choice(
        ("asc", "desc"),
        load_default="asc",
        metadata={"description": "Ascending or descending: oldest or newest first."},
    )
    current = Flag(
        load_default=False,
        metadata={"description": "Leave superseded scores out. Default: list every score."},
    )


REPEATS = ("current", "all")


def repeats(default: str | None = REPEATS[0]) -> Choice:
    """Return the parameter that says whether superseded scores count."""
    description = "`all` counts superseded scores too. Default: only current ones."
    return Choice(REPEATS, load_default=default, metadata={"description": description})


def repeats_res() -> Text:
    """Return the field of a response that says whether superseded scores count."""
    return Text(
        required=True,
        metadata={"description": "Which scores count: `current` or `all`.", "enum": REPEATS},
    )


class ScoreChangesQuery(Query):
    """The query that follows new scores: the position, and how long to wait."""

    cursor = Text(
        load_default=None,
        metadata={
            "description": "The header `Scoreline-Cursor` of the previous response, or `start` for "
            "all scores. Default: only scores from now on."
        },
    )
    limit = WholeNumber(
        least=1,
        most=1_000,
        load_default=1_000,
        metadata={"description": "The most scores to return."},
    )
    wait = Number(
        least=0,
        most=30,
        load_default=0.0,
        metadata={"description": "How many seconds to wait for a score if there is none yet."},
    )


class ScoreDeleteQuery(WeaveQuery):
    """The query that deletes scores."""

    score_ids = TextList(
        most=MAX_DELETED,
        required=True,
        metadata={"description": f"The ids of the scores, at most {MAX_DELETED}."},
    )


class ScoreDeleteRes(Shape):
    """The response to deleting scores."""

    num_deleted = fields.Integer(
        required=True, metadata={"description": "How many scores existed and were deleted."}
    )


class BatchQuery(Query):
    """The query of a batch of scores or predictions."""

    takes_last = True
    keep_valid = Flag(
        data_key="partial",
        load_default=False,
        metadata={"description": "Store the valid ones. Default: all or none."},
    )


class ScoreBatchBody(Shape):
    """The body that creates a batch of scores."""

    scores = fields.List(
        fields.Nested(ScoreBatchLine),
        required=True,
        metadata={"description": "At most 10,000 scores."},
    )


class ScoreBatchResult(Shape):
    """The result of one score: its id or its errors."""

    score_id = Text(metadata={"description": "The id of the score, if it is stored."})
    detail = fields.List(
        fields.Dict(), metadata={"description": "The errors, if the score is rejected."}
    )


class ScoreBatchRes(Shape):
    """The response to creating a batch; with `partial` it has a result for each score."""

    score_ids = fields.List(
        Text(), metadata={"description": "The ids in the order sent, without `partial`."}
    )
    results = fields.List(
        fields.Nested(ScoreBatchResult),
        metadata={"description": "The results in the order sent, with `partial`."},
    )
    num_created = fields.Integer(
        required=True, metadata={"description": "How many scores are stored."}
    )
    num_replayed = fields.Integer(
        metadata={"description": "How many of them an earlier call stored, with `partial`."}
    )
    num_failed = fields.Integer(
        metadata={"description": "How many scores are rejected, with `partial`."}
    )
