"""Health: is the process alive, and is its store."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from flask import Blueprint

from app.api.contract import raises, response
from app.api.state import state
from app.errors import StoreUnavailable
from app.schemas.health import HealthRes, VersionRes

blueprint = Blueprint("Health", __name__)

API = "v2"
"""The version of the score API, which stands in its paths."""


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
    state().readiness.check()
    return {"status": "ready"}


@blueprint.get("/version")
@response(VersionRes)
def version_read() -> dict[str, str]:
    """Say which Scoreline this is, and which API it speaks."""
    return {"version": _version(), "api": API}


@cache
def _version() -> str:
    return version("scoreline")
