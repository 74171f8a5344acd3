"""Schemas of scores: create, read, list, delete, batches and changes."""

from __future__ import annotations

from typing import Any, NamedTuple

from marshmallow import ValidationError, fields, post_load

from app import jsontext
from app.schemas.fields import (
    Anything,
    Choice,
    Count,
    Datetime,
    JsonObject,
    List,
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

    prediction_id = Text("The prediction that was scored.", required=True)
    scorer = Text("The scorer, usually weave:///entity/project/object/Name:digest.", required=True)
    value = Anything("The scorer's output, any JSON.", required=True, allow_none=True)
    evaluation_run_id = Text("The evaluation run of the prediction, if any.", load_default=None)


ERROR_AND_VALUE = Reason(
    "value_error", "Value error, a score with an error has the value null", {"error": {}}
)


class ScoreBody(ScoreCreateBody):
    """The body that creates a score, with the fields that Scoreline adds to Weave's."""

    reason = Text("Why the scorer gave this value.", load_default=None)
    error = Text("Why the judgement failed; `value` is null then.", load_default=None)
    metadata = JsonObject("Any other data about the score.", load_default=None)
    annotator = Text("The person who judged, if one did.", load_default=None)

    @post_load
    def _check_error(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Reject a score that has both an error and a value."""
        if loaded["error"] is not None and loaded["value"] is not None:
            raise ValidationError({"error": [ERROR_AND_VALUE]})
        return loaded


class ScoreBatchLine(ScoreBody):
    """One score of a batch: an element of its list, or one of its lines."""

    idempotency_key = Pattern(
        "A key with which this score is stored only once.", IDEMPOTENCY_KEY, load_default=None
    )


class ScoreCreateRes(Shape):
    """The response to creating a score."""

    score_id = Text("The id of the score, a UUIDv7.", required=True)

    def dumps(self, obj: dict[str, str], *_: Any, **__: Any) -> str:
        """Return the JSON text; an id needs no escaping."""
        return f'{{"score_id":"{obj["score_id"]}"}}'


class FoundScore(NamedTuple):
    """A score, and the id of the current score of its slot if that is another one."""

    score: Score
    superseded_by: str | None = None


class ScoreReadRes(Shape):
    """A stored score."""

    score_id = Text("The id of the score, a UUIDv7.", required=True)
    scorer = Text("The scorer.", required=True)
    value = Anything("The scorer's output, as sent.", required=True)
    evaluation_run_id = Text(
        "The evaluation run of the prediction, if any.", required=True, allow_none=True
    )
    wb_user_id = Text(
        "The owner of the API key that the score was sent with.", required=True, allow_none=True
    )
    prediction_id = Text("The prediction that was scored.", required=True)
    created_at = Text(
        "When the score was created, in UTC and ISO 8601.",
        required=True,
        metadata={"format": "date-time"},
    )
    reason = Text("Why the scorer gave this value, if it was sent.")
    error = Text("Why the judgement failed, if it did.")
    metadata = JsonObject("Any other data about the score, if it was sent.")
    annotator = Text("The person who judged, if one did.")
    superseded_by = Text(
        "If this score is superseded, the current one of the same run, "
        "prediction, scorer's name and annotator."
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

    evaluation_run_id = Text("Only scores of this evaluation run.", load_default=None)
    prediction_id = Text("Only scores of this prediction.", load_default=None)
    scorer = Text("Only scores by this scorer.", load_default=None)
    scorer_name = Text("Only scores by a scorer of this name, in any version.", load_default=None)
    created_at_from = Datetime("Only scores created at or after this time.", load_default=None)
    created_at_to = Datetime("Only scores created before this time.", load_default=None)
    created_after = Datetime("Only scores created after this time.", load_default=None)
    created_before = Datetime("Only scores created before this time.", load_default=None)


class ScoreSelection(ScoreFilters):
    """The filters, and which part of the matching scores to return."""

    limit = WholeNumber("The most scores to return. Default: all.", least=0, load_default=None)
    offset = WholeNumber("How many of the oldest scores to skip.", least=0, load_default=None)
    after = Pattern(
        "Only scores after this score_id, taken from a Link header.", SCORE_ID, load_default=None
    )


class ScoreListQuery(WeaveQuery, ScoreSelection):
    """The query of a list of scores."""

    where = TextList(
        "Only scores with a leaf that fits, such as `accuracy.f1<0.5`; may be "
        f"repeated, at most {MAX_CONDITIONS} times, then all must fit.",
        most=MAX_CONDITIONS,
        element=ConditionText(),
        load_default=list,
    )
    failed = Flag("Only judgements that failed or gave null, or only others.", load_default=None)
    reason_contains = Text(
        "Only scores with this text in their reason, in any case.", load_default=""
    )
    sort_by = Text("The leaf to sort by. Default: the time of creation.", load_default=None)
    order = Choice(
        "Ascending or descending: oldest or newest first.", ("asc", "desc"), load_default="asc"
    )
    current = Flag("Leave superseded scores out. Default: list every score.", load_default=False)


REPEATS = ("current", "all")


def repeats(default: str | None = REPEATS[0]) -> Choice:
    """Return the parameter that says whether superseded scores count."""
    description = "`all` counts superseded scores too. Default: only current ones."
    return Choice(description, REPEATS, load_default=default)


def repeats_res() -> Text:
    """Return the field of a response that says whether superseded scores count."""
    return Text(
        "Which scores count: `current` or `all`.", required=True, metadata={"enum": REPEATS}
    )


class ScoreChangesQuery(Query):
    """The query that follows new scores: the position, and how long to wait."""

    cursor = Text(
        "The header `Scoreline-Cursor` of the previous response, or `start` for "
        "all scores. Default: only scores from now on.",
        load_default=None,
    )
    limit = WholeNumber("The most scores to return.", least=1, most=1_000, load_default=1_000)
    wait = Number(
        "How many seconds to wait for a score if there is none yet.",
        least=0,
        most=30,
        load_default=0.0,
    )


class ScoreDeleteQuery(WeaveQuery):
    """The query that deletes scores."""

    score_ids = TextList(
        f"The ids of the scores, at most {MAX_DELETED}.", most=MAX_DELETED, required=True
    )


class ScoreDeleteRes(Shape):
    """The response to deleting scores."""

    num_deleted = Count("How many scores existed and were deleted.", required=True)


class BatchQuery(Query):
    """The query of a batch of scores or predictions."""

    takes_last = True
    keep_valid = Flag(
        "Store the valid ones. Default: all or none.", data_key="partial", load_default=False
    )


class ScoreBatchBody(Shape):
    """The body that creates a batch of scores."""

    scores = List("At most 10,000 scores.", fields.Nested(ScoreBatchLine), required=True)


class ScoreBatchResult(Shape):
    """The result of one score: its id or its errors."""

    score_id = Text("The id of the score, if it is stored.")
    detail = List("The errors, if the score is rejected.", JsonObject())


class ScoreBatchRes(Shape):
    """The response to creating a batch; with `partial` it has a result for each score."""

    score_ids = List("The ids in the order sent, without `partial`.", Text())
    results = List(
        "The results in the order sent, with `partial`.", fields.Nested(ScoreBatchResult)
    )
    num_created = Count("How many scores are stored.", required=True)
    num_replayed = Count("How many of them an earlier call stored, with `partial`.")
    num_failed = Count("How many scores are rejected, with `partial`.")
