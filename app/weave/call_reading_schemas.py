"""The shapes of the queries by which Weave's SDK reads calls and feedback."""

from __future__ import annotations

from app.schemas.fields import Boolean, Count, JsonObject, Nested, Text
from app.schemas.query_fields import bounds
from app.weave.reading_schemas import SortTerms, Strict, Texts
from app.weave.schemas import List, ProjectBody


class CallsFilter(Strict):
    """Values that fields of calls must have; all filters must match."""

    op_names = Texts()
    input_refs = Texts()
    output_refs = Texts()
    parent_ids = Texts()
    trace_ids = Texts()
    call_ids = Texts()
    thread_ids = Texts()
    turn_ids = Texts()
    trace_roots_only = Boolean(load_default=None, allow_none=True)
    wb_user_ids = Texts()
    wb_run_ids = Texts()


class CallsBody(ProjectBody):
    """The calls to find."""

    filter = Nested(CallsFilter, load_default=None, allow_none=True)
    query = JsonObject(load_default=None, allow_none=True)
    limit = Count(load_default=None, allow_none=True)
    expand_columns = Texts()


class CallsStatsBody(CallsBody):
    """The calls to count."""

    limit = Count(validate=bounds(1, None), load_default=None, allow_none=True)


class CallsQueryBody(CallsBody):
    """The calls to return, and what of them."""

    offset = Count(load_default=None, allow_none=True)
    sort_by = SortTerms()
    columns = Texts()
    include_feedback = Boolean(load_default=False, allow_none=True)
    return_expanded_column_values = Boolean(load_default=True, allow_none=True)


class CallReadBody(ProjectBody):
    """The call to return."""

    id = Text(required=True)


class FeedbackQueryBody(ProjectBody):
    """The feedback to return, and what of it."""

    columns = List(Text(), data_key="fields", load_default=None, allow_none=True)
    query = JsonObject(load_default=None, allow_none=True)
    sort_by = SortTerms()
    limit = Count(load_default=None, allow_none=True)
    offset = Count(load_default=None, allow_none=True)
