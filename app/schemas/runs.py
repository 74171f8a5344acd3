"""Schemas of Scoreline's own lists of evaluation runs, and of what may be changed in a run."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, ValidationError, fields, validates_schema

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

    limit = WholeNumber(
        least=1, most=1_000, load_default=20, metadata={"description": "The most to return."}
    )
    after = Pattern(
        SCORE_ID,
        load_default=None,
        metadata={"description": "Continue after this position, taken from a Link header."},
    )


class RunListQuery(PageQuery):
    """The query of a page of evaluation runs. An empty text is no filter."""

    run = Identifier(
        load_default=None,
        metadata={"description": "Only the run with this id, also if it is archived."},
    )
    name = Text(
        load_default=None,
        metadata={
            "description": "Only runs whose name (or id, without a name) contains this text, in "
            "upper or lower case."
        },
    )
    status = Choice(
        tuple(WEAVE_STATUS), load_default=None, metadata={"description": "Only with this status."}
    )
    model = Text(load_default=None, metadata={"description": "Only runs of this model."})
    evaluation = Text(load_default=None, metadata={"description": "Only runs of this evaluation."})
    dataset = Text(load_default=None, metadata={"description": "Only runs on this dataset."})
    attribute = TextList(
        most=MAX_ATTRIBUTES,
        load_default=(),
        metadata={
            "description": "Only runs with this attribute, `KEY` or `KEY=VALUE`; of a list, with "
            "this element. Repeated, with all of them."
        },
    )
    archived = Choice(
        ("true", "false", "all"),
        load_default=None,
        metadata={"description": "Only archived runs, only others (the default), or all."},
    )
    created_at_from = Datetime(
        load_default=None, metadata={"description": "Only runs created at or after this time."}
    )
    created_at_to = Datetime(
        load_default=None, metadata={"description": "Only runs created before this time."}
    )


class RunQuery(Query):
    """The query that names one run."""

    run = Identifier(required=True, metadata={"description": "The id of the run."})


class RunChangeBody(Shape):
    """The body that changes a run; fields that are absent stay as they are, null removes them."""

    class Meta(Shape.Meta):
        """marshmallow's options."""

        unknown = RAISE

    error_messages = {"unknown": UNKNOWN}

    name = Text(allow_none=True, metadata={"description": "A name for people."})
    description = Text(allow_none=True, metadata={"description": "What the run is about."})
    attributes = JsonObject(
        allow_none=True,
        metadata={"description": "All attributes, in place of those that are there."},
    )
    archived = Boolean(
        metadata={"description": "Whether the run is left out of lists by default."},
    )

    @validates_schema
    def _check_any(self, loaded: dict[str, Any], **_: Any) -> None:
        if not loaded:
            raise ValidationError(NOTHING_TO_CHANGE)


class RunRes(Shape):
    """An evaluation run with its counts; what a run that is only named does not have is null."""

    evaluation_run_id = Text(required=True, metadata={"description": "The id of the run."})
    name = Text(required=True, allow_none=True, metadata={"description": "A name for people."})
    description = Text(
        required=True, allow_none=True, metadata={"description": "What the run is about."}
    )
    explicit = fields.Boolean(
        required=True,
        metadata={"description": "False if only scores or predictions name the run."},
    )
    evaluation = Text(required=True, allow_none=True, metadata={"description": "The evaluation."})
    model = Text(required=True, allow_none=True, metadata={"description": "The model."})
    dataset = Text(required=True, allow_none=True, metadata={"description": "The dataset."})
    source_evaluation_run_id = Text(
        required=True,
        allow_none=True,
        metadata={"description": "The run whose predictions are scored again, if any."},
    )
    status = Text(
        required=True,
        allow_none=True,
        metadata={"description": "The status.", "enum": [*WEAVE_STATUS, None]},
    )
    created_at = UtcText(
        required=True,
        metadata={"description": "When it was created, or first named, in UTC."},
    )
    started_at = TimeText(
        required=True, allow_none=True, metadata={"description": "When it began, in UTC."}
    )
    finished_at = TimeText(
        required=True, allow_none=True, metadata={"description": "When it ended, in UTC."}
    )
    expected = Count(
        required=True,
        allow_none=True,
        metadata={"description": "How many predictions the run is expected to have."},
    )
    attributes = JsonObject(
        required=True, allow_none=True, metadata={"description": "Anything that was given."}
    )
    archived = fields.Boolean(
        required=True, metadata={"description": "Whether lists leave it out by default."}
    )
    wb_user_id = Text(
        required=True,
        allow_none=True,
        metadata={"description": "The owner of the API key that created it."},
    )
    predictions = fields.Integer(
        required=True,
        metadata={"description": "How many predictions it has, stored or only named by scores."},
    )
    scores = fields.Integer(required=True, metadata={"description": "How many current scores."})
    superseded = fields.Integer(
        required=True, metadata={"description": "How many superseded scores."}
    )
    scorers = fields.List(
        Text(), required=True, metadata={"description": "The names of its scorers, at most 100."}
    )
    num_scorers = fields.Integer(required=True, metadata={"description": "How many scorers."})
    revision = Text(
        required=True,
        metadata={"description": "A text that changes when the run or its scores do."},
    )
