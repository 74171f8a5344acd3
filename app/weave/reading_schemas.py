"""The shapes of the requests by which Weave's SDK reads objects, tables, files and references."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, ValidationError

from app.schemas.fields import UNKNOWN, Boolean, Choice, Count, FullMatch, Nested, Shape, Text
from app.schemas.query_fields import too_long
from app.weave.schemas import List, ProjectBody

MAX_REFERENCES = 1_000
MAX_DELETED = 100
MAX_TABLES = 1_000
MAX_SORTS = 10


class Strict(Shape):
    """A filter, which rejects unknown fields: ignored, it would find more than was asked for."""

    class Meta(Shape.Meta):
        """marshmallow's options."""

        unknown = RAISE

    error_messages = {"unknown": UNKNOWN}


class Texts(List):
    """A list of strings, or null."""

    def __init__(self) -> None:
        super().__init__(Text(), load_default=None, allow_none=True)


class SortTerm(Strict):
    """A field to sort by, and the direction."""

    field = Text(required=True)
    direction = Choice("", ("asc", "desc"), required=True)


class SortTerms(List):
    """A list of at most MAX_SORTS fields to sort by, or null."""

    def __init__(self, term: type[SortTerm] = SortTerm) -> None:
        super().__init__(Nested(term), load_default=None, allow_none=True)

    def _deserialize(self, value: Any, *rest: Any, **options: Any) -> list[Any]:
        if isinstance(value, list) and len(value) > MAX_SORTS:
            raise ValidationError(too_long(MAX_SORTS, len(value)))
        return super()._deserialize(value, *rest, **options)


class ObjectSortTerm(SortTerm):
    """A field of objects to sort by, and the direction."""

    field = Choice("", ("object_id", "created_at"), required=True)


class ObjectReadBody(ProjectBody):
    """The body that reads a version of an object."""

    object_id = Text(required=True)
    digest = Text(required=True)
    metadata_only = Boolean(load_default=False, allow_none=True)
    include_tags_and_aliases = Boolean(load_default=False, allow_none=True)


class ObjectFilter(Strict):
    """Which versions of objects to list."""

    base_object_classes = Texts()
    exclude_base_object_classes = Texts()
    leaf_object_classes = Texts()
    object_ids = Texts()
    is_op = Boolean(load_default=None, allow_none=True)
    latest_only = Boolean(load_default=None, allow_none=True)
    tags = Texts()
    aliases = Texts()


class ObjectQueryBody(ProjectBody):
    """The body that lists versions of objects."""

    filter = Nested(ObjectFilter, load_default=dict, allow_none=True)
    limit = Count(load_default=None, allow_none=True)
    offset = Count(load_default=None, allow_none=True)
    sort_by = SortTerms(ObjectSortTerm)
    metadata_only = Boolean(load_default=False, allow_none=True)
    include_storage_size = Boolean(load_default=False, allow_none=True)
    include_tags_and_aliases = Boolean(load_default=False, allow_none=True)


class ObjectDeleteBody(ProjectBody):
    """The body that deletes some versions of an object, or all."""

    object_id = Text(required=True)
    digests = Texts()


class RowFilter(Strict):
    """Which rows of a table to return."""

    row_digests = Texts()


class TableStatsBody(ProjectBody):
    """The body that counts the rows of a table."""

    digest = Text(required=True)


class TablesStatsBody(ProjectBody):
    """The body that counts the rows of several tables."""

    digests = List(Text(), load_default=(), allow_none=True)


class RowSortTerm(SortTerm):
    """A path in rows to sort by, and the direction."""

    field = Text("", FullMatch(r"[^.]+(\.[^.]+)*"), required=True)


class TableQueryBody(TableStatsBody):
    """The body that reads rows of a table."""

    filter = Nested(RowFilter, load_default=None, allow_none=True)
    limit = Count(load_default=None, allow_none=True)
    offset = Count(load_default=None, allow_none=True)
    sort_by = SortTerms(RowSortTerm)


class FileContentBody(ProjectBody):
    """The body that reads a file."""

    digest = Text(required=True)


class ReferencesBody(Shape):
    """The body that reads what references mean."""

    refs = List(Text(), required=True)
