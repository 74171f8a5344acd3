"""`/metrics`: what is counted, for Prometheus; and how a request is counted."""

from __future__ import annotations

from flask import Blueprint, Request, Response, request

from app.api.auth import allow_everywhere
from app.api.contract import contract_of
from app.api.state import state
from app.metrics import CONTENT_TYPE


def blueprint(*, public: bool) -> Blueprint:
    """The route; it needs a key that may read every project, unless it is public."""
    made = Blueprint("Metrics", __name__)
    made.get("/metrics")(metrics if public else allow_everywhere("read")(metrics))
    return made


def metrics() -> Response:
    """Show the counts of all worker processes, in Prometheus' text format."""
    return Response(state().metrics.text(), content_type=CONTENT_TYPE)


contract_of(metrics).mimetype = "text/plain"


def count_request(status: int, seconds: float) -> None:
    """Count the request that is answered now, by the route that it found."""
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
    rule = asked.url_rule  # Through the proxy each of the two would cost as much as a count.
    state().metrics.count_request(rule.rule if rule else None, asked.method, status, seconds)
