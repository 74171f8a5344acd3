"""`/v2/{entity}/{project}/scores`: Weave's score resource, with batches and changes."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, after_this_request
from werkzeug.routing import BaseConverter

from app.api.auth import allow, caller, current_owner
from app.api.batches import SCORE, Batch, batch, store_batch
from app.api.contract import raises, response
from app.api.idempotency import idempotency_key, mark_replayed, retry
from app.api.inputs import body, no_query, query
from app.api.limits import client_check, limit_concurrency
from app.api.state import state
from app.api.streams import lines
from app.api.value_checks import check_value, with_checked_values
from app.errors import CursorExpired, NotFound
from app.schemas.scores import (
    BatchQuery,
    ScoreBatchBody,
    ScoreBatchLine,
    ScoreBatchRes,
    ScoreBody,
    ScoreChangesQuery,
    ScoreCreateBody,
    ScoreCreateRes,
    ScoreDeleteQuery,
    ScoreDeleteRes,
    ScoreListQuery,
    ScoreReadRes,
)
from app.services import scores as service
from app.services.lists import Page, read_changes, with_superseding
from app.services.searches import search_scores
from app.stores.base import Outcome

blueprint = Blueprint("Scores", __name__)

PATH = "/v2/<entity>/<project>/scores"
CURSOR = "Scoreline-Cursor"


class ScoreId(BaseConverter):
    """A score_id in a path: any segment except the names of the other routes."""

    regex = r"(?!(?:batch|summary|compare|trend|agreement|gate|export|import|changes)\Z)[^/]+"
    part_isolating = True


@blueprint.post("")
@allow("create")
@response(ScoreCreateRes)
@body(ScoreBody, encoded=True, documented=ScoreCreateBody)
def score_create(entity: str, project: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create a score."""
    sent = (state().store, entity, project, current_owner(), body, retry())
    check_value(entity, project, body, lambda: service.is_replay(*sent))
    outcome = service.create_score(*sent)
    mark_replayed([outcome], are_scores=True)
    return {"score_id": outcome.id}


@blueprint.get("/<score_id:score_id>")
@allow("read")
@response(ScoreReadRes)
@raises(NotFound)
def score_read(entity: str, project: str, score_id: str) -> Any:
    """Return a score."""
    return service.read_score(state().store, entity, project, score_id)


@blueprint.get("")
@allow("read")
@limit_concurrency
@lines(ScoreReadRes)
@query(ScoreListQuery)
def score_list(entity: str, project: str, query: dict[str, Any]) -> Any:
    """List scores as JSON lines, oldest first, or in another order."""
    store = state().store
    page = search_scores(store, entity, project, query, client_check())
    return with_superseding(store, page)


@blueprint.get("/<score_id:score_id>/history")
@allow("read")
@limit_concurrency
@lines(ScoreReadRes)
@raises(NotFound)
@no_query
def score_history(entity: str, project: str, score_id: str) -> Any:
    """Return all scores of the same run, prediction, scorer and annotator, newest first.

    The first is the current one. They are JSON lines, whichever of their ids is in the path.
    """
    return Page(service.read_history(state().store, entity, project, score_id), None)


@blueprint.get("/changes")
@allow("read")
@limit_concurrency
@lines(ScoreReadRes, header=CURSOR)
@raises(CursorExpired)
@query(ScoreChangesQuery)
def score_changes(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Return new scores as JSON lines, in the order in which they became visible.

    The header `Scoreline-Cursor` holds the cursor for the next call. Deletions are not reported.
    """
    is_stopping = state().stopping.is_set
    changes = read_changes(state().store, entity, project, query, client_check(), is_stopping)

    @after_this_request
    def add_cursor(response: Response) -> Response:
        response.headers[CURSOR] = changes.cursor
        return response

    return Page(iter(changes.scores), None)


@blueprint.delete("")
@allow("delete")
@response(ScoreDeleteRes)
@query(ScoreDeleteQuery)
def score_delete(entity: str, project: str, query: dict[str, Any]) -> dict[str, int]:
    """Delete scores."""
    score_ids = query["score_ids"]
    deleted = service.delete_scores(state().store, entity, project, score_ids, caller())
    return {"num_deleted": deleted}


@blueprint.post("/batch")
@allow("create")
@limit_concurrency
@response(ScoreBatchRes)
@query(BatchQuery)
@batch(SCORE, ScoreBatchLine, ScoreBatchBody)
def score_create_batch(
    entity: str, project: str, query: dict[str, Any], batch: Batch
) -> dict[str, Any]:
    """Create many scores: all or none, or with `partial` only the valid ones."""
    place = (state().store, entity, project, current_owner())
    key, partial = idempotency_key(), query["keep_valid"]

    def find_replays(bodies: list[dict[str, Any]]) -> list[bool]:
        return service.find_replays(*place, bodies, key)

    def create(bodies: list[dict[str, Any]]) -> list[Outcome]:
        return service.create_scores(*place, bodies, key, partial=partial)

    batch = with_checked_values(entity, project, batch, find_replays)
    return store_batch(batch, SCORE, create, partial=partial)
