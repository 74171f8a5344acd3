"""Export: `GET /v2/{entity}/{project}/scores/export`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response
from marshmallow import Schema

from app.api.auth import allow
from app.api.contract import View, contract_of
from app.api.inputs import query
from app.api.limits import client_check, limit_concurrency
from app.api.state import state
from app.api.streams import stream
from app.exports.exports import Export, export_scores
from app.schemas.scores import ScoreReadRes
from app.schemas.transfers import ScoreExportQuery

MIMETYPES = {
    "jsonl": "application/jsonl",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}

MAX_NAME_PART = 100
"""The greatest length of an entity or a project in a file name."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udfff\u202a-\u202e\u2066-\u2069]')
"""Characters that some system forbids in a file name, or that would disguise its extension."""


def download(line: type[Schema]) -> Callable[[View], View]:
    """Stream the Export that the view returns as a download; `line` is the schema of a line."""

    def decorate(view: View) -> View:
        contract = contract_of(view)
        contract.response = line
        contract.mimetype, *others = MIMETYPES.values()
        contract.files = tuple(others)

        @wraps(view)
        def streamed(*, entity: str, project: str, **rest: Any) -> Response:
            export: Export = view(entity=entity, project=project, **rest)
            response = stream(export.pieces, MIMETYPES[export.format])
            response.headers["Content-Disposition"] = attachment(entity, project, export.format)
            return response

        return streamed  # type: ignore[return-value]

    return decorate


def attachment(entity: str, project: str, extension: str) -> str:
    """Return a Content-Disposition: the name in ASCII (RFC 6266), and in full (RFC 8187)."""
    names = (_UNSAFE.sub("_", name)[:MAX_NAME_PART] for name in (entity, project))
    whole = f"scores-{'-'.join(names)}.{extension}"
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", whole)
    extended = f"; filename*=UTF-8''{quote(whole, safe='')}" if plain != whole else ""
    return f'attachment; filename="{plain}"{extended}'


blueprint = Blueprint("Exports", __name__)


@blueprint.get("/export")
@allow("read")
@limit_concurrency
@download(ScoreReadRes)
@query(ScoreExportQuery)
def score_export(entity: str, project: str, query: dict[str, Any]) -> Any:
    """Export scores as a file, oldest first."""
    return export_scores(state().store, entity, project, query, client_check())
