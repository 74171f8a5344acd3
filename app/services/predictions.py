"""Create and finish predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app import jsontext
from app.examples import example_key
from app.ids import derived_id, new_id
from app.services.documents import common_fields, not_found, read_document, text_or_none
from app.services.scores import NO_RETRY, Retry, add_batch
from app.stores.base import Outcome, Store
from app.stores.model import UNASSIGNED, Prediction

TOO_LARGE = "The prediction is too large for the store"


def new_prediction(
    entity: str, project: str, owner: str | None, body: dict[str, Any], retry: Retry
) -> Prediction:
    """Return the prediction of a loaded PredictionCreateBody."""
    return Prediction(
        id=body["prediction_id"] or UNASSIGNED,
        **common_fields(entity, project, owner, body, retry),
        predict_and_score_call_id=new_id(),
        evaluation_run_id=body["evaluation_run_id"],
        model=body["model"],
        inputs_json=jsontext.write(body["inputs"]),
        output_json=jsontext.write(body["output"]),
        example_id=body["example_id"],
        example_key=example_key(body["example_id"], body["inputs"]),
        trial=body["trial"],
        error=body["error"],
        started_at=body["started_at"],
        finished_at=body["finished_at"],
        usage_json=text_or_none(body["usage"]),
        metadata_json=text_or_none(body["metadata"]),
    )


def imported_prediction(
    entity: str, project: str, owner: str | None, body: dict[str, Any]
) -> Prediction:
    """Return the prediction of a loaded PredictionLine."""
    prediction = new_prediction(entity, project, owner, body, NO_RETRY)
    seed = jsontext.write(["predict_and_score_call", entity, project, prediction.id])
    call_id = body["predict_and_score_call_id"] or derived_id(body["created_at"], seed)
    return replace(
        prediction,
        sort_id=body["sort_id"],
        predict_and_score_call_id=call_id,
        ended_at=body["ended_at"],
    )


def create_predictions(
    store: Store,
    entity: str,
    project: str,
    owner: str | None,
    bodies: Sequence[dict[str, Any]],
    idempotency_key: str | None = None,
    *,
    partial: bool = False,
) -> list[Outcome]:
    """Store many predictions in the order given, as `create_scores` stores scores.

    `bodies` are loaded PredictionBatchLine. Without `partial`, nothing is stored if a prediction
    has a refused outcome. Raises KeyReused, TooLarge and StoreUnavailable.
    """
    predictions = [
        new_prediction(entity, project, owner, body, Retry(body["idempotency_key"]))
        for body in bodies
    ]

    def add(predictions: Sequence[Prediction], partial: bool) -> list[Outcome]:
        if not partial or not predictions:
            return store.add_documents(predictions)
        (outcomes,), _ = store.add_accepted([predictions], [])
        return outcomes

    return add_batch(predictions, idempotency_key, add, TOO_LARGE, partial=partial)


def finish_prediction(store: Store, entity: str, project: str, prediction_id: str) -> None:
    """Store when a prediction was first finished; its output stays as it is. Raises NotFound."""
    found = read_document(store, Prediction, entity, project, prediction_id)
    if found.ended_at is None and not store.change_document(
        Prediction, entity, project, prediction_id, ended_at=datetime.now(UTC)
    ):
        raise not_found(Prediction, prediction_id)
