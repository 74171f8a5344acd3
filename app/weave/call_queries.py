"""Find the calls that a query of Weave's SDK asks for: filters by index, then conditions."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from app.analysis.expressions import Expression, JsonField, look_up
from app.parts import in_parts
from app.stores.base import DocumentQuery, Store
from app.stores.weave import Call, Feedback
from app.weave.call_views import CallRow, CallView, row_of, show_feedback
from app.weave.contents import Place
from app.weave.expansion import Expansion
from app.weave.queries import (
    Counts,
    Sort,
    compile_condition,
    compile_order,
    equal_texts,
    invalid,
    select,
    split_field,
)
from app.weave.view_queries import Views

INDEXED = {"parent_ids": "parent_id", "trace_ids": "trace_id", "op_names": "op_name"}
"""The fields that lists of calls are read by, by the name of the filter."""

SMALL = ("id", "trace_id", "parent_id", "op_name", "started_at", "ended_at", "wb_user_id")
CONTENT = ("start_json", "end_json")

IN_ROW = {
    "call_ids": "id",
    **INDEXED,
    "wb_user_ids": "wb_user_id",
    "thread_ids": "thread_id",
    "turn_ids": "turn_id",
    "wb_run_ids": "wb_run_id",
}
"""The field of each filter by values."""

NONE_IF_EMPTY = ("thread_ids", "turn_ids")
"""The filters that find nothing if they are empty, as on Weave's server; others then find all."""

OBJECTS = ("inputs", "output", "attributes", "summary")
"""The fields with paths in them."""

TEXTS = frozenset({"id", "op_name", "started_at"})
"""The fields that every call has as text."""

OTHERS = frozenset({"project_id", "display_name", "exception", "wb_run_step", "wb_run_step_end"})
TIMES = ("started_at", "ended_at")
BY_START = ({"field": "started_at", "direction": "asc"},)
ANY_VERSION = ":*"
PART = 200
"""How many values an index is asked for together."""

MANY = frozenset({"wandb.reaction.1", "wandb.note.1"})
"""The types of feedback for which a condition looks at each one, not at the first."""

_FEEDBACK = re.compile(r"feedback\.\[(.+?)\]\.(payload|runnable_ref|trigger_ref)(?:\.(.+))?")


class CallQuery:
    """A query of calls, compiled."""

    def __init__(
        self, store: Store, place: Place, wanted: Mapping[str, Any], counts: Counts
    ) -> None:
        """Compile a loaded CallsBody. Raises InvalidParameter."""
        self.expansion = Expansion(store, place, wanted["expand_columns"] or ())
        self._store = store
        self.place = place
        self.project_id = wanted["project_id"]
        self._counts = counts
        self._needs_content = self._needs_feedback = False
        given = wanted["filter"] or {}
        self._filter = {
            name: value
            for name, value in given.items()
            if value or (value == [] and name in NONE_IF_EMPTY)
        }
        self._query = wanted["query"]
        self._condition = compile_condition(self._query, self._field, TIMES)
        self.order = self._compile_order(wanted.get("sort_by") or BY_START)
        self._tests = list(self._compile_filter())
        self._views = Views(store, place, whole=self._needs_content)

    def _compile_order(self, sort_by: Sequence[Mapping[str, str]]) -> list[Sort]:
        """Return an order that ends with the id, in the direction that Weave's server uses."""
        *_, last = sort_by
        self._order = last["field"] if len(sort_by) == 1 else None
        direction = last["direction"] if last["field"] == "started_at" else "desc"
        by_id = {"field": "id", "direction": direction}
        return compile_order([*sort_by, by_id], self._field, TEXTS)

    def _field(self, name: Any) -> Expression:
        """Return a field as a function of views. Raises InvalidParameter."""
        first, *parts = split_field(name)
        if name in SMALL:
            return lambda view: getattr(view.row, name)
        self._needs_content = True
        if name.startswith("feedback."):
            return self._feedback_field(name)
        if name.startswith("summary.weave."):
            return _derived_field(name)
        if first in OBJECTS:
            return JsonField(lambda view: look_up(self.expansion.apply(view.shown)[first], parts))
        if first in {*OTHERS, *IN_ROW.values()} and not parts:
            return lambda view: view.shown[first]
        raise invalid("query", f"calls have no field {name!r}", name)

    def _feedback_field(self, name: str) -> Expression:
        """Return a field of the first feedback of a type, or of all if the type is in MANY."""
        match = _FEEDBACK.fullmatch(name)
        if match is None:
            raise invalid("query", "a field of feedback is `feedback.[TYPE].payload.…`", name)
        self._needs_feedback = True
        kind, first, rest = match.groups()
        parts = [first, *(split_field(rest) if rest else ())]

        def said(view: CallView) -> tuple[Any, ...]:
            of_kind = (each for each in view.feedback or () if kind in ("*", each["feedback_type"]))
            return tuple(look_up(each, parts) for each in of_kind)

        if kind in MANY:
            return JsonField(
                lambda view: tuple(each for each in said(view) if each is not None), True
            )
        if kind == "*":
            return JsonField(
                lambda view: next((each for each in said(view) if each is not None), None)
            )
        return JsonField(lambda view: next(iter(said(view)), None))

    # Filters

    def _compile_filter(self) -> Iterator[Callable[[CallView], bool]]:
        """Yield a test for each filter."""
        for name, wanted in self._filter.items():
            if name == "trace_roots_only":
                yield lambda view: view.row.parent_id is None
            elif name in ("input_refs", "output_refs"):
                yield self._refers("inputs" if name == "input_refs" else "output", wanted)
            else:
                yield _is_among(self._field(IN_ROW[name]), wanted)

    def _refers(self, name: str, wanted: Sequence[str]) -> Callable[[CallView], bool]:
        self._needs_content = True
        is_wanted = _among(wanted)
        return lambda view: any(is_wanted(ref) for ref in _refs_in(view.shown[name]))

    def page(self, first: int, limit: int | None) -> list[str]:
        """Return the ids of a page in order. Raises InvalidParameter and ClientGone."""
        if not self._is_by_start():
            return select(self.find(), self.order, first, limit)[0]
        is_counted = bool(self._condition or self._tests) or limit is None
        rows = self._read_in_order(is_counted=is_counted)
        found = filter(self._is_wanted, (CallView(self.project_id, row) for row in rows))
        last = None if limit is None else first + limit
        return [view.id for view in islice(found, first, last)]

    def _is_by_start(self) -> bool:
        """Return whether the order is that of the start, and no index finds fewer calls."""
        ids = self._filter.get("call_ids") or equal_texts(self._query, "id")
        is_narrow = ids is not None or self._narrowest()[0] is not None
        return self._order == "started_at" and not (is_narrow or self._needs_content)

    def _read_in_order(self, *, is_counted: bool) -> Iterator[CallRow]:
        """Yield all calls in order of start."""
        newest_first = self.order[0].descending
        stored = self._store.read_by_start(
            *(Call, self.place.entity, self.place.project, SMALL), newest_first=newest_first
        )
        rows = (CallRow(*row) for page in stored for row in page)
        views = self._views.in_order(newest_first=newest_first)
        merged = heapq.merge(
            rows,
            *(map(row_of, each) for each in views),
            key=lambda row: row.started_at or "",
            reverse=newest_first,
        )
        for part in in_parts(merged, PART, lambda _: 0, 1):
            self._counts.add(documents=len(part) if is_counted else 0)
            yield from part

    def find(self) -> Iterator[CallView]:
        """Yield the calls of the query, in any order. Raises InvalidParameter and ClientGone."""
        for rows in self._read():
            views = [CallView(self.project_id, row) for row in rows]
            if self._needs_feedback:
                add_feedback(self._store, self.place, views)
            for view in views:
                if self._is_wanted(view):
                    yield view

    def _is_wanted(self, view: CallView) -> bool:
        if view.row.started_at is None or view.row.op_name is None:
            return False  # Only its end has arrived.
        if not all(test(view) for test in self._tests):
            return False
        return self._condition is None or bool(self._condition(view))

    def _read(self) -> Iterator[list[CallRow]]:
        """Yield pages of what the narrowest index finds, stored calls and then views."""
        ids = self._filter.get("call_ids") or equal_texts(self._query, "id")
        if ids is not None:
            found = self._store.find_documents(Call, self.place.entity, self.place.project, ids)
            rows = map(row_of, chain(found, self._views.find(ids)))
            for part in in_parts(rows, PART, _characters, 1 << 20):
                yield self._counted(part)
            return
        field, values = self._narrowest()
        yield from self._read_stored(field, values)
        for calls in self._views.select(field, values):
            yield self._counted([row_of(call) for call in calls])

    def _read_stored(self, field: str | None, values: Sequence[str]) -> Iterator[list[CallRow]]:
        """Yield pages of stored calls whose field has one of some values."""
        fields = SMALL + (CONTENT if self._needs_content else ())
        for filters in self._filters(field, values):
            query = DocumentQuery(self.place.entity, self.place.project, filters=filters)
            for page in self._store.read_fields(Call, query, fields):
                yield self._counted([CallRow(*row[1:]) for row in page])

    def _counted(self, rows: list[CallRow]) -> list[CallRow]:
        self._counts.add(documents=len(rows), characters=sum(map(_characters, rows)))
        return rows

    def _narrowest(self) -> tuple[str | None, list[str]]:
        """Return the field and the values by which an index finds all calls of the query."""
        for name, field in INDEXED.items():
            values = self._filter.get(name) or equal_texts(self._query, field)
            if values is not None:
                return field, sorted(set(values))
        return None, []

    def _filters(self, field: str | None, values: Sequence[str]) -> Iterator[dict[str, list[str]]]:
        """Yield the filters of an index that together find the stored calls with some values."""
        if field is None:
            yield {}
        elif field == "op_name":
            # An op has many calls: in one list of several, each page would be sorted again.
            yield from ({field: [each]} for each in self._op_names(values))
        else:
            yield from ({field: part} for part in _parts(values))

    def _op_names(self, wanted: Sequence[str]) -> list[str]:
        """Return the names among those wanted that calls have, with all versions of `NAME:*`."""
        if not any(name.endswith(ANY_VERSION) for name in wanted):
            return list(wanted)
        names = self._store.list_op_names(self.place.entity, self.place.project)
        return sorted(filter(_among(wanted), names))


def _derived_field(name: str) -> Expression:
    """Return a field of `summary.weave`. Raises InvalidParameter."""
    part = name.removeprefix("summary.weave.")
    if part not in ("status", "latency_ms", "trace_name"):
        raise invalid("query", "summary.weave has status, latency_ms and trace_name", name)

    def field(view: CallView) -> Any:
        weave = view.shown["summary"]["weave"]
        if part == "trace_name":
            return weave.get("display_name") or weave.get("trace_name")
        return weave.get(part)

    return field


def _is_among(field: Expression, wanted: Sequence[str]) -> Callable[[CallView], bool]:
    is_wanted = _among(wanted)
    return lambda view: is_wanted(field(view))


def _among(wanted: Sequence[str]) -> Callable[[Any], bool]:
    """Return whether a text is among some texts, one of which may be `NAME:*`."""
    prefixes = tuple(each[:-1] for each in wanted if each.endswith(ANY_VERSION))
    exact = set(wanted)
    return lambda text: text in exact or (isinstance(text, str) and text.startswith(prefixes))


def _refs_in(value: Any) -> Iterator[str]:
    """Yield the references in a value."""
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, str):
            if part.startswith("weave:///"):
                yield part
        elif isinstance(part, dict | list):
            left.extend(part.values() if isinstance(part, dict) else part)


def _characters(row: CallRow) -> int:
    return len(row.start_json or "") + len(row.end_json or "")


def _parts(values: Sequence[str]) -> Iterator[list[str]]:
    left = iter(values)
    while part := list(islice(left, PART)):
        yield part


def add_feedback(store: Store, place: Place, views: Sequence[CallView]) -> None:
    """Give views the feedback on their calls, oldest first."""
    found: dict[str, list[Feedback]] = {view.id: [] for view in views}
    scores = Views(store, place, whole=False)
    for part in _parts(list(found)):
        query = DocumentQuery(place.entity, place.project, filters={"call_id": part})
        for each in chain(store.read_documents(Feedback, query), scores.feedback_on(part)):
            found[each.call_id or ""].append(each)
    for view in views:
        by_arrival = sorted(found[view.id], key=lambda each: each.sort_id)
        view.feedback = [show_feedback(each) for each in by_arrival]
