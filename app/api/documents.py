"""What the views of predictions and evaluation runs share."""

from __future__ import annotations

from werkzeug.routing import BaseConverter

from app.api.idempotency import mark_replayed
from app.api.state import state
from app.services.documents import create_document
from app.services.scores import Retry
from app.stores.model import Document


class DocumentId(BaseConverter):
    """An id in a path, which may have slashes, but not end as the path of `finish` does."""

    regex = r"[\s\S]+?(?<!/finish)"
    part_isolating = False


def create_one(document: Document, retry: Retry) -> str:
    """Store a document, and return its id; mark the response to a retry as replayed."""
    outcome = create_document(state().store, document, retry)
    mark_replayed([outcome], are_scores=False)
    return outcome.id
