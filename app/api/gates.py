"""`/v2/{entity}/{project}/scores/gate`: whether a run is good enough to go on."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.auth import allow
from app.api.contract import query, response
from app.api.state import state
from app.api.turns import in_turn
from app.schemas.gates import GateQuery, GateRes

blueprint = Blueprint("Gates", __name__)


@blueprint.get("/gate")
@allow("read")
@response(GateRes)
@query(GateQuery)
@in_turn
def score_gate(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Hold one leaf of an evaluation run to bounds; without data it fails."""
    from app.services.gates import gate_run

    return gate_run(state().store, entity, project, query)
