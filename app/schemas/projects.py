"""Schemas of the list of projects."""

from __future__ import annotations

from marshmallow import fields

from app.schemas.fields import Query, Shape, Text, UtcText
from app.schemas.query_fields import WholeNumber


class ProjectListQuery(Query):
    """The query of a page of projects."""

    limit = WholeNumber(
        least=1, most=1_000, load_default=20, metadata={"description": "The most to return."}
    )
    after = Text(
        load_default=None,
        metadata={"description": "Continue after this position, taken from a Link header."},
    )
    entity = Text(
        load_default=None,
        metadata={"description": "Only projects of this entity; empty for all."},
    )


class ProjectRes(Shape):
    """A project and how much it holds."""

    entity = Text(required=True, metadata={"description": "The owner of the project."})
    project = Text(required=True, metadata={"description": "The name of the project."})
    created_at = UtcText(
        required=True, metadata={"description": "When the first of what it holds was created."}
    )
    runs = fields.Integer(
        required=True,
        metadata={"description": "How many runs it has, stored or only named by others."},
    )
    predictions = fields.Integer(
        required=True, metadata={"description": "How many stored predictions it has."}
    )
    scores = fields.Integer(
        required=True, metadata={"description": "How many scores it has, superseded ones too."}
    )
