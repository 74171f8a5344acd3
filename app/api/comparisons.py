"""`/v2/{entity}/{project}/scores/compare`: whether a run is better than another."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.answers import raises
from app.api.auth import allow
from app.api.contract import query, response
from app.api.state import state
from app.api.turns import in_turn
from app.errors import NotFound
from app.schemas.comparisons import CompareQuery, CompareRes

blueprint = Blueprint("Comparisons", __name__)


@blueprint.get("/compare")
@allow("read")
@response(CompareRes)
@raises(NotFound)
@query(CompareQuery)
@in_turn
def score_compare(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Compare evaluation runs with a baseline, prediction by prediction."""
    from app.services.comparisons import compare_runs

    return compare_runs(state().store, entity, project, query)
