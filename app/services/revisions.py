"""Revisions: whether anything of an evaluation run has changed."""

from __future__ import annotations

import hashlib

from app import jsontext
from app.services.evaluation_runs import find_evaluation
from app.stores.base import DocumentQuery, Store
from app.stores.documents import encode
from app.stores.model import EvaluationRun, Prediction

WRITTEN = ("body_hash", "ended_at")
"""The fields of a prediction that tell what was written to it."""


def run_revision(store: Store, entity: str, project: str, run_id: str) -> str:
    """Return a text that changes whenever a run, its evaluation, predictions or scores do.

    So figures may be kept as long as it is the same.
    """
    run = store.find_document(EvaluationRun, entity, project, run_id)
    evaluation = find_evaluation(store, run) if run else None
    read = [encode(run) if run else None, evaluation and evaluation.body_hash]
    digest = hashlib.sha256(jsontext.write(read).encode())
    query = DocumentQuery(entity, project, filters={"evaluation_run_id": [run_id]})
    for page in store.read_fields(Prediction, query, WRITTEN):
        digest.update(jsontext.write(page).encode())
    digest.update(store.score_revision(entity, project, run_id).encode())
    return digest.hexdigest()[:32]
