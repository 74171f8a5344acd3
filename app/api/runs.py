"""`/v1/{entity}/{project}/runs`: evaluation runs with their counts, also those only named."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.auth import allow, caller
from app.api.contract import raises, response
from app.api.inputs import body, query
from app.api.limits import client_check, limit_concurrency
from app.api.state import state
from app.api.streams import lines
from app.errors import NotFound
from app.schemas.runs import (
    ApprovalBody,
    ApprovalRes,
    PageQuery,
    RunChangeBody,
    RunListQuery,
    RunQuery,
    RunRes,
)
from app.services.approvals import approve_run, list_approvals
from app.services.runs import change_run, list_runs

blueprint = Blueprint("Runs", __name__)

PATH = "/v1/<entity>/<project>/runs"


@blueprint.get("")
@allow("read")
@limit_concurrency
@lines(RunRes)
@query(RunListQuery)
def run_list(entity: str, project: str, query: dict[str, Any]) -> Any:
    """List evaluation runs with their counts as JSON lines, newest first.

    Runs that only scores or predictions name are among them.
    """
    return list_runs(state().store, entity, project, query, client_check())


@blueprint.patch("")
@allow("change")
@limit_concurrency
@response(RunRes)
@raises(NotFound)
@query(RunQuery)
@body(RunChangeBody)
def run_change(
    entity: str, project: str, query: dict[str, Any], body: dict[str, Any]
) -> dict[str, Any]:
    """Name, describe or archive an evaluation run, and return it."""
    return change_run(state().store, entity, project, query["run"], body, caller())


@blueprint.post("/approvals")
@allow("change")
@limit_concurrency
@response(ApprovalRes)
@raises(NotFound)
@body(ApprovalBody)
def run_approve(entity: str, project: str, body: dict[str, Any]) -> Any:
    """Approve an evaluation run: from now on, the baseline `approved` means this run."""
    return approve_run(state().store, entity, project, body, caller(), client_check())


@blueprint.get("/approvals")
@allow("read")
@limit_concurrency
@lines(ApprovalRes)
@query(PageQuery)
def run_approvals(entity: str, project: str, query: dict[str, Any]) -> Any:
    """List the approvals of evaluation runs as JSON lines, newest first; the first one counts."""
    return list_approvals(state().store, entity, project, query)
