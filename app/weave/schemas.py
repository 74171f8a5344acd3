"""The shapes of what Weave's SDK sends, as far as Scoreline reads it; other fields are kept."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app.schemas.fields import MISSING, Anything, JsonObject, Reason, Shape, Text

NOT_A_LIST = Reason("list_type", "Input should be a valid list")


class Nested(fields.Nested):
    """An object within an object."""

    default_error_messages = {"required": MISSING}


class List(fields.List[Any]):
    """A JSON list."""

    default_error_messages = {"required": MISSING, "invalid": NOT_A_LIST, "null": NOT_A_LIST}


class GraphqlBody(Shape):
    """A query of the SDK's first calls."""

    query = Text(required=True)
    variables = JsonObject(load_default=dict, allow_none=True)


class ProjectBody(Shape):
    """A body that names its project."""

    project_id = Text(required=True)


class ObjectToCreate(ProjectBody):
    """A version of a named object."""

    object_id = Text(required=True)
    val = Anything(required=True)


class ObjectCreateBody(Shape):
    """The body that creates a version of an object."""

    obj = Nested(ObjectToCreate, required=True)


class TableToCreate(ProjectBody):
    """The rows of a table."""

    rows = List(JsonObject(), required=True)


class TableCreateBody(Shape):
    """The body that creates a table."""

    table = Nested(TableToCreate, required=True)


class TableFromDigestsBody(ProjectBody):
    """The body that creates a table of rows that were sent before."""

    row_digests = List(Text(), required=True)


class TableUpdateBody(ProjectBody):
    """The body that creates a table from another one; `updates` append, pop or insert rows."""

    base_digest = Text(required=True)
    updates = List(JsonObject(), required=True)
