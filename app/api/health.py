"""Health: is the process alive, and is its store."""

from __future__ import annotations

from flask import Blueprint

from app.api.answers import raises
from app.api.contract import response
from app.api.state import state
from app.errors import StoreUnavailable
from app.schemas.health import HealthRes

blueprint = Blueprint("Health", __name__)


@blueprint.get("/health/live")
@response(HealthRes)
def health_live() -> dict[str, str]:
    """Answer as soon as the process serves."""
    return {"status": "live"}


@blueprint.get("/health/ready")
@response(HealthRes)
@raises(StoreUnavailable)
def health_ready() -> dict[str, str]:
    """Answer 200 when the store answers, and 503 when it does not."""
    state().store.ping()
    return {"status": "ready"}
