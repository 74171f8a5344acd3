"""`/v2/{entity}/{project}/scores/summary`: what the scores of a project say."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.auth import allow
from app.api.contract import query, response
from app.api.state import state
from app.api.turns import in_turn
from app.schemas.summaries import SummaryQuery, SummaryRes

blueprint = Blueprint("Summaries", __name__)


@blueprint.get("/summary")
@allow("read")
@response(SummaryRes)
@query(SummaryQuery)
@in_turn
def score_summary(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Summarise scores by scorer and leaf, or by what `group_by` says."""
    from app.services.summaries import summarize

    return summarize(state().store, entity, project, query)
