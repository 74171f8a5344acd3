"""Import: `POST /v2/{entity}/{project}/scores/import`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from app.api.auth import allow, caller
from app.api.batches import Item, Items, batch
from app.api.contract import response
from app.api.inputs import no_query, validation_error
from app.api.limits import limit_concurrency
from app.api.scores import MOST_IN_A_BATCH
from app.api.state import state
from app.schemas.fields import Reason
from app.schemas.transfers import ScoreImportBody, ScoreImportItem, ScoreImportRes
from app.services.imports import Outcome, import_scores

REFUSALS = {
    # The same words whichever project holds the other score.
    Outcome.TAKEN: ("score_id", Reason("score_id_taken", "Another score has this score_id")),
    Outcome.TOO_LARGE: ("value", Reason("too_large", "The store cannot keep a value so large")),
}

blueprint = Blueprint("Imports", __name__)


@blueprint.post("/import")
@allow("import")
@limit_concurrency
@response(ScoreImportRes)
@no_query
@batch(ScoreImportItem, ScoreImportBody, most=MOST_IN_A_BATCH)
def score_import(entity: str, project: str, items: Items) -> dict[str, Any]:
    """Keep scores that were taken before, with their ids and times, each line for itself."""
    outcomes = import_scores(state().store, entity, project, caller(), items.bodies)
    left = iter(outcomes)
    results = [
        {"detail": item.errors} if item.body is None else _result(item, item.body, next(left))
        for item in items
    ]
    num_created = outcomes.count(Outcome.CREATED)
    num_present = outcomes.count(Outcome.PRESENT)
    return {
        "num_created": num_created,
        "num_present": num_present,
        "num_failed": len(results) - num_created - num_present,
        "results": results,
    }


def _result(item: Item, body: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    if outcome not in REFUSALS:
        return {"score_id": body["score_id"]}
    name, reason = REFUSALS[outcome]
    shown = body["score_id"] if name == "score_id" else None
    return {"detail": [validation_error(reason, (*item.loc, name), shown)]}
