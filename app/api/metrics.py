"""`/v1/{entity}/{project}/metrics`: what is declared of the leaves of scorers."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.analysis.metric_proposals import propose_metrics
from app.analysis.schema_checks import check_values
from app.api.auth import allow, caller
from app.api.contract import raises, response
from app.api.inputs import body, no_query, query
from app.api.limits import client_check, limit_concurrency, one_at_a_time
from app.api.state import state
from app.errors import NotFound
from app.schemas.metrics import (
    MetricDeleteRes,
    MetricQuery,
    MetricsBody,
    MetricsQuery,
    MetricsRes,
    ProposalRes,
    RunFilter,
    SchemaChecksRes,
)
from app.services.metrics import declare_metrics, read_metrics, remove_metric

blueprint = Blueprint("Declared Metrics", __name__)

PATH = "/v1/<entity>/<project>/metrics"


@blueprint.get("")
@allow("read")
@limit_concurrency
@response(MetricsRes)
@no_query
def metric_list(entity: str, project: str) -> Any:
    """Return the declared metrics by scorer and leaf."""
    return read_metrics(state().store, entity, project).values()


@blueprint.get("/proposal")
@allow("read")
@limit_concurrency
@response(ProposalRes)
@raises(NotFound)
@query(RunFilter)
@one_at_a_time
def metric_propose(entity: str, project: str, query: dict[str, Any]) -> dict[str, Any]:
    """Return what the current scores show of the leaves that are not declared."""
    return propose_metrics(state().store, entity, project, query, client_check())


@blueprint.get("/against_schema")
@allow("read")
@limit_concurrency
@response(SchemaChecksRes)
@raises(NotFound)
@query(RunFilter)
@one_at_a_time
def metric_check(entity: str, project: str, query: dict[str, Any]) -> dict[str, Any]:
    """Count the current values that are against the schemas of their metrics."""
    checks = check_values(state().store, entity, project, query, client_check())
    return {"metrics": [each.described() for each in checks]}


@blueprint.put("")
@allow("change")
@limit_concurrency
@response(MetricsRes)
@query(MetricsQuery)
@body(MetricsBody)
def metric_declare(entity: str, project: str, query: dict[str, Any], body: dict[str, Any]) -> Any:
    """Declare metrics, each in place of what was declared of it before, and return them."""
    bodies, dry_run = body["metrics"], query["dry_run"]
    return declare_metrics(state().store, entity, project, bodies, caller(), dry_run=dry_run)


@blueprint.delete("")
@allow("change")
@response(MetricDeleteRes)
@raises(NotFound)
@query(MetricQuery)
def metric_remove(entity: str, project: str, query: dict[str, Any]) -> dict[str, int]:
    """Remove what is declared of one leaf of a scorer."""
    place = (query["scorer"], query["leaf"])
    remove_metric(state().store, entity, project, *place, caller())
    return {"num_deleted": 1}
