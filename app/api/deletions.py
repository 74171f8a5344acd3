"""`/v1/{entity}/{project}`: delete runs and predictions, and say how far that is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint

from app.api.auth import allow, caller
from app.api.contract import response
from app.api.inputs import query
from app.api.limits import limit_concurrency
from app.api.state import state
from app.api.streams import link_to_page_after
from app.schemas.deletions import (
    DeletionListQuery,
    DeletionListRes,
    PredictionsDeleteQuery,
    PredictionsDeleteRes,
    RunDeleteQuery,
    RunDeleteRes,
)
from app.services import deletions as service

blueprint = Blueprint("Deletions", __name__)

PATH = "/v1/<entity>/<project>"

PENDING = {None: None, "pending": True, "finished": False}


@blueprint.delete("/runs")
@allow("delete")
@limit_concurrency
@response(RunDeleteRes)
@query(RunDeleteQuery)
def run_delete(entity: str, project: str, query: dict[str, Any]) -> dict[str, Any]:
    """Delete evaluation runs with their predictions and scores.

    They are hidden at once. A large run is removed in the background.
    """
    return asdict(delete_runs(entity, project, query["run"]))


def delete_runs(entity: str, project: str, run_ids: list[str]) -> service.DeletedRuns:
    """Delete runs, and let the background finish what takes longer than a call may."""
    deleted = service.delete_runs(state().store, entity, project, run_ids, caller())
    if deleted.num_pending:
        state().clearing.start()
    return deleted


@blueprint.delete("/predictions")
@allow("delete")
@limit_concurrency
@response(PredictionsDeleteRes)
@query(PredictionsDeleteQuery)
def predictions_delete(entity: str, project: str, query: dict[str, Any]) -> dict[str, Any]:
    """Delete predictions of one run, or of none, with their scores."""
    wanted = [(each, query["run"]) for each in query["prediction"]]
    return asdict(service.delete_predictions(state().store, entity, project, wanted, caller()))


@blueprint.get("/deletions")
@allow("read")
@limit_concurrency
@response(DeletionListRes, header="Link")
@query(DeletionListQuery)
def deletion_list(entity: str, project: str, query: dict[str, Any]) -> dict[str, Any]:
    """List the deletions of evaluation runs, oldest first, and how far they are."""
    limit = query["limit"]
    found = state().store.list_deletions(
        entity, project, pending=PENDING[query["state"]], after=query["after"], limit=limit + 1
    )
    if len(found) > limit:
        link_to_page_after(found[limit - 1].deletion_id)
    return {"deletions": found[:limit]}
