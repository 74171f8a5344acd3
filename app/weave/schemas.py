"""The shapes of what Weave's SDK sends, as far as Scoreline reads it; other fields are kept."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields

from app import jsontext
from app.errors import TooLarge
from app.schemas.fields import (
    MISSING,
    NOT_A_STRING,
    NOT_AN_OBJECT,
    Anything,
    JsonObject,
    Nested,
    Reason,
    Shape,
    Text,
)

MAX_ITEMS = 1_000_000
"""How many rows or digests a body may have."""

NOT_A_LIST = Reason("list_type", "Input should be a valid list")


class List(fields.List[Any]):
    """A JSON list, of whose errors only the first is reported: it may have millions of items."""

    default_error_messages = {"required": MISSING, "invalid": NOT_A_LIST, "null": NOT_A_LIST}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:  # noqa: ARG002
        if not isinstance(value, list):
            raise self.make_error("invalid")
        if len(value) > MAX_ITEMS:
            raise TooLarge(f"A list may have at most {MAX_ITEMS} items")
        items = []
        for index, each in enumerate(value):
            try:
                items.append(self.inner.deserialize(each, **kwargs))
            except ValidationError as error:
                raise ValidationError({index: error.messages}) from None
        return items


class Name(fields.String):
    """A name, in which U+FFFD is in place of each lone surrogate: an object is never refused."""

    default_error_messages = {"required": MISSING, "null": NOT_A_STRING, "invalid": NOT_A_STRING}

    def _deserialize(self, *values: Any, **options: Any) -> str:
        return jsontext.without_surrogates(super()._deserialize(*values, **options))


class GraphqlBody(Shape):
    """A query of the SDK's first calls."""

    query = Text(required=True)
    variables = JsonObject(load_default=dict, allow_none=True)


class ProjectBody(Shape):
    """A body, or an object in one, that names its project."""

    error_messages = {"type": NOT_AN_OBJECT}
    project_id = Text(required=True)


class ObjectToCreate(ProjectBody):
    """A version of a named object."""

    object_id = Name(required=True)
    val = Anything(required=True, allow_none=True)


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
