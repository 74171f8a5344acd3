"""`/v1/{entity}/{project}/predictions`: the predictions of a run with their current scores."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.auth import allow
from app.api.contract import raises
from app.api.inputs import query
from app.api.limits import client_check, limit_concurrency
from app.api.state import state
from app.api.streams import lines
from app.errors import NotFound
from app.schemas.run_predictions import RunPredictionListQuery, RunPredictionRes
from app.services.gaps import find_predictions

blueprint = Blueprint("Run Predictions", __name__)

PATH = "/v1/<entity>/<project>/predictions"


@blueprint.get("")
@allow("read")
@limit_concurrency
@lines(RunPredictionRes)
@raises(NotFound)
@query(RunPredictionListQuery)
def run_prediction_list(entity: str, project: str, query: dict[str, Any]) -> Any:
    """List the predictions of a run with their current scores as JSON lines, newest first.

    Predictions that only scores name are among them. With `missing`, list what the run lacks.
    """
    return find_predictions(state().store, entity, project, query, client_check())
