"""`/v2/{entity}/{project}/predictions`: Weave's resource of predictions."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.auth import allow, caller, current_owner
from app.api.batches import PREDICTION, Batch, batch, store_batch
from app.api.contract import raises, response
from app.api.documents import create_one
from app.api.idempotency import idempotency_key, retry
from app.api.inputs import body, query
from app.api.limits import limit_concurrency
from app.api.state import state
from app.api.streams import lines
from app.errors import NotFound
from app.schemas.predictions import (
    PredictionBatchBody,
    PredictionBatchLine,
    PredictionBatchRes,
    PredictionCreateBody,
    PredictionCreateRes,
    PredictionDeleteQuery,
    PredictionDeleteRes,
    PredictionFinishRes,
    PredictionListQuery,
    PredictionReadRes,
)
from app.schemas.scores import BatchQuery
from app.services.deletions import delete_stored_predictions
from app.services.documents import list_documents, read_document
from app.services.predictions import create_predictions, finish_prediction, new_prediction
from app.stores.base import Outcome
from app.stores.model import Prediction

blueprint = Blueprint("Predictions", __name__)

PATH = "/v2/<entity>/<project>/predictions"


@blueprint.post("")
@allow("create")
@response(PredictionCreateRes)
@body(PredictionCreateBody)
def prediction_create(entity: str, project: str, body: dict[str, Any]) -> dict[str, str]:
    """Create a prediction."""
    sent = retry()
    prediction = new_prediction(entity, project, current_owner(), body, sent)
    return {"prediction_id": create_one(prediction, sent)}


@blueprint.get("/<document_id:prediction_id>")
@allow("read")
@response(PredictionReadRes)
@raises(NotFound)
def prediction_read(entity: str, project: str, prediction_id: str) -> Any:
    """Return a prediction."""
    return read_document(state().store, Prediction, entity, project, prediction_id)


@blueprint.get("")
@allow("read")
@limit_concurrency
@lines(PredictionReadRes)
@query(PredictionListQuery)
def prediction_list(entity: str, project: str, query: dict[str, Any]) -> Any:
    """List predictions as JSON lines, oldest first."""
    filters = {"evaluation_run_id": [query["evaluation_run_id"] or ""]}
    return list_documents(state().store, Prediction, entity, project, filters, query)


@blueprint.delete("")
@allow("delete")
@limit_concurrency
@response(PredictionDeleteRes)
@query(PredictionDeleteQuery)
def prediction_delete(entity: str, project: str, query: dict[str, Any]) -> dict[str, int]:
    """Delete stored predictions, with their scores."""
    ids = query["prediction_ids"]
    deleted = delete_stored_predictions(state().store, entity, project, ids, caller())
    return {"num_deleted": deleted.num_deleted}


@blueprint.post("/batch")
@allow("create")
@limit_concurrency
@response(PredictionBatchRes)
@query(BatchQuery)
@batch(PREDICTION, PredictionBatchLine, PredictionBatchBody)
def prediction_create_batch(
    entity: str, project: str, query: dict[str, Any], batch: Batch
) -> dict[str, Any]:
    """Create many predictions: all or none, or with `partial` only the valid ones."""
    owner, key, partial = current_owner(), idempotency_key(), query["keep_valid"]

    def create(bodies: list[dict[str, Any]]) -> list[Outcome]:
        store = state().store
        return create_predictions(store, entity, project, owner, bodies, key, partial=partial)

    return store_batch(batch, PREDICTION, create, partial=partial)


@blueprint.post("/<document_id:prediction_id>/finish")
@allow("create")
@response(PredictionFinishRes)
@raises(NotFound)
def prediction_finish(entity: str, project: str, prediction_id: str) -> dict[str, bool]:
    """Finish a prediction; its output stays as it is."""
    finish_prediction(state().store, entity, project, prediction_id)
    return {"success": True}
