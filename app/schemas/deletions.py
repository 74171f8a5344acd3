"""Schemas of deletions of evaluation runs and predictions under /v1."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.documents import MAX_DELETED
from app.schemas.fields import Choice, Pattern, Query, Shape, Text, UtcText
from app.schemas.query_fields import TextList, WholeNumber
from app.schemas.scores import SCORE_ID


class RunDeleteQuery(Query):
    """The query that deletes evaluation runs."""

    run = TextList(
        most=MAX_DELETED,
        required=True,
        metadata={
            "description": "The ids of the runs, also of runs that only scores name, at most "
            f"{MAX_DELETED}."
        },
    )


class RunDeleteRes(Shape):
    """The response to deleting evaluation runs."""

    num_deleted = fields.Integer(
        required=True, metadata={"description": "How many of the runs were there."}
    )
    num_predictions = fields.Integer(
        required=True, metadata={"description": "How many stored predictions were in them."}
    )
    num_scores = fields.Integer(
        required=True, metadata={"description": "How many scores were in them."}
    )
    num_pending = fields.Integer(
        required=True,
        metadata={
            "description": "How many of the runs are hidden, but not yet removed in full: see "
            "`deletions`."
        },
    )


class PredictionsDeleteQuery(Query):
    """The query that deletes predictions of one run, or of none."""

    prediction = TextList(
        most=MAX_DELETED,
        required=True,
        metadata={
            "description": "The ids of the predictions, also of those that only scores name, at "
            f"most {MAX_DELETED}."
        },
    )
    run = Text(
        load_default=None,
        metadata={"description": "The run that they are in. Default: predictions of no run."},
    )


class PredictionsDeleteRes(Shape):
    """The response to deleting predictions."""

    num_deleted = fields.Integer(
        required=True, metadata={"description": "How many of the predictions were there."}
    )
    num_scores = fields.Integer(
        required=True, metadata={"description": "How many scores they had."}
    )


class DeletionListQuery(Query):
    """The query of a page of deletions."""

    state = Choice(
        ("pending", "finished"),
        load_default=None,
        metadata={"description": "Only deletions in this state."},
    )
    limit = WholeNumber(
        least=1,
        most=1_000,
        load_default=1_000,
        metadata={"description": "The most deletions to return."},
    )
    after = Pattern(
        SCORE_ID, load_default="", metadata={"description": "Only deletions after this id."}
    )


class DeletionRes(Shape):
    """The deletion of an evaluation run."""

    deletion_id = Text(required=True, metadata={"description": "The id of the deletion."})
    evaluation_run_id = Text(required=True, metadata={"description": "The run that was deleted."})
    requested_at = UtcText(
        required=True, metadata={"description": "Since when the run is hidden, in UTC."}
    )
    requested_by = Text(
        required=True, metadata={"description": "The key_id of the API key that deleted it."}
    )
    state = Text(
        required=True,
        metadata={
            "description": "`pending` until everything is removed.",
            "enum": ["pending", "finished"],
        },
    )
    num_predictions = fields.Integer(
        required=True,
        attribute="predictions",
        metadata={"description": "How many stored predictions were in the run."},
    )
    num_scores = fields.Integer(
        required=True,
        attribute="scores",
        metadata={"description": "How many scores were in the run."},
    )
    num_cleared = fields.Integer(
        required=True,
        attribute="cleared",
        metadata={"description": "How many predictions and scores are removed so far."},
    )
    finished_at = UtcText(
        required=True,
        allow_none=True,
        metadata={"description": "When the last one was removed, in UTC; null before."},
    )


class DeletionListRes(Shape):
    """A page of deletions."""

    deletions = fields.List(
        fields.Nested(DeletionRes),
        required=True,
        metadata={"description": "The deletions of evaluation runs, oldest first."},
    )
