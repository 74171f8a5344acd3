"""The SDK's routes for calls and feedback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from flask import Response, request

from app import jsontext
from app.api.auth import allow, allow_in_body
from app.api.bodies import read_bytes
from app.api.contract import json_response
from app.api.state import state
from app.errors import Unreadable
from app.stores.weave import Call, Feedback
from app.weave import intake
from app.weave.blueprints import callers_place, place_of, sdk_blueprint
from app.weave.call_views import show_feedback
from app.weave.contents import Place
from app.weave.facts import is_of_evaluation
from app.weave.projection import project
from app.weave.repeats import keep_beside_deletions

blueprint = sdk_blueprint("Weave calls")


def keep_calls(place: Place, calls: Sequence[Call]) -> list[Call]:
    """Store calls, then the runs, predictions and scores that follow from them."""
    store = state().store

    def keep() -> list[Call]:
        stored = intake.add_calls(store, calls, may_change=place.may_change)
        outside = [call.id for call in stored if call.start_json and not is_of_evaluation(call)]
        project(store, place, intake.touched(stored), outside)
        return stored

    return keep_beside_deletions(store, place, intake.touched(calls), keep)


@blueprint.post("/v2/<entity>/<project>/calls/complete")
@allow("create")
def calls_complete(entity: str, project: str) -> Response:
    """Store calls that have ended."""
    place = callers_place(entity, project)
    batch = intake.decode_batch(read_bytes(request), intake.CompleteBatch)
    keep_calls(place, [intake.started(place, each) for each in batch])
    return json_response({})


@blueprint.post("/v2/<entity>/<project>/call/start")
@allow("create")
def call_start(entity: str, project: str) -> Response:
    """Store a call that has started."""
    place = callers_place(entity, project)
    sent = intake.decode(read_bytes(request), intake.Start)
    (call,) = keep_calls(place, [intake.started(place, sent.start)])
    return json_response({"id": call.id, "trace_id": call.trace_id})


@blueprint.post("/v2/<entity>/<project>/call/end")
@allow("create")
def call_end(entity: str, project: str) -> Response:
    """Store the end of a call."""
    place = callers_place(entity, project)
    sent = intake.decode(read_bytes(request), intake.End)
    keep_calls(place, [intake.ended(place, sent.end)])
    return json_response({})


@blueprint.post("/call/upsert_batch")
@allow_in_body("create")
def call_upsert_batch() -> Response:
    """Store the starts and the ends of calls."""
    batch = intake.decode_batch(read_bytes(request), intake.StepBatch)
    steps = [(each.mode, *step_of(each)) for each in batch]
    place = one_place([project_id for _, project_id, _ in steps])
    if place is None:
        return json_response({"res": []})
    make = {"start": intake.started, "end": intake.ended}
    stored = keep_calls(place, [make[mode](place, raw) for mode, _, raw in steps])
    return json_response(
        {
            "res": [
                {"id": call.id, "trace_id": call.trace_id} if mode == "start" else {}
                for (mode, _, _), call in zip(steps, stored, strict=True)
            ]
        }
    )


def step_of(step: intake.Step) -> tuple[str, msgspec.Raw]:
    """Return the project of a start or an end, and the call in it. Raises Unreadable."""
    if step.mode == "start":
        raw = intake.decode(bytes(step.req), intake.Start).start
    elif step.mode == "end":
        raw = intake.decode(bytes(step.req), intake.End).end
    else:
        raise Unreadable("mode is neither start nor end")
    return project_of(raw), raw


class InProject(msgspec.Struct):
    """The project of a call or of feedback."""

    project_id: str


def project_of(raw: msgspec.Raw) -> str:
    """Return the `project_id` of an item. Raises Unreadable."""
    project_id = intake.decode(bytes(raw), InProject).project_id
    if jsontext.REPLACEMENT in project_id:
        raise Unreadable("project_id is no valid text")
    return project_id


def one_place(project_ids: Sequence[str]) -> Place | None:
    """Return the project that all items of a batch name. Raises Unreadable and Forbidden."""
    if not project_ids:
        return None
    if len(set(project_ids)) > 1:
        raise Unreadable("a batch must be for one project")
    return place_of(project_ids[0])


def keep_feedback(place: Place, items: Sequence[msgspec.Raw]) -> list[Feedback]:
    """Store feedback, then the scores in it."""
    store = state().store
    sent = [intake.feedback_of(place, each) for each in items]
    ids = [each.call_id for each in sent if each.call_id]

    def keep() -> list[Feedback]:
        stored = intake.add_feedback(store, sent, may_change=place.may_change)
        calls = list(store.find_documents(Call, place.entity, place.project, ids))
        project(store, place, intake.touched(calls) | ({*ids} - {call.id for call in calls}))
        return stored

    return keep_beside_deletions(store, place, ids, keep)


def answer(feedback: Feedback) -> dict[str, Any]:
    """Return the response to one feedback."""
    shown = show_feedback(feedback)
    return {name: shown[name] for name in ("id", "created_at", "wb_user_id", "payload")}


@blueprint.post("/feedback/create")
@allow_in_body("create")
def feedback_create() -> Response:
    """Store feedback on a call."""
    raw = msgspec.Raw(read_bytes(request))
    place = place_of(project_of(raw))
    (stored,) = keep_feedback(place, [raw])
    return json_response(answer(stored))


@blueprint.post("/feedback/batch/create")
@allow_in_body("create")
def feedback_create_batch() -> Response:
    """Store feedback on several calls."""
    items = intake.decode_batch(read_bytes(request), intake.FeedbackBatch)
    place = one_place([project_of(each) for each in items])
    stored = keep_feedback(place, items) if place else []
    return json_response({"res": [answer(each) for each in stored]})
