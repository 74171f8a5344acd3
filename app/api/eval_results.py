"""`POST /v2/{entity}/{project}/eval_results/query`: Weave's evaluation results by example."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.analysis.eval_results import query_results
from app.api.auth import allow
from app.api.contract import response
from app.api.inputs import body
from app.api.limits import client_check, limit_concurrency, one_at_a_time
from app.api.state import state
from app.schemas.eval_results import EvalResultsBody, EvalResultsRes

blueprint = Blueprint("Evaluation Results", __name__)

PATH = "/v2/<entity>/<project>/eval_results"


@blueprint.post("/query")
@allow("read")
@limit_concurrency
@response(EvalResultsRes)
@body(EvalResultsBody)
@one_at_a_time
def eval_results_query(entity: str, project: str, body: dict[str, Any]) -> Any:
    """Return the predictions and current scores of evaluation runs by example."""
    return query_results(state().store, entity, project, body, client_check())
