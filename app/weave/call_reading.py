"""The SDK's routes that read calls and feedback back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from flask import Response, request

from app import jsontext
from app.api.auth import allow_in_body
from app.api.contract import json_response
from app.api.inputs import body
from app.api.limits import client_check, limit_concurrency, one_at_a_time
from app.api.state import state
from app.api.streams import stream
from app.stores.model import AnyDocument, Document
from app.stores.weave import Call, Feedback
from app.weave.blueprints import place_of, sdk_blueprint
from app.weave.call_queries import CallQuery, add_feedback
from app.weave.call_reading_schemas import (
    CallReadBody,
    CallsQueryBody,
    CallsStatsBody,
    FeedbackQueryBody,
)
from app.weave.call_views import CallView, Shown, row_of, without_defaults
from app.weave.contents import Place
from app.weave.feedback_queries import FeedbackQuery, FeedbackView
from app.weave.queries import Counts, select
from app.weave.view_queries import Views

blueprint = sdk_blueprint("Weave call reading")

PART = 20
"""How many calls or feedback are held in memory to be sent."""


def call_query(body: Mapping[str, Any]) -> CallQuery:
    """Return the query of a body. Raises InvalidParameter and Forbidden."""
    place = place_of(body["project_id"])
    return CallQuery(state().store, place, body, Counts(client_check()))


@one_at_a_time
def selected(query: CallQuery, offset: int | None, limit: int | None) -> list[str]:
    """Return the ids of a page of calls in order."""
    return query.page(offset or 0, limit)


@one_at_a_time
def selected_feedback(
    query: FeedbackQuery, offset: int | None, limit: int | None
) -> tuple[list[str], int]:
    """Return the ids of a page of feedback in order, and how much there is on all pages."""
    return select(query.find(), query.order, offset or 0, limit)


def read_in_order(
    kind: type[AnyDocument],
    find_views: Callable[[Sequence[str]], Iterable[AnyDocument]],
    place: Place,
    ids: Sequence[str],
) -> Iterator[list[AnyDocument]]:
    """Yield lists of the documents or views with these ids that still exist, in this order."""
    store, left = state().store, iter(ids)
    while part := list(islice(left, PART)):
        found = store.find_documents(kind, place.entity, place.project, part)
        by_id = {each.id: each for each in found}
        # Of a call that has only been renamed, there may be a view.
        if missing := [each for each in part if not _has_begun(by_id.get(each))]:
            by_id |= {each.id: each for each in find_views(missing)}
        yield [by_id[each] for each in part if each in by_id]


def _has_begun(document: Document | None) -> bool:
    return document is not None and not (isinstance(document, Call) and not document.started_at)


def views_in(place: Place) -> Views:
    """Return the views in a project, with their content."""
    return Views(state().store, place, whole=True)


@blueprint.post("/calls/stream_query")
@allow_in_body("read")
@limit_concurrency
@body(CallsQueryBody)
def calls_stream_query(body: dict[str, Any]) -> Response:
    """Return the calls of a query as JSON lines."""
    query, store = call_query(body), state().store
    limit = body["limit"] or None  # As on Weave's server, 0 is no limit.
    ids = selected(query=query, offset=body["offset"], limit=limit)
    columns = [name.partition(".")[0].removesuffix("_dump") for name in body["columns"] or ()]

    def lines() -> Iterator[bytes]:
        found = read_in_order(Call, views_in(query.place).find, query.place, ids)
        for calls in found:
            views = [CallView(query.project_id, row_of(call)) for call in calls]
            if body["include_feedback"]:
                add_feedback(store, query.place, views)
            for view in views:
                shown = view.answer(columns or None)
                if body["return_expanded_column_values"]:
                    shown = query.expansion.apply(shown)
                yield f"{jsontext.write(shown)}\n".encode()

    return stream(lines(), "application/jsonl")


@blueprint.post("/calls/query_stats")
@allow_in_body("read")
@limit_concurrency
@body(CallsStatsBody)
def calls_query_stats(body: dict[str, Any]) -> Response:
    """Return how many calls a query finds, at most its limit."""
    query, limit = call_query(body), body["limit"]
    count = counted(query=query, limit=limit)
    has_more = limit is not None and count >= limit
    return json_response({"count": count, "has_more": has_more, "total_storage_size_bytes": None})


@one_at_a_time
def counted(query: CallQuery, limit: int | None) -> int:
    """Return how many calls a query finds, at most `limit`."""
    return sum(1 for _ in islice(query.find(), limit))


@blueprint.post("/call/read")
@allow_in_body("read")
@body(CallReadBody)
def call_read(body: dict[str, Any]) -> Response:
    """Return a call, or null."""
    return json_response({"call": find_call(place_of(body["project_id"]), body["id"])})


def find_call(place: Place, call_id: str) -> Shown | None:
    """Return a call as the SDK reads it, or None, also if only its end has arrived."""
    found = chain.from_iterable(read_in_order(Call, views_in(place).find, place, [call_id]))
    begun = (call for call in found if call.started_at and call.op_name)
    project_id = f"{place.entity}/{place.project}"
    return next((CallView(project_id, row_of(call)).answer(None) for call in begun), None)


@blueprint.post("/feedback/query")
@allow_in_body("read")
@limit_concurrency
@body(FeedbackQueryBody)
def feedback_query(body: dict[str, Any]) -> Response:
    """Return the feedback of a query, and how much there is of it on all pages."""
    place = place_of(body["project_id"])
    query = FeedbackQuery(state().store, place, body, Counts(client_check()))
    ids, count = selected_feedback(query=query, offset=body["offset"], limit=body["limit"])
    parts = read_in_order(Feedback, views_in(place).find_feedback, place, ids)
    is_short = _refuses_unknown_fields() and not body["columns"]
    shown = (query.answer(FeedbackView(each)) for each in chain.from_iterable(parts))
    items = (jsontext.write(without_defaults(each) if is_short else each) for each in shown)
    end = f'],"total_count":{count}}}'
    pieces = chain(['{"result":['], _separated(items), [end])
    return stream((piece.encode() for piece in pieces), "application/json")


def _refuses_unknown_fields() -> bool:
    """Return whether an SDK asks that may be too old to take fields which it does not know."""
    is_old = (request.user_agent.string or "").startswith("python-httpx/")
    return is_old and "X-Weave-Retry-Id" in request.headers


def _separated(items: Iterable[str]) -> Iterator[str]:
    """Yield items with commas between them."""
    for place, item in enumerate(items):
        yield f",{item}" if place else item
