"""Scores: make one from what was sent, and keep it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from uuid_utils import uuid7

from app import jsontext
from app.services.leaves import leaves
from app.stores.base import Score, Store


def create_score(
    store: Store, entity: str, project: str, owner: str | None, body: dict[str, Any]
) -> str:
    """Keep one score and return its score_id, a UUIDv7 in lower case.

    `body` is a loaded ScoreCreateBody. Raises TooLarge and StoreUnavailable.
    """
    score = _new_score(entity, project, owner, body)
    store.add_score(score)
    return score.score_id


def _new_score(entity: str, project: str, owner: str | None, body: dict[str, Any]) -> Score:
    score_id = uuid7()
    value_json = jsontext.write(body["value"])
    return Score(
        score_id=str(score_id),
        entity=entity,
        project=project,
        evaluation_run_id=body["evaluation_run_id"],
        prediction_id=body["prediction_id"],
        scorer=body["scorer"],
        value_json=value_json,
        leaves=leaves(body["value"]),
        wb_user_id=owner,
        # The id's own time, so that order by id is order by time.
        created_at=datetime.fromtimestamp(score_id.timestamp / 1000, UTC),
        idempotency_key=None,
        body_hash=_body_hash(body, value_json),
    )


def _body_hash(body: dict[str, Any], value_json: str) -> str:
    """SHA-256 of what was sent: two bodies with the same hash are the same score."""
    ids = [body["prediction_id"], body["scorer"], body["evaluation_run_id"]]
    return hashlib.sha256(f"{jsontext.write(ids)}{value_json}".encode()).hexdigest()
