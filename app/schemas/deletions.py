"""Schemas of deletions of evaluation runs and predictions under /v1."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.documents import MAX_DELETED
from app.schemas.fields import Choice, Count, List, Pattern, Query, Shape, Text, UtcText
from app.schemas.query_fields import TextList, WholeNumber
from app.schemas.scores import SCORE_ID


class RunDeleteQuery(Query):
    """The query that deletes evaluation runs."""

    run = TextList(
        f"The ids of the runs, also of runs that only scores name, at most {MAX_DELETED}.",
        most=MAX_DELETED,
        required=True,
    )


class RunDeleteRes(Shape):
    """The response to deleting evaluation runs."""

    num_deleted = Count("How many of the runs were there.", required=True)
    num_predictions = Count("How many stored predictions were in them.", required=True)
    num_scores = Count("How many scores were in them.", required=True)
    num_pending = Count(
        "How many of the runs are hidden, but not yet removed in full: see `deletions`.",
        required=True,
    )


class PredictionsDeleteQuery(Query):
    """The query that deletes predictions of one run, or of none."""

    prediction = TextList(
        f"The ids of the predictions, also of those that only scores name, at most {MAX_DELETED}.",
        most=MAX_DELETED,
        required=True,
    )
    run = Text("The run that they are in. Default: predictions of no run.", load_default=None)


class PredictionsDeleteRes(Shape):
    """The response to deleting predictions."""

    num_deleted = Count("How many of the predictions were there.", required=True)
    num_scores = Count("How many scores they had.", required=True)


class DeletionListQuery(Query):
    """The query of a page of deletions."""

    state = Choice("Only deletions in this state.", ("pending", "finished"), load_default=None)
    limit = WholeNumber("The most deletions to return.", least=1, most=1_000, load_default=1_000)
    after = Pattern("Only deletions after this id.", SCORE_ID, load_default="")


class DeletionRes(Shape):
    """The deletion of an evaluation run."""

    deletion_id = Text("The id of the deletion.", required=True)
    evaluation_run_id = Text("The run that was deleted.", required=True)
    requested_at = UtcText("When the run was hidden, in UTC.", required=True)
    requested_by = Text("The key_id of the API key that deleted it.", required=True)
    state = Text(
        "`pending` until everything is removed.",
        required=True,
        metadata={"enum": ["pending", "finished"]},
    )
    num_predictions = Count(
        "How many stored predictions were in the run.", required=True, attribute="predictions"
    )
    num_scores = Count("How many scores were in the run.", required=True, attribute="scores")
    num_cleared = Count(
        "How many predictions and scores are removed so far.", required=True, attribute="cleared"
    )
    finished_at = UtcText(
        "When the last one was removed, in UTC; null before.", required=True, allow_none=True
    )


class DeletionListRes(Shape):
    """A page of deletions."""

    deletions = List(
        "The deletions of evaluation runs, oldest first.", fields.Nested(DeletionRes), required=True
    )
