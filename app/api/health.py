"""`/health/live`, `/health/ready`, `/version` and `/metrics`, for probes and monitoring."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from flask import Blueprint, Response

from app.api.auth import allow_everywhere
from app.api.contract import contract_of, raises, response
from app.api.state import state
from app.errors import StoreUnavailable
from app.metrics import CONTENT_TYPE
from app.schemas.fields import Shape, Text

health = Blueprint("Health", __name__)

API = "v2"
"""The version of the score API, as in its paths."""


class HealthRes(Shape):
    """The response to a probe."""

    status = Text("`live` or `ready`.", required=True)


class VersionRes(Shape):
    """The versions of the service."""

    version = Text("The version of Scoreline.", required=True)
    api = Text("The version of the score API: `v2`.", required=True)


@health.get("/health/live")
@response(HealthRes)
def health_live() -> dict[str, str]:
    """Return 200 while the process is serving."""
    return {"status": "live"}


@health.get("/health/ready")
@response(HealthRes)
@raises(StoreUnavailable)
def health_ready() -> dict[str, str]:
    """Return 200 if the store responds, otherwise 503."""
    state().readiness.check()
    return {"status": "ready"}


@health.get("/version")
@response(VersionRes)
def version_read() -> dict[str, str]:
    """Return the versions of Scoreline and of its API."""
    return {"version": _version(), "api": API}


@cache
def _version() -> str:
    return version("scoreline")


def metrics_blueprint(*, public: bool) -> Blueprint:
    """Return a blueprint with the route, which needs a key for all projects unless public."""
    blueprint = Blueprint("Metrics", __name__)
    blueprint.get("/metrics")(metrics if public else allow_everywhere("read")(metrics))
    return blueprint


def metrics() -> Response:
    """Return the metrics of all worker processes in Prometheus' text format."""
    return Response(state().metrics.text(), content_type=CONTENT_TYPE)


contract_of(metrics).mimetype = "text/plain"
