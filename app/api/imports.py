"""Import: `POST /v2/{entity}/{project}/scores/import`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.auth import allow, caller
from app.api.batches import TOO_LARGE, Batch, BatchScore, Results, batch
from app.api.contract import response
from app.api.inputs import no_query, validation_error
from app.api.limits import limit_concurrency
from app.api.scores import MOST_IN_A_BATCH
from app.api.state import state
from app.schemas.fields import Reason
from app.schemas.transfers import ScoreImportBody, ScoreImportItem, ScoreImportRes
from app.services.imports import import_scores
from app.stores.base import Kept

REFUSALS = {
    # The same words whichever project holds the other score.
    Kept.ID_TAKEN: ("score_id", Reason("score_id_taken", "Another score has this score_id")),
    Kept.TOO_LARGE: ("value", TOO_LARGE),
}

blueprint = Blueprint("Imports", __name__)


@blueprint.post("/import")
@allow("import")
@limit_concurrency
@response(ScoreImportRes)
@no_query
@batch(ScoreImportItem, ScoreImportBody, most=MOST_IN_A_BATCH)
def score_import(entity: str, project: str, batch: Batch) -> dict[str, Any]:
    """Keep scores that were taken before, with their ids and times, each line for itself."""
    outcomes = import_scores(state().store, entity, project, caller(), batch.bodies)
    results = Results()
    left = iter(outcomes)
    for score in batch:
        outcome = next(left) if score.body else None
        if score.body and outcome not in REFUSALS:
            results.add_id(score.body["score_id"])
        else:
            results.add_errors(score, _refusal(score, outcome))
    return {
        "num_created": outcomes.count(Kept.CREATED),
        "num_present": outcomes.count(Kept.PRESENT),
        "num_failed": len(results) - results.num_ids,
        "results": results,
    }


def _refusal(score: BatchScore, outcome: Kept | None) -> dict[str, Any] | None:
    if outcome is None or score.body is None:
        return None
    name, reason = REFUSALS[outcome]
    shown = score.body["score_id"] if name == "score_id" else None
    return validation_error(reason, (*score.loc, name), shown)
