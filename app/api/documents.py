"""What the views of predictions and evaluation runs share."""

from __future__ import annotations

from werkzeug.routing import BaseConverter

from app.api.idempotency import mark_response
from app.api.state import state
from app.services.documents import create_document
from app.services.scores import Retry
from app.stores.model import Document


class DocumentId(BaseConverter):
    """An id in a path, which may have slashes, but not end as the path of `finish` does."""

    regex = ".+?(?<!/finish)"
    part_isolating = False


def create(document: Document, retry: Retry) -> str:
    """Store a document, and return its id; mark the response to a retry as replayed."""
    created = create_document(state().store, document, retry)
    if created.replayed:
        mark_response()
    return created.id
