"""Schemas of exports and imports."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, post_load

from app import jsontext
from app.datetimes import EPOCH, whole_milliseconds
from app.ids import id_time, utc_text
from app.schemas.documents import given_fields, time_text
from app.schemas.evaluation_runs import WEAVE_STATUS, EvaluationRunCreateBody
from app.schemas.fields import (
    Choice,
    Count,
    Identifier,
    JsonObject,
    List,
    Moment,
    PastDatetime,
    Pattern,
    Query,
    Reason,
    Shape,
    Text,
)
from app.schemas.predictions import PredictionCreateBody
from app.schemas.query_fields import TextList
from app.schemas.scores import (
    ScoreBatchResult,
    ScoreBody,
    ScoreSelection,
    repeats,
    score_text,
)
from app.stores.model import Document, EvaluationRun, Prediction, Score

UUID_V7 = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
BEFORE_1970 = Reason(
    "greater_than_equal",
    "Input should be greater than or equal to 1970-01-01T00:00:00Z",
    {"ge": "1970-01-01T00:00:00Z"},
)


class ScoreImportLine(ScoreBody):
    """One score of an import: an element of its list, or a line of an export."""

    score_id = Pattern(
        "The id of the score; its first 48 bits are created_at in milliseconds.",
        UUID_V7,
        required=True,
    )
    created_at = PastDatetime("When the score was created, with a time zone.", required=True)

    @post_load
    def _check_time(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Round created_at down to milliseconds, and reject it if it differs from the id's time."""
        return _with_whole_time(loaded, "score_id")


def _with_whole_time(loaded: dict[str, Any], id_field: str) -> dict[str, Any]:
    """Round created_at down to milliseconds; reject an id, if there is one, of another time."""
    created_at, given = whole_milliseconds(loaded["created_at"]), loaded[id_field]
    if given is not None and id_time(given) != created_at:
        message = "Input should begin with the milliseconds of created_at"
        raise ValidationError({id_field: [Reason(f"{id_field}_time", message)]})
    if created_at < EPOCH:
        raise ValidationError({"created_at": [BEFORE_1970]})
    return {**loaded, "created_at": created_at}


class ScoreImportBody(Shape):
    """The body that imports scores."""

    scores = List("At most 10,000 scores.", fields.Nested(ScoreImportLine), required=True)


class ScoreImportRes(Shape):
    """The response to an import."""

    num_created = Count("How many scores are new.", required=True)
    num_present = Count("How many equal scores already existed.", required=True)
    num_failed = Count("How many scores are rejected.", required=True)
    results = List("The results in the order sent.", fields.Nested(ScoreBatchResult), required=True)


def _kind(kind: str) -> Choice:
    return Choice(f"`{kind}`.", (kind,), required=True)


def _owner() -> Text:
    """Return the field of the owner, which exports have and imports ignore."""
    return Text("The owner of the API key that it was sent with.", dump_only=True, allow_none=True)


class DocumentLine(Shape):
    """What the lines of predictions and evaluation runs have in common."""

    created_at = PastDatetime("When it was created, with a time zone.", required=True)
    sort_id = Pattern(
        "Its place in lists; the first 48 bits are created_at in milliseconds. "
        "Default: after what was imported before with the same time.",
        UUID_V7,
        load_default=None,
    )
    wb_user_id = _owner()

    @post_load
    def _check_sort_id(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        return _with_whole_time(loaded, "sort_id")


def _end_of_line(document: Document) -> str:
    """Return the JSON text of the fields of a DocumentLine, after a comma."""
    place = {
        "created_at": utc_text(document.created_at),
        "sort_id": document.sort_id,
        "wb_user_id": document.wb_user_id,
    }
    return f",{jsontext.write(place)[1:]}"


class EvaluationRunLine(DocumentLine, EvaluationRunCreateBody):
    """The line of an evaluation run in an export or import of a project."""

    class Meta(EvaluationRunCreateBody.Meta):
        """marshmallow's options: the order in which fields are checked."""

        fields = (
            "kind",
            *EvaluationRunCreateBody.Meta.fields,
            "status",
            "summary",
            "archived_at",
            "created_at",
            "sort_id",
            "wb_user_id",
        )

    kind = _kind("evaluation_run")
    evaluation_run_id = Identifier("The id of the run, unique in its project.", required=True)
    status = Choice(
        "Default: completed with finished_at, otherwise running.",
        tuple(WEAVE_STATUS),
        load_default=None,
    )
    summary = JsonObject("What was sent to `finish`, if anything was.", load_default=None)
    archived_at = Moment("When the run was archived, if it is.", load_default=None)

    def dumps(self, obj: EvaluationRun, *_: Any, **__: Any) -> str:
        """Return the JSON text of a run; its stored JSON texts are not parsed."""
        plain = {
            "kind": "evaluation_run",
            "evaluation_run_id": obj.id,
            "evaluation": obj.evaluation,
            "model": obj.model,
            "status": obj.status,
            "started_at": time_text(obj.started_at),
            "finished_at": time_text(obj.finished_at),
            "source_evaluation_run_id": obj.source_evaluation_run_id,
            "name": obj.name,
            "description": obj.description,
            "dataset": obj.dataset,
            "expected": obj.expected,
            "archived_at": time_text(obj.archived_at),
        }
        objects = {"attributes": obj.attributes_json, "summary": obj.summary_json}
        return f"{{{given_fields(plain, objects)}{_end_of_line(obj)}"


class PredictionLine(DocumentLine, PredictionCreateBody):
    """The line of a prediction in an export or import of a project."""

    class Meta(PredictionCreateBody.Meta):
        """marshmallow's options: the order in which fields are checked."""

        fields = (
            "kind",
            *PredictionCreateBody.Meta.fields,
            "predict_and_score_call_id",
            "ended_at",
            "created_at",
            "sort_id",
            "wb_user_id",
        )

    kind = _kind("prediction")
    prediction_id = Identifier("The id of the prediction, unique in its project.", required=True)
    predict_and_score_call_id = Pattern(
        "Its other id in Weave. Default: derived from its id.", UUID_V7, load_default=None
    )
    ended_at = Moment("When `finish` was first called for it.", load_default=None)

    def dumps(self, obj: Prediction, *_: Any, **__: Any) -> str:
        """Return the JSON text of a prediction; its stored JSON texts are not parsed."""
        plain = {
            "kind": "prediction",
            "prediction_id": obj.id,
            "evaluation_run_id": obj.evaluation_run_id,
            "model": obj.model,
            "example_id": obj.example_id,
            "trial": obj.trial,
            "error": obj.error,
            "started_at": time_text(obj.started_at),
            "finished_at": time_text(obj.finished_at),
            "ended_at": time_text(obj.ended_at),
            "predict_and_score_call_id": obj.predict_and_score_call_id,
        }
        objects = {
            "inputs": obj.inputs_json,
            "output": obj.output_json,
            "usage": obj.usage_json,
            "metadata": obj.metadata_json,
        }
        return f"{{{given_fields(plain, objects)}{_end_of_line(obj)}"


class ScoreLine(ScoreImportLine):
    """The line of a score in an export or import of a project."""

    kind = _kind("score")
    wb_user_id = _owner()

    def dumps(self, obj: Score, *_: Any, **__: Any) -> str:
        """Return the JSON text of a score. Its value is the stored text, which is not parsed."""
        return f'{{"kind":"score",{score_text(obj)[1:]}'


class ImportResult(Shape):
    """The result of one line: its id or its errors."""

    evaluation_run_id = Text("The id of a run that is stored.")
    prediction_id = Text("The id of a prediction that is stored.")
    score_id = Text("The id of a score that is stored.")
    detail = List("The errors, if the line is rejected.", JsonObject())


class ImportRes(Shape):
    """The response to an import of a project."""

    num_created = Count("How many lines are new.", required=True)
    num_present = Count("How many lines were already stored.", required=True)
    num_failed = Count("How many lines are rejected.", required=True)
    results = List("The results in the order sent.", fields.Nested(ImportResult), required=True)


class ExportQuery(Query):
    """The query of an export of a project."""

    format = Choice(
        "The format of the file, which is always jsonl.", ("jsonl",), load_default="jsonl"
    )


FORMATS = ("jsonl", "csv", "parquet")
MAX_COLUMNS = 1_000
"""The most leaves that an export has columns for."""


class ScoreExportQuery(ScoreSelection):
    """The query of an export."""

    format = Choice("The format of the file. Default: jsonl.", FORMATS, load_default="jsonl")
    repeats = repeats(None)
    columns = TextList(
        "The paths of the leaves to write as columns, for csv and parquet. Default: all.",
        most=MAX_COLUMNS,
        load_default=None,
    )
