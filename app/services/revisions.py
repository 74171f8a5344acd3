"""Revisions: whether anything of an evaluation run has changed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from app import jsontext
from app.stores.base import DocumentQuery, Store
from app.stores.documents import encode
from app.stores.model import EvaluationRun, Prediction

PAGE = 1_000


def run_revision(store: Store, entity: str, project: str, run_id: str) -> str:
    """Return a text that changes whenever a run, its predictions or its scores do.

    So figures may be kept as long as it is the same. Only `finish` of a prediction, which no figure
    depends on, does not change it.
    """
    run = store.find_document(EvaluationRun, entity, project, run_id)
    digest = hashlib.sha256(jsontext.write(encode(run) if run else None).encode())
    query = DocumentQuery(entity, project, filters={"evaluation_run_id": [run_id]}, limit=PAGE)
    while sort_ids := store.list_sort_ids(Prediction, query):
        digest.update("".join(sort_ids).encode())
        query = replace(query, after=sort_ids[-1])
    digest.update(store.score_revision(entity, project, run_id).encode())
    return digest.hexdigest()[:32]
