"""Analysis: `GET /v2/{entity}/{project}/scores/summary`, `compare`, `gate` and others."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.auth import allow
from app.api.contract import raises, response
from app.api.inputs import body, query
from app.api.limits import client_check, limit_concurrency, one_at_a_time
from app.api.state import state
from app.errors import NotFound
from app.schemas.agreement import AgreementQuery, AgreementRes
from app.schemas.comparisons import CompareQuery, CompareRes
from app.schemas.gates import GateBody, GateQuery, GateRes, GatesRes
from app.schemas.summaries import SummaryQuery, SummaryRes
from app.schemas.trends import TrendQuery, TrendRes

blueprint = Blueprint("Analysis", __name__)


@blueprint.get("/summary")
@allow("read")
@limit_concurrency
@response(SummaryRes)
@raises(NotFound)
@query(SummaryQuery)
@one_at_a_time
def score_summary(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Summarise scores by scorer and leaf, or by the fields in `group_by`."""
    from app.analysis.summaries import summarize

    return summarize(state().store, entity, project, query, client_check())


@blueprint.get("/compare")
@allow("read")
@limit_concurrency
@response(CompareRes)
@raises(NotFound)
@query(CompareQuery)
@one_at_a_time
def score_compare(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Compare evaluation runs with a baseline, or rank several, prediction by prediction."""
    from app.analysis.comparisons import compare_runs
    from app.analysis.rankings import rank_runs

    if query["run"]:
        return rank_runs(state().store, entity, project, query, client_check(), state().prices)
    return compare_runs(state().store, entity, project, query, client_check(), state().prices)


@blueprint.get("/trend")
@allow("read")
@limit_concurrency
@response(TrendRes)
@raises(NotFound)
@query(TrendQuery)
@one_at_a_time
def score_trend(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Show one metric over the newest runs, and whether the newest differs from earlier ones."""
    from app.analysis.trends import trend_of

    return trend_of(state().store, entity, project, query, client_check(), state().prices)


@blueprint.get("/agreement")
@allow("read")
@limit_concurrency
@response(AgreementRes)
@raises(NotFound)
@query(AgreementQuery)
@one_at_a_time
def score_agreement(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Say how far two judges agree on the same predictions, and where they do not."""
    from app.analysis.agreements import agreement_of

    return agreement_of(state().store, entity, project, query, client_check())


@blueprint.get("/gate")
@allow("read")
@limit_concurrency
@response(GateRes)
@raises(NotFound)
@query(GateQuery)
@one_at_a_time
def score_gate(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Check one leaf of an evaluation run against limits."""
    from app.analysis.gates import gate_leaf

    return gate_leaf(state().store, entity, project, query, client_check(), state().prices)


@blueprint.post("/gate")
@allow("read")
@limit_concurrency
@response(GatesRes)
@raises(NotFound)
@body(GateBody)
@one_at_a_time
def scores_gate(entity: str, project: str, body: dict[str, Any]) -> Any:
    """Check several leaves of an evaluation run, each against its limits."""
    from app.analysis.gates import gate_run

    return gate_run(state().store, entity, project, body, client_check(), state().prices)
