"""Weave's score resource: `/v2/{entity}/{project}/scores`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.auth import allow, current_key
from app.api.contract import body, response
from app.api.state import state
from app.schemas.scores import ScoreCreateBody, ScoreCreateRes
from app.services import scores as service

blueprint = Blueprint("Scores", __name__)


@blueprint.post("/v2/<entity>/<project>/scores")
@allow("create")
@response(ScoreCreateRes)
@body(ScoreCreateBody)
def score_create(entity: str, project: str, body: dict[str, Any]) -> dict[str, str]:
    """Keep one score."""
    key = current_key()
    owner = key.owner if key else None
    return {"score_id": service.create_score(state().store, entity, project, owner, body)}
