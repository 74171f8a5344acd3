"""The form of the MongoDB store's documents, their indexes, and filters for queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.errors import StoreDamaged
from app.stores.base import DocumentQuery, ScoreQuery
from app.stores.documents import PRIMARY_KEY, decode, encode
from app.stores.model import AnyDocument, Document, Score


@dataclass(frozen=True)
class Index:
    """One index: its fields, ascending, and pymongo's options for it.

    No other index of its collection has the same fields: before MongoDB 5.0, options such as a
    condition do not tell two indexes apart.
    """

    name: str
    fields: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


IS_TEXT = {"$type": "string"}
"""The condition of partial indexes; a server uses one only for a filter that repeats it."""

IN_PARTS = "in_parts"
"""A field that only documents have of which texts are in parts (parts.py): where, by field."""

HAS_PARTS = {IN_PARTS: {"$exists": True}}
"""The filter for these documents, which have an index of their own, so that it is small."""


def _in_parts_index(name: str) -> Index:
    options = {"partialFilterExpression": HAS_PARTS}
    return Index(f"{name}_in_parts", ("entity", "project", id_field(name), "_id"), options)


def id_field(collection: str) -> str:
    """Return the field of a collection's documents with their id."""
    return "score_id" if collection == "scores" else "id"


SLOT_FIELDS = (
    "evaluation_run_id",
    "prediction_id",
    "scorer_name",
    "annotator",
    "created_at",
    "score_id",
)
"""The fields that decide which scores have the same slot, and which of them is current."""

SCORE_INDEXES = (
    Index("scores_by_project", ("entity", "project", "score_id")),
    Index("scores_by_run", ("entity", "project", "evaluation_run_id", "score_id")),
    Index("scores_by_prediction", ("entity", "project", "prediction_id", "score_id")),
    Index("scores_by_scorer", ("entity", "project", "scorer", "score_id")),
    Index("scores_by_slot", ("entity", "project", *SLOT_FIELDS)),
    _in_parts_index("scores"),
)


def _document_indexes(name: str) -> tuple[Index, ...]:
    """Return the indexes of a collection of documents, `predictions` or `evaluation_runs`."""
    return (
        Index(f"{name}_by_id", ("entity", "project", "id"), {"unique": True}),
        Index(f"{name}_by_project", ("entity", "project", "_id")),
        Index(
            f"{name}_by_retry_hash",
            ("entity", "project", "retry_hash", "_id"),
            {"partialFilterExpression": {"retry_hash": IS_TEXT}},
        ),
        _in_parts_index(name),
    )


UNKEYED_FILTERS: Mapping[str, Sequence[str]] = {
    "contents": (),
    "object_versions": ("object_id",),
    "aliases": ("object_id",),
    "calls": ("parent_id", "trace_id", "op_name"),
    "feedback": ("call_id",),
    "score_sources": ("prediction_id",),
    "metrics": (),
    "approvals": (),
    "costs": (),
}
"""The fields by which lists of documents without idempotency keys are filtered, by collection."""


def _unkeyed_indexes(name: str, *fields: str) -> tuple[Index, ...]:
    """Return the indexes of documents without idempotency keys; lists filter by `fields`."""
    return (
        Index(f"{name}_by_id", ("entity", "project", "id"), {"unique": True}),
        Index(f"{name}_by_project", ("entity", "project", "_id")),
        *(Index(f"{name}_by_{field}", ("entity", "project", field, "_id")) for field in fields),
        _in_parts_index(name),
    )


DOCUMENT_INDEXES = {
    "predictions": (
        *_document_indexes("predictions"),
        # With all that a comparison needs, so that it does not read inputs and outputs.
        Index(
            "predictions_of_run",
            ("entity", "project", "evaluation_run_id", "_id", "id", "example_key"),
        ),
        Index("predictions_by_call", ("entity", "project", "predict_and_score_call_id", "_id")),
        Index("predictions_by_start", ("entity", "project", "started_at", "_id")),
        Index("predictions_by_example", ("entity", "project", "evaluation_run_id", "example_key")),
        Index(
            "predictions_by_awaited_row",
            ("entity", "project", "awaited_row", "_id"),
            {"partialFilterExpression": {"awaited_row": IS_TEXT}},
        ),
        Index(
            "failed_predictions_by_project",
            ("entity", "project", "_id", "id"),
            {"partialFilterExpression": {"error": IS_TEXT}},
        ),
        Index(
            "failed_predictions_by_run",
            ("entity", "project", "evaluation_run_id", "_id"),
            {"partialFilterExpression": {"error": IS_TEXT}},
        ),
    ),
    "evaluation_runs": (
        *_document_indexes("evaluation_runs"),
        Index("evaluation_runs_by_name", ("entity", "project", "name", "_id")),
    ),
    **{name: _unkeyed_indexes(name, *fields) for name, fields in UNKEYED_FILTERS.items()},
}
DOCUMENT_INDEXES["feedback"] += (
    Index(
        "feedback_by_awaited_call",
        ("entity", "project", "awaited_call", "_id"),
        {"partialFilterExpression": {"awaited_call": IS_TEXT}},
    ),
)
"""The indexes of every kind of document, by collection."""

DOCUMENT_INDEXES["calls"] += (Index("calls_by_start", ("entity", "project", "started_at", "id")),)


OWN_INDEXES = {
    "example_key": "example",
    "awaited_row": "awaited_row",
    "predict_and_score_call_id": "call",
    "id": "id",
    "name": "name",
}
"""The end of the index's name for filters whose index is used whatever else is filtered."""


def index_for_documents(collection: str, query: DocumentQuery) -> str:
    """Return the index of the narrowest filter of a query in a project, in the order of `_id`."""
    for name, index in OWN_INDEXES.items():
        if name in query.filters:
            return f"{collection}_by_{index}"
    if collection in UNKEYED_FILTERS:
        found = next(
            (each for each in UNKEYED_FILTERS[collection] if each in query.filters), "project"
        )
        return f"{collection}_by_{found}"
    of_run = "evaluation_run_id" in query.filters
    if query.failed:
        return f"failed_{collection}_by_{'run' if of_run else 'project'}"
    return f"{collection}_of_run" if of_run else f"{collection}_by_project"


ORDER_FIELDS = {**dict.fromkeys(DOCUMENT_INDEXES, "_id"), "scores": "score_id"}
"""The field with the id in whose order lists are, by collection."""

DELETION_INDEXES = (
    Index("deletions_by_project", ("entity", "project", "_id")),
    Index(
        "deletions_pending",
        ("pending", "entity", "project"),  # Also without a project, to continue them all.
        {"partialFilterExpression": {"pending": True}},
    ),
)

KEY_INDEXES = (Index("api_keys_by_hash", ("key_hash",), {"unique": True}),)


EXTENSIONS = ("reason", "error", "metadata_json", "annotator")
"""Fields that the document of a score has only if they are set."""


def score_document(score: Score) -> dict[str, Any]:
    """Return the document of a score.

    `_id` is made of the three by which a score is found, because on a shard it must be unique.
    Scores from before version 6 of the schema have the id alone in it.
    """
    return {
        "_id": f"{score.score_id} {score.entity}/{score.project}",
        "score_id": score.score_id,
        "entity": score.entity,
        "project": score.project,
        "evaluation_run_id": score.evaluation_run_id,
        "prediction_id": score.prediction_id,
        "scorer": score.scorer,
        "scorer_name": score.scorer_name,
        "value_json": score.value_json,
        "leaves": score.leaves,
        "wb_user_id": score.wb_user_id,
        "created_at": score.created_at,
        "idempotency_key": score.idempotency_key,
        "body_hash": score.body_hash,
        "retry_hash": score.retry_hash,
        **{name: text for name in EXTENSIONS if (text := getattr(score, name)) is not None},
    }


def to_score(document: Mapping[str, Any]) -> Score:
    """Return the score in a document."""
    fields = {name: value for name, value in document.items() if name not in ("_id", IN_PARTS)}
    return Score(created_at=in_utc(fields.pop("created_at")), **fields)


def to_bson(document: Document) -> dict[str, Any]:
    """Return a document as MongoDB stores it, without fields that are not set."""
    return {name: value for name, value in encode(document).items() if value is not None}


def to_document(kind: type[AnyDocument], bson: dict[str, Any]) -> AnyDocument:
    """Return a document as MongoDB stores it. Raises StoreDamaged."""
    values = {name: value for name, value in bson.items() if name != IN_PARTS}
    try:
        return decode(kind, values)
    except (ValueError, TypeError) as error:
        raise StoreDamaged(f"{bson[PRIMARY_KEY]!r} is not what was written") from error


def size(document: Mapping[str, Any]) -> int:
    """Return about how many bytes a document, or a part of it, has with its texts in parts."""
    leaves = document.get("leaves", ())
    in_leaves = sum(len(leaf["path"]) + len(leaf.get("text") or "") for leaf in leaves)
    in_parts: int = sum(each["bytes"] for each in document.get(IN_PARTS, {}).values())
    texts = sum(len(text) for text in document.values() if isinstance(text, str))
    return in_leaves + in_parts + texts


def ids_filter(query: ScoreQuery) -> dict[str, Any]:
    """Return MongoDB's filter for a query; input of users is only used as values."""
    conditions: dict[str, Any] = {
        "entity": query.entity,
        "project": query.project,
        "evaluation_run_id": query.evaluation_run_id,
        "prediction_id": query.prediction_id,
        "scorer": query.scorer,
        "scorer_name": query.scorer_name,
    }
    bounds = {"$gt": query.after, "$lt": query.before, "$lte": query.as_of}
    given = {name: value for name, value in bounds.items() if value is not None}
    conditions["score_id"] = given or None
    return {name: value for name, value in conditions.items() if value is not None}


def index_for(query: ScoreQuery) -> str:
    """Return the index of the narrowest filter.

    Without this hint, a server may read all projects in the order of `_id`.
    """
    if query.prediction_id is not None:
        return "scores_by_prediction"
    if query.evaluation_run_id is not None:
        return "scores_by_run"
    return "scores_by_project" if query.scorer is None else "scores_by_scorer"


def in_utc(moment: datetime) -> datetime:
    """Return a time of a document, which may lack its zone, in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
