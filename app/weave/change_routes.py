"""The SDK's routes that rename and delete calls, and delete feedback."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response, request
from marshmallow import fields

from app.api.auth import allow_in_body, caller
from app.api.bodies import read_bytes
from app.api.contract import json_response
from app.api.inputs import body
from app.api.limits import limit_concurrency
from app.api.state import state
from app.errors import InvalidParameter
from app.schemas.fields import JsonObject, Text
from app.weave import changes, intake
from app.weave.blueprints import place_of, sdk_blueprint
from app.weave.calls import answer, keep_feedback, project_of
from app.weave.queries import equal_texts
from app.weave.schemas import List, ProjectBody

blueprint = sdk_blueprint("Weave changes")

MOST = 1_000
"""How many calls, feedback or costs one request deletes."""


class CallUpdateBody(ProjectBody):
    """The body that renames a call."""

    call_id = Text(required=True)
    display_name = Text(required=True)


class CallsDeleteBody(ProjectBody):
    """The body that deletes calls."""

    call_ids: fields.Field[Any] = List(Text(), required=True)


class IdsQueryBody(ProjectBody):
    """The body that deletes what its query names by ids."""

    query = JsonObject(required=True)


@blueprint.post("/call/update")
@allow_in_body("delete")
@body(CallUpdateBody)
def call_update(body: dict[str, Any]) -> Response:
    """Rename a call."""
    place = place_of(body["project_id"])
    changes.rename_call(state().store, place, body["call_id"], body["display_name"])
    return json_response({})


@blueprint.post("/calls/delete")
@allow_in_body("delete")
@limit_concurrency
@body(CallsDeleteBody)
def calls_delete(body: dict[str, Any]) -> Response:
    """Delete calls with those below them, and their runs, predictions and scores."""
    place, call_ids = place_of(body["project_id"]), body["call_ids"]
    if len(call_ids) > MOST:
        raise InvalidParameter("call_ids", None, f"at most {MOST}", place="body")
    num_deleted = changes.delete_named_calls(state().store, place, call_ids, caller())
    return json_response({"num_deleted": num_deleted})


@blueprint.post("/feedback/purge")
@allow_in_body("delete")
@body(IdsQueryBody)
def feedback_purge(body: dict[str, Any]) -> Response:
    """Delete feedback, which the query names by id, with its scores."""
    place = place_of(body["project_id"])
    changes.delete_feedback(state().store, place, ids_in(body), caller())
    return json_response({})


class Replacement(msgspec.Struct):
    """The feedback to replace."""

    feedback_id: str


@blueprint.post("/feedback/replace")
@allow_in_body("delete")
def feedback_replace() -> Response:
    """Store feedback in place of other."""
    raw = msgspec.Raw(read_bytes(request))
    place = place_of(project_of(raw))
    replaced = intake.decode(bytes(raw), Replacement).feedback_id
    (stored,) = keep_feedback(place, [raw])
    if stored.id != replaced:
        changes.delete_feedback(state().store, place, [replaced], caller())
    return json_response(answer(stored))


def ids_in(body: dict[str, Any]) -> list[str]:
    """Return the ids of a loaded IdsQueryBody. Raises InvalidParameter."""
    ids = ids_of(body["query"])
    if ids is None or len(ids) > MOST:
        reason = f"compare the id with at most {MOST} texts"
        raise InvalidParameter("query", body["query"], reason, place="body")
    return ids


def ids_of(query: dict[str, Any]) -> list[str] | None:
    """Return the ids of a query that compares nothing else, joined by `$or` or not."""
    expression = query.get("$expr")
    parts = expression.get("$or", [expression]) if isinstance(expression, dict) else None
    if not isinstance(parts, list) or not parts:
        return None
    try:
        found = [equal_texts({"$expr": part}, "id") for part in parts if len(part) == 1]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None
    if len(found) < len(parts) or any("$and" in part for part in parts):
        return None
    return [each for texts in found if texts for each in texts] if all(found) else None
