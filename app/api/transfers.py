"""`export` and `import`, of scores and of a whole project: download a file, and store it again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response

from app.api.auth import allow, caller
from app.api.batches import (
    PREDICTION,
    RUN,
    SCORE,
    Batch,
    batch,
    import_response,
    lines_of_kinds,
)
from app.api.contract import LineSchema, View, contract_of, response
from app.api.idempotency import idempotency_key
from app.api.inputs import no_query, query
from app.api.limits import client_check, limit_concurrency
from app.api.state import state
from app.api.streams import stream
from app.api.value_checks import with_checked_values
from app.exports.exports import Export, export_project, export_scores
from app.schemas.scores import ScoreReadRes
from app.schemas.transfers import (
    EvaluationRunLine,
    ExportQuery,
    ImportRes,
    PredictionLine,
    ScoreExportQuery,
    ScoreImportBody,
    ScoreImportLine,
    ScoreImportRes,
    ScoreLine,
)
from app.services.imports import find_replays, import_lines, import_scores

blueprint = Blueprint("Transfers", __name__)

PATH = "/v2/<entity>/<project>"

JSON_LINES = "application/jsonl"
MIMETYPES = {
    "jsonl": JSON_LINES,
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}

LINES = {
    "evaluation_run": (RUN, EvaluationRunLine),
    "prediction": (PREDICTION, PredictionLine),
    "score": (SCORE, ScoreLine),
}
"""The lines of the export of a project, by their `kind`."""

MAX_NAME_CHARACTERS = 100
"""How many characters of an entity's or project's name are used in a file name."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udfff\u202a-\u202e\u2066-\u2069]')
"""Characters that some system does not allow in a file name, or that disguise it."""


def download(
    content: str, line: LineSchema, mimetypes: Mapping[str, str]
) -> Callable[[View], View]:
    """Stream the export that the view returns as an attachment.

    The file is named after its `content`; `line` is the schema of a JSON line, and `mimetypes` has
    the formats, of which JSON lines are the first.
    """

    def decorate(view: View) -> View:
        contract = contract_of(view)
        contract.response = line
        contract.mimetype, *others = mimetypes.values()
        contract.files = tuple(others)

        @wraps(view)
        def wrapper(*, entity: str, project: str, **rest: Any) -> Response:
            export: Export = view(entity=entity, project=project, **rest)
            response = stream(export.pieces, mimetypes[export.format])
            name = file_name(content, entity, project, export.format)
            response.headers["Content-Disposition"] = attachment(name)
            return response

        return wrapper  # type: ignore[return-value]

    return decorate


def file_name(content: str, entity: str, project: str, extension: str) -> str:
    """Return a name that every system allows for a file with the content of a project."""
    names = (_UNSAFE.sub("_", name)[:MAX_NAME_CHARACTERS] for name in (entity, project))
    return f"{content}-{'-'.join(names)}.{extension}"


def attachment(name: str) -> str:
    """Return a Content-Disposition with a file name in ASCII (RFC 6266) and UTF-8 (RFC 8187)."""
    ascii_name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    extended = f"; filename*=UTF-8''{quote(name, safe='')}" if ascii_name != name else ""
    return f'attachment; filename="{ascii_name}"{extended}'


@blueprint.get("/scores/export")
@allow("read")
@limit_concurrency
@download("scores", ScoreReadRes, MIMETYPES)
@query(ScoreExportQuery)
def score_export(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Export scores as a file, oldest first."""
    return export_scores(state().store, entity, project, query, client_check())


@blueprint.post("/scores/import")
@allow("import")
@limit_concurrency
@response(ScoreImportRes)
@no_query
@batch(SCORE, ScoreImportLine, ScoreImportBody)
def score_import(entity: str, project: str, batch: Batch) -> dict[str, Any]:
    """Import exported scores with their ids and times. An invalid score rejects only itself."""
    place, key = (state().store, entity, project, caller()), idempotency_key()
    batch = with_checked_values(
        entity, project, batch, lambda bodies: find_replays(*place, bodies, key)
    )
    return import_response(batch, import_scores(*place, batch.bodies, key))


@blueprint.get("/export")
@allow("read")
@limit_concurrency
@download("evaluations", tuple(schema for _, schema in LINES.values()), {"jsonl": JSON_LINES})
@query(ExportQuery)
def project_export(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Export evaluation runs, predictions and scores as a file of JSON lines, oldest first."""
    return Export(query["format"], export_project(state().store, entity, project))


@blueprint.post("/import")
@allow("import")
@limit_concurrency
@response(ImportRes)
@no_query
@lines_of_kinds(LINES)
def project_import(entity: str, project: str, batch: Batch) -> dict[str, Any]:
    """Import exported runs, predictions and scores. An invalid line rejects only itself."""
    place, key = (state().store, entity, project, caller()), idempotency_key()
    batch = with_checked_values(
        entity, project, batch, lambda bodies: find_replays(*place, bodies, key)
    )
    return import_response(batch, import_lines(*place, batch.bodies, key))
