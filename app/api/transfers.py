"""`…/scores/export` and `…/scores/import`: download scores as a file, and store them again."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response
from marshmallow import Schema

from app.api.auth import allow, caller
from app.api.batches import MAX_BATCH, SCORE, Batch, batch
from app.api.contract import View, contract_of, response
from app.api.inputs import no_query, query
from app.api.limits import client_check, limit_concurrency
from app.api.state import state
from app.api.streams import stream
from app.exports.exports import Export, export_scores
from app.schemas.scores import ScoreReadRes
from app.schemas.transfers import ScoreExportQuery, ScoreImportBody, ScoreImportLine, ScoreImportRes
from app.services.scores import import_scores
from app.stores.base import Kept

blueprint = Blueprint("Transfers", __name__)

MIMETYPES = {
    "jsonl": "application/jsonl",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}

MAX_NAME_CHARACTERS = 100
"""How many characters of an entity's or project's name are used in a file name."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udfff\u202a-\u202e\u2066-\u2069]')
"""Characters that some system does not allow in a file name, or that disguise it."""


def download(line: type[Schema]) -> Callable[[View], View]:
    """Stream the export that the view returns as an attachment; `line` is a JSON line's schema."""

    def decorate(view: View) -> View:
        contract = contract_of(view)
        contract.response = line
        contract.mimetype, *others = MIMETYPES.values()
        contract.files = tuple(others)

        @wraps(view)
        def wrapper(*, entity: str, project: str, **rest: Any) -> Response:
            export: Export = view(entity=entity, project=project, **rest)
            response = stream(export.pieces, MIMETYPES[export.format])
            response.headers["Content-Disposition"] = attachment(entity, project, export.format)
            return response

        return wrapper  # type: ignore[return-value]

    return decorate


def attachment(entity: str, project: str, extension: str) -> str:
    """Return a Content-Disposition with a file name in ASCII (RFC 6266) and UTF-8 (RFC 8187)."""
    names = (_UNSAFE.sub("_", name)[:MAX_NAME_CHARACTERS] for name in (entity, project))
    name = f"scores-{'-'.join(names)}.{extension}"
    ascii_name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    extended = f"; filename*=UTF-8''{quote(name, safe='')}" if ascii_name != name else ""
    return f'attachment; filename="{ascii_name}"{extended}'


@blueprint.get("/export")
@allow("read")
@limit_concurrency
@download(ScoreReadRes)
@query(ScoreExportQuery)
def score_export(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Export scores as a file, oldest first."""
    return export_scores(state().store, entity, project, query, client_check())


@blueprint.post("/import")
@allow("import")
@limit_concurrency
@response(ScoreImportRes)
@no_query
@batch(ScoreImportLine, ScoreImportBody, most=MAX_BATCH)
def score_import(entity: str, project: str, batch: Batch) -> dict[str, Any]:
    """Import exported scores with their ids and times. An invalid score rejects only itself."""
    outcomes = import_scores(state().store, entity, project, caller(), batch.bodies)
    ids = [body["score_id"] for body in batch.bodies]
    results = batch.results(SCORE, zip(outcomes, ids, strict=True))
    return {
        "num_created": outcomes.count(Kept.CREATED),
        "num_present": outcomes.count(Kept.PRESENT),
        "num_failed": len(results) - results.num_ids,
        "results": results,
    }
