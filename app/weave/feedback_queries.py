"""Find the feedback that a query of Weave's SDK asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from app.analysis.expressions import Expression, JsonField, look_up, to_text
from app.parts import in_parts
from app.stores.base import DocumentQuery, Store
from app.stores.weave import Feedback
from app.weave.call_views import FEEDBACK_FIELDS, Shown, show_feedback
from app.weave.contents import Place
from app.weave.intake import call_id_of
from app.weave.queries import (
    Counts,
    Sort,
    compile_condition,
    compile_order,
    equal_texts,
    invalid,
    split_field,
)
from app.weave.view_queries import Views

TIMES = ("created_at",)
TEXTS = frozenset({"id", "weave_ref", "feedback_type", "created_at"})
"""The fields that all feedback has as text."""

PART = 200


class FeedbackView:
    """Feedback with the names and the values that the SDK reads."""

    def __init__(self, feedback: Feedback) -> None:
        self.id = feedback.id
        self.sort_id = feedback.sort_id
        self._feedback = feedback

    @cached_property
    def shown(self) -> Shown:
        """All fields of the feedback."""
        return show_feedback(self._feedback)


def compile_field(name: Any) -> Expression:
    """Return a field as a function of views. Raises InvalidParameter."""
    first, *parts = split_field(name)
    if first not in FEEDBACK_FIELDS:
        raise invalid("query", f"feedback has no field {name!r}", name)
    if first == "payload":
        return JsonField(lambda view: look_up(view.shown[first], parts))
    return lambda view: look_up(view.shown[first], parts)


class FeedbackQuery:
    """A query of feedback, compiled."""

    def __init__(
        self, store: Store, place: Place, wanted: Mapping[str, Any], counts: Counts
    ) -> None:
        """Compile a loaded FeedbackQueryBody. Raises InvalidParameter."""
        self._store = store
        self._place = place
        self._views = Views(store, place, whole=False)
        self._counts = counts
        self._query = wanted["query"]
        self._condition = compile_condition(self._query, compile_field, TIMES)
        in_order_of_arrival = Sort(lambda view: view.sort_id, descending=False, plain=True)
        self.order = compile_order(wanted["sort_by"] or (), compile_field, TEXTS)
        self.order.append(in_order_of_arrival)
        self._columns = {name: compile_field(name) for name in wanted["columns"] or ()}

    def find(self) -> Iterator[FeedbackView]:
        """Yield the feedback of the query, in any order. Raises InvalidParameter, ClientGone."""
        for part in in_parts(self._read(), PART, _characters, 1 << 20):
            self._counts.add(documents=len(part), characters=sum(map(_characters, part)))
            for view in map(FeedbackView, part):
                if self._condition is None or self._condition(view):
                    yield view

    def answer(self, view: FeedbackView) -> Shown:
        """Return feedback with the wanted fields, or all; a part of its payload is text."""
        if not self._columns:
            return view.shown
        return {
            name: to_text(field(view)) or "" if "." in name else field(view)
            for name, field in self._columns.items()
        }

    def _read(self) -> Iterator[Feedback]:
        """Yield what the narrowest index finds."""
        place = (self._place.entity, self._place.project)
        ids = equal_texts(self._query, "id")
        if ids is not None:
            left = set(ids)
            for each in self._store.find_documents(Feedback, *place, ids):
                left.discard(each.id)
                yield each
            yield from self._views.find_feedback(left)
            return
        refs = equal_texts(self._query, "weave_ref")
        call_ids = [call_id_of(ref) for ref in refs or ()]
        found = [each for each in call_ids if each]
        # Feedback on objects has no index.
        if refs is None or len(found) < len(call_ids):
            yield from self._store.read_documents(Feedback, DocumentQuery(*place))
            yield from self._views.all_feedback()
            return
        query = DocumentQuery(*place, filters={"call_id": found})
        yield from self._store.read_documents(Feedback, query)
        yield from self._views.feedback_on(found)


def _characters(feedback: Feedback) -> int:
    return len(feedback.body_json)
