"""Create, read, list and delete predictions and evaluation runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app import jsontext
from app.errors import IdTaken, KeyReused, NotFound, TooLarge
from app.ids import last_id_before
from app.services.lists import MAX_OFFSET, Page
from app.services.scores import AUDITED_IDS, RETRY_WINDOW, Retry, hash_of
from app.stores.base import DocumentQuery, Kept, Outcome, Store
from app.stores.model import AnyDocument, Document, EvaluationRun, Prediction

NOUNS: dict[type[Document], str] = {Prediction: "prediction", EvaluationRun: "evaluation run"}
ID_FIELDS: dict[type[Document], str] = {
    Prediction: "prediction_id",
    EvaluationRun: "evaluation_run_id",
}

AUDITED_CHARACTERS = 100
"""The length to which an id is cut in the audit log."""


def common_fields(
    entity: str, project: str, owner: str | None, body: Mapping[str, Any], retry: Retry
) -> dict[str, Any]:
    """Return the fields that every new document has, with the hashes of a loaded body."""
    body_hash = content_hash(body)
    return {
        "entity": entity,
        "project": project,
        "wb_user_id": owner,
        "idempotency_key": retry.idempotency_key,
        "body_hash": body_hash,
        "retry_hash": retry.hash_of(body_hash),
    }


def content_hash(body: Mapping[str, Any]) -> str:
    """Return the hash of the fields that are not null, except for the key.

    So a retry still matches after an upgrade that adds fields.
    """
    names = sorted(name for name in body if name != "idempotency_key")
    given = {name: _plain(body[name]) for name in names if body[name] is not None}
    return hash_of(jsontext.write(given))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def text_or_none(value: Any) -> str | None:
    """Return a JSON object as text, or None if there is none."""
    return None if value is None else jsontext.write(value)


def create_document(store: Store, document: Document, retry: Retry) -> Outcome:
    """Store one document; it is REPLAYED if an earlier call stored it.

    Raises KeyReused, IdTaken, TooLarge and StoreUnavailable.
    """
    kind = type(document)
    if retry.is_repeated and document.retry_hash is not None:
        after = last_id_before(datetime.now(UTC) - RETRY_WINDOW)
        place = (document.entity, document.project)
        if first := store.find_retried_document(kind, *place, document.retry_hash, after):
            return Outcome(Kept.REPLAYED, first.id)
    (outcome,) = store.add_documents([document])
    if outcome.kept is Kept.KEY_TAKEN:
        raise KeyReused
    if outcome.kept is Kept.TOO_LARGE:
        raise TooLarge(f"The {NOUNS[kind]} is too large for the store")
    if outcome.kept in (Kept.ID_TAKEN, Kept.PRESENT):  # The same content alone is no retry.
        name = ID_FIELDS[kind]
        raise IdTaken(name, document.id, f"Another {NOUNS[kind]} has this {name}")
    return outcome


def read_document(
    store: Store, kind: type[AnyDocument], entity: str, project: str, document_id: str
) -> AnyDocument:
    """Return one document of one project. Raises NotFound, also if it is in another project."""
    found = store.find_document(kind, entity, project, document_id)
    if found is None:
        raise not_found(kind, document_id)
    return found


def not_found(kind: type[Document], document_id: str) -> NotFound:
    """Return the error for a document that does not exist."""
    return NotFound(f"{NOUNS[kind].capitalize()} {document_id} not found")


def list_documents(
    store: Store,
    kind: type[AnyDocument],
    entity: str,
    project: str,
    filters: Mapping[str, Sequence[str]],
    wanted: Mapping[str, Any],
) -> Page[AnyDocument]:
    """Return a page of the documents of one project that pass all filters, oldest first.

    `wanted` is a loaded DocumentListQuery. A filter without a value other than "" matches all. The
    bounds of the page are determined before it is read, as for scores.
    """
    some = {name: [text for text in texts if text] for name, texts in filters.items()}
    query = DocumentQuery(
        entity,
        project,
        filters={name: texts for name, texts in some.items() if texts},
        after=wanted["after"],
        offset=min(wanted["offset"] or 0, MAX_OFFSET),
    )
    limit = wanted["limit"]
    if limit is None:
        return Page(store.read_documents(kind, query), None)
    if limit == 0:
        return Page(iter(()), None)
    # The last document of this page and the first of the next, if there is one.
    boundary = replace(query, offset=min(query.offset + limit - 1, MAX_OFFSET), limit=2)
    sort_ids = store.list_sort_ids(kind, boundary)
    if len(sort_ids) < 2:
        return Page(store.read_documents(kind, query), None)
    last, following = sort_ids
    return Page(store.read_documents(kind, replace(query, before=following)), last)


def audit_targets(
    kind: type[Document], entity: str, project: str, document_ids: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the fields of the audit log's lines about documents, AUDITED_IDS in each."""
    shown = [each[:AUDITED_CHARACTERS] for each in document_ids]
    parts = [shown[start : start + AUDITED_IDS] for start in range(0, len(shown), AUDITED_IDS)]
    return [{"entity": entity, "project": project, f"{ID_FIELDS[kind]}s": part} for part in parts]
