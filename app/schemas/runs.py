"""Schemas of Scoreline's own lists of evaluation runs, and of what may be changed in a run."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, ValidationError, validates_schema

from app.schemas.documents import TimeText
from app.schemas.evaluation_runs import WEAVE_STATUS
from app.schemas.fields import (
    UNKNOWN,
    Boolean,
    Choice,
    Count,
    Datetime,
    Identifier,
    JsonObject,
    List,
    Pattern,
    Query,
    Reason,
    Shape,
    Text,
    UtcText,
)
from app.schemas.query_fields import TextList, WholeNumber
from app.schemas.scores import SCORE_ID

MAX_ATTRIBUTES = 20
"""How many attributes a filter may name."""

NOTHING_TO_CHANGE = Reason(
    "value_error",
    "Value error, give at least one of name, description, attributes and archived",
    {"error": {}},
)


class PageQuery(Query):
    """The query of a page of a list that is newest first."""

    limit = WholeNumber("The most to return.", least=1, most=1_000, load_default=20)
    after = Pattern(
        "Continue after this position, taken from a Link header.", SCORE_ID, load_default=None
    )


class RunFilters(Query):
    """The filters of a project's evaluation runs. An empty text is no filter."""

    name = Text(
        "Only runs whose name (or id, without a name) contains this text, in upper or lower case.",
        load_default=None,
    )
    status = Choice("Only with this status.", tuple(WEAVE_STATUS), load_default=None)
    model = Text("Only runs of this model.", load_default=None)
    evaluation = Text("Only runs of this evaluation.", load_default=None)
    dataset = Text("Only runs on this dataset.", load_default=None)
    attribute = TextList(
        "Only runs with this attribute, `KEY` or `KEY=VALUE`; of a list, with "
        "this element. Repeated, with all of them.",
        most=MAX_ATTRIBUTES,
        load_default=(),
    )
    created_at_from = Datetime("Only runs created at or after this time.", load_default=None)
    created_at_to = Datetime("Only runs created before this time.", load_default=None)


class RunListQuery(PageQuery, RunFilters):
    """The query of a page of evaluation runs."""

    run = Identifier("Only the run with this id, also if it is archived.", load_default=None)
    archived = Choice(
        "Only archived runs, only others (the default), or all.",
        ("true", "false", "all"),
        load_default=None,
    )


class RunQuery(Query):
    """The query that names one run."""

    run = Identifier("The id of the run.", required=True)


class RunChangeBody(Shape):
    """The body that changes a run; fields that are absent stay as they are, null removes them."""

    class Meta(Shape.Meta):
        """marshmallow's options."""

        unknown = RAISE

    error_messages = {"unknown": UNKNOWN}

    name = Text("A name for people.", allow_none=True)
    description = Text("What the run is about.", allow_none=True)
    attributes = JsonObject("All attributes, in place of those that are there.", allow_none=True)
    archived = Boolean("Whether the run is left out of lists by default.")

    @validates_schema
    def _check_any(self, loaded: dict[str, Any], **_: Any) -> None:
        if not loaded:
            raise ValidationError(NOTHING_TO_CHANGE)


class ApprovalBody(Shape):
    """The body that approves a run."""

    class Meta(Shape.Meta):
        """marshmallow's options."""

        unknown = RAISE

    error_messages = {"unknown": UNKNOWN}

    run = Text("The run: its id or its name, or `latest:KEY=VALUE`.", required=True)
    reason = Identifier("Why it is approved.", required=True)


class ApprovalRes(Shape):
    """Who approved a run, when and why."""

    approval_id = Text("The id of the approval.", required=True, attribute="id")
    evaluation_run_id = Text("The id of the run.", required=True)
    reason = Text("Why it was approved.", required=True)
    wb_user_id = Text("The owner of the API key that approved it.", required=True)
    created_at = UtcText("When it was approved, in UTC.", required=True)


class RunRes(Shape):
    """An evaluation run with its counts; what a run that is only named does not have is null."""

    evaluation_run_id = Text("The id of the run.", required=True)
    name = Text("A name for people.", required=True, allow_none=True)
    description = Text("What the run is about.", required=True, allow_none=True)
    explicit = Boolean("False if only scores or predictions name the run.", required=True)
    evaluation = Text("The evaluation.", required=True, allow_none=True)
    model = Text("The model.", required=True, allow_none=True)
    dataset = Text("The dataset.", required=True, allow_none=True)
    source_evaluation_run_id = Text(
        "The run whose predictions are scored again, if any.", required=True, allow_none=True
    )
    status = Text(
        "The status.", required=True, allow_none=True, metadata={"enum": [*WEAVE_STATUS, None]}
    )
    created_at = UtcText("When it was created, or first named, in UTC.", required=True)
    started_at = TimeText("When it began, in UTC.", required=True, allow_none=True)
    finished_at = TimeText("When it ended, in UTC.", required=True, allow_none=True)
    expected = Count(
        "How many predictions the run is expected to have.", required=True, allow_none=True
    )
    attributes = JsonObject("The attributes, as sent.", required=True, allow_none=True)
    archived = Boolean("Whether lists leave it out by default.", required=True)
    approved = Boolean("Whether it is the run that was approved last.", required=True)
    wb_user_id = Text("The owner of the API key that created it.", required=True, allow_none=True)
    predictions = Count(
        "How many predictions it has, stored or only named by scores.", required=True
    )
    scores = Count("How many current scores.", required=True)
    superseded = Count("How many superseded scores.", required=True)
    scorers = List("The names of its scorers, at most 100.", Text(), required=True)
    num_scorers = Count("How many scorers.", required=True)
    revision = Text(
        "A text that changes when the run, its predictions or its scores do.", required=True
    )
