"""What the routes of Weave's SDK have in common: bodies, their projects, when to try again."""

from __future__ import annotations

from flask import Blueprint, g, request

from app.api.auth import caller, permitted_project
from app.api.limits import LONG_REQUEST
from app.api.state import state
from app.weave.contents import Place

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


def place_of(project_id: str, part: str = "body") -> Place:
    """Return a project that a part of the request names, and the owner of the caller's key.

    Raises Forbidden and InvalidParameter.
    """
    return callers_place(*permitted_project(project_id, part))


def callers_place(entity: str, project: str) -> Place:
    """Return a project, as a place to which the caller may write."""
    return Place(entity, project, caller().owner, caller().role)
