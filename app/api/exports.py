"""Export: `GET /v2/{entity}/{project}/scores/export`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.auth import allow
from app.api.contract import query
from app.api.downloads import download
from app.api.state import state
from app.schemas.exports import ScoreExportQuery
from app.schemas.scores import ScoreReadRes
from app.services.exports import export_scores

blueprint = Blueprint("Exports", __name__)


@blueprint.get("/export")
@allow("read")
@download(ScoreReadRes)
@query(ScoreExportQuery)
def score_export(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Export scores as a file, oldest first."""
    return export_scores(state().store, entity, project, query)
