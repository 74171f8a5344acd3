"""The MongoDB store's indexes: what they are, and which one answers a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo import ASCENDING
from pymongo.collection import Collection

from app.stores.base import ScoreQuery


@dataclass(frozen=True)
class Index:
    """One index: its fields, ascending, and pymongo's options for it."""

    name: str
    fields: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


SCORE_INDEXES = (
    Index("scores_by_project", ("entity", "project", "_id")),
    Index("scores_by_run", ("entity", "project", "evaluation_run_id", "_id")),
    Index("scores_by_prediction", ("entity", "project", "prediction_id", "_id")),
    Index("scores_by_scorer", ("entity", "project", "scorer", "_id")),
    Index(
        "scores_by_idempotency_key",
        ("entity", "project", "idempotency_key"),
        {
            "unique": True,
            "partialFilterExpression": {"idempotency_key": {"$type": "string"}},
        },
    ),
    Index(
        "scores_by_retry_hash",
        ("entity", "project", "retry_hash", "_id"),
        {"partialFilterExpression": {"retry_hash": {"$type": "string"}}},
    ),
)
KEY_INDEXES = (Index("api_keys_by_hash", ("key_hash",), {"unique": True}),)


def create_indexes(collection: Collection[dict[str, Any]], indexes: Sequence[Index]) -> None:
    """Make indexes; those that are there already are left alone."""
    for index in indexes:
        keys = [(name, ASCENDING) for name in index.fields]
        collection.create_index(keys, name=index.name, **index.options)


def index_for(query: ScoreQuery) -> str:
    """The index of the narrowest filter; left alone, a server may walk all projects by _id."""
    if query.prediction_id is not None:
        return "scores_by_prediction"
    if query.evaluation_run_id is not None:
        return "scores_by_run"
    return "scores_by_project" if query.scorer is None else "scores_by_scorer"
