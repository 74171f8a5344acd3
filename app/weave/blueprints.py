"""What the routes of Weave's SDK have in common: the size of bodies, and when to try again."""

from __future__ import annotations

from flask import Blueprint, g, request

from app.api.limits import LONG_REQUEST
from app.api.state import state

RETRY_AFTER_SECONDS = 5
"""The `Retry-After` of a 503. The SDK tries three times, within 1.5 seconds without one, and a
program hangs if an object is refused."""


def sdk_blueprint(name: str, *, always: bool = False) -> Blueprint:
    """Return a blueprint of the SDK's routes, which count as no long requests if `always`."""
    blueprint = Blueprint(name, __name__)

    @blueprint.before_request
    def prepare() -> None:
        request.max_content_length = state().sdk_body_bytes
        g.retry_after_seconds = RETRY_AFTER_SECONDS
        if always:
            request.environ[LONG_REQUEST] = None

    return blueprint
