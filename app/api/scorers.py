"""`/v1/{entity}/{project}/scorers`: scorers with their references and leaves."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.analysis.scorers import list_scorers
from app.api.auth import allow
from app.api.inputs import query
from app.api.limits import client_check, limit_concurrency, one_at_a_time
from app.api.state import state
from app.api.streams import lines
from app.schemas.scorers import ScorerListQuery, ScorerRes

blueprint = Blueprint("Scorers", __name__)

PATH = "/v1/<entity>/<project>/scorers"


@blueprint.get("")
@allow("read")
@limit_concurrency
@lines(ScorerRes)
@query(ScorerListQuery)
@one_at_a_time
def scorer_list(entity: str, project: str, query: dict[str, Any]) -> Any:
    """List scorers with their references and leaves as JSON lines, newest first."""
    return list_scorers(state().store, entity, project, query, client_check())
