"""Scores are made here, from what was sent: ids, JSON text, leaves and hashes."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from uuid_utils import uuid7

from app import jsontext
from app.services.leaves import leaves
from app.stores.base import Score


def new_score(
    entity: str,
    project: str,
    owner: str | None,
    body: dict[str, Any],
    idempotency_key: str | None = None,
    api_key_id: str | None = None,
) -> Score:
    """A new score, whose id is a UUIDv7 of this moment."""
    score_id = uuid7()
    return score_of(
        body,
        entity,
        project,
        owner,
        str(score_id),
        # The id's own time, so that order by id is order by time.
        datetime.fromtimestamp(score_id.timestamp / 1000, UTC),
        idempotency_key,
        api_key_id,
    )


def score_of(
    body: dict[str, Any],
    entity: str,
    project: str,
    owner: str | None,
    score_id: str,
    created_at: datetime,
    idempotency_key: str | None = None,
    api_key_id: str | None = None,
) -> Score:
    """The score that a loaded ScoreCreateBody is, under an id and of a time."""
    value_json = jsontext.write(body["value"])
    ids = jsontext.write([body["prediction_id"], body["scorer"], body["evaluation_run_id"]])
    body_hash = hash_of(ids + value_json)
    recognised_by_content = api_key_id is not None and idempotency_key is None
    return Score(
        score_id=score_id,
        entity=entity,
        project=project,
        evaluation_run_id=body["evaluation_run_id"],
        prediction_id=body["prediction_id"],
        scorer=body["scorer"],
        value_json=value_json,
        leaves=leaves(body["value"]),
        wb_user_id=owner,
        created_at=created_at,
        idempotency_key=idempotency_key,
        body_hash=body_hash,
        retry_hash=hash_of(f"{api_key_id} {body_hash}") if recognised_by_content else None,
    )


def hash_of(text: str) -> str:
    """The SHA-256 of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
