"""The SDK's routes for the start of a program, and the pages that it prints links to."""

from __future__ import annotations

from typing import Any

from flask import redirect, url_for
from werkzeug.wrappers import Response

from app.api.auth import allow, allow_in_scope, caller
from app.api.contract import json_response, raises
from app.api.inputs import body
from app.api.state import state
from app.errors import NotFound
from app.services.permissions import EVERYWHERE
from app.stores.base import DocumentQuery
from app.stores.model import EvaluationRun, Prediction
from app.weave.blueprints import callers_place, sdk_blueprint
from app.weave.call_reading import find_call
from app.weave.schemas import GraphqlBody

blueprint = sdk_blueprint("Weave sessions")

SERVER_INFO = {"min_required_weave_python_version": "0.0.1", "trace_server_version": None}


@blueprint.get("/server_info")
@allow_in_scope("connect")
def server_info() -> Response:
    """Return the versions that the SDK compares with its own."""
    return json_response(SERVER_INFO)


@blueprint.post("/graphql")
@allow_in_scope("connect")
@body(GraphqlBody)
def graphql(body: dict[str, Any]) -> Response:
    """Answer the SDK's three queries: of a project, of the viewer, and to create a project."""
    variables = body["variables"] or {}
    name = variables.get("name")
    if "upsertModel" in body["query"]:
        model = {"name": name, "entityName": variables.get("entityName") or default_entity()}
        return json_response({"data": {"upsertModel": {"model": model}}})
    if "viewer" in body["query"]:
        entity = {"name": default_entity()}
        viewer = {"username": caller().owner, "defaultEntity": entity}
        return json_response({"data": {"viewer": viewer}})
    return json_response({"data": {"project": {"name": name}}})


def default_entity() -> str:
    """Return the entity of the caller's key, or the one of the setting if it has several."""
    entity = caller().scope.partition("/")[0]
    return state().default_entity if entity == EVERYWHERE else entity


@blueprint.get("/<entity>/<project>/weave")
@allow("read")
def project_page(entity: str, project: str) -> Response:
    """Redirect to the runs of a project."""
    return redirect(url_for("Runs.run_list", entity=entity, project=project))


@blueprint.get("/<entity>/<project>/r/call/<call_id>")
@allow("read")
@raises(NotFound)
def call_page(entity: str, project: str, call_id: str) -> Response:
    """Redirect to the run or the prediction that a call became, or return another call itself."""
    if state().store.find_document(EvaluationRun, entity, project, call_id):
        view = "Evaluation Runs.evaluation_run_read"
        return redirect(url_for(view, entity=entity, project=project, evaluation_run_id=call_id))
    if prediction_id := _prediction_of(entity, project, call_id):
        view = "Predictions.prediction_read"
        return redirect(url_for(view, entity=entity, project=project, prediction_id=prediction_id))
    call = find_call(callers_place(entity, project), call_id)
    if call is None:
        raise NotFound(f"Call {call_id} not found")
    return json_response(call)


def _prediction_of(entity: str, project: str, call_id: str) -> str | None:
    """Return the id of the prediction that a call of the model, or the call around it, became."""
    for name in ("id", "predict_and_score_call_id"):
        query = DocumentQuery(entity, project, filters={name: [call_id]})
        for page in state().store.read_fields(Prediction, query, ["id"]):
            for _, prediction_id in page:
                return str(prediction_id)
    return None
