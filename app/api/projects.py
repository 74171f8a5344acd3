"""`/v1/projects`: the projects that a key may read."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.auth import allow_in_scope, caller
from app.api.inputs import query
from app.api.limits import limit_concurrency
from app.api.state import state
from app.api.streams import lines
from app.schemas.projects import ProjectListQuery, ProjectRes
from app.services.projects import list_projects

blueprint = Blueprint("Projects", __name__)

PATH = "/v1/projects"


@blueprint.get("")
@allow_in_scope("read")
@limit_concurrency
@lines(ProjectRes)
@query(ProjectListQuery)
def project_list(query: dict[str, Any]) -> Any:
    """List the projects that the key may read with their counts as JSON lines, newest first."""
    return list_projects(state().store, caller(), query)
