"""`/v2/{entity}/{project}/evaluation_runs`: Weave's resource of evaluation runs."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.auth import allow, caller, current_owner
from app.api.contract import raises, response
from app.api.deletions import delete_runs
from app.api.documents import create_one
from app.api.idempotency import retry
from app.api.inputs import body, name_ignored, query
from app.api.limits import limit_concurrency
from app.api.state import state
from app.api.streams import lines
from app.errors import IdTaken, NotFound
from app.schemas.evaluation_runs import (
    EvaluationRunCreateBody,
    EvaluationRunCreateQuery,
    EvaluationRunCreateRes,
    EvaluationRunDeleteQuery,
    EvaluationRunDeleteRes,
    EvaluationRunFinishBody,
    EvaluationRunFinishRes,
    EvaluationRunListQuery,
    EvaluationRunReadRes,
)
from app.services.documents import list_documents, read_document
from app.services.evaluation_runs import finish_run, kept_fields, new_run
from app.services.permissions import check_project
from app.stores.model import EvaluationRun

blueprint = Blueprint("Evaluation Runs", __name__)

PATH = "/v2/<entity>/<project>/evaluation_runs"


@blueprint.post("")
@allow("create")
@response(EvaluationRunCreateRes)
@query(EvaluationRunCreateQuery)
@body(EvaluationRunCreateBody)
def evaluation_run_create(
    entity: str, project: str, body: dict[str, Any], query: dict[str, Any]
) -> dict[str, str]:
    """Create an evaluation run, or go on with the one that has its id."""
    sent = retry()
    run = new_run(entity, project, current_owner(), body, sent)
    try:
        return {"evaluation_run_id": create_one(run, sent)}
    except IdTaken:
        if query["if_exists"] is None:
            raise
    if query["if_exists"] == "append":
        name_ignored(dict.fromkeys(kept_fields(state().store, run, body)), set())
        return {"evaluation_run_id": run.id}
    check_project(caller(), "delete", entity, project)
    delete_runs(entity, project, [run.id])
    return {"evaluation_run_id": create_one(run, sent)}


@blueprint.get("/<document_id:evaluation_run_id>")
@allow("read")
@response(EvaluationRunReadRes)
@raises(NotFound)
def evaluation_run_read(entity: str, project: str, evaluation_run_id: str) -> Any:
    """Return an evaluation run."""
    return read_document(state().store, EvaluationRun, entity, project, evaluation_run_id)


@blueprint.get("")
@allow("read")
@limit_concurrency
@lines(EvaluationRunReadRes)
@query(EvaluationRunListQuery)
def evaluation_run_list(entity: str, project: str, query: dict[str, Any]) -> Any:
    """List evaluation runs as JSON lines, oldest first."""
    filters = {
        "evaluation": query["evaluations"],
        "model": query["models"],
        "id": query["evaluation_run_ids"],
    }
    return list_documents(state().store, EvaluationRun, entity, project, filters, query)


@blueprint.delete("")
@allow("delete")
@limit_concurrency
@response(EvaluationRunDeleteRes)
@query(EvaluationRunDeleteQuery)
def evaluation_run_delete(entity: str, project: str, query: dict[str, Any]) -> dict[str, int]:
    """Delete evaluation runs, with their predictions and scores."""
    ids = query["evaluation_run_ids"]
    return {"num_deleted": delete_runs(entity, project, ids).num_deleted}


@blueprint.post("/<document_id:evaluation_run_id>/finish")
@allow("create")
@response(EvaluationRunFinishRes)
@raises(NotFound)
@body(EvaluationRunFinishBody, optional=True)
def evaluation_run_finish(
    entity: str, project: str, evaluation_run_id: str, body: dict[str, Any]
) -> dict[str, bool]:
    """Finish an evaluation run, with its summary."""
    finish_run(state().store, entity, project, evaluation_run_id, body["summary"], caller())
    return {"success": True}
