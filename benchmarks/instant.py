"""A server for Weave's SDK that answers at once and stores nothing: the least a client can take."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from flask import Flask, request

from app.examples import row_digest

DIGEST = "a" * 43
NOW = "2026-01-01T00:00:00Z"


def create_app() -> Flask:
    """Create the WSGI application."""
    app = Flask("instant")
    app.get("/traces/server_info")(_server_info)
    app.post("/graphql")(_graphql)
    app.post("/traces/obj/create")(_object_create)
    app.post("/traces/table/create")(_table_create)
    app.post("/traces/file/create")(_file_create)
    app.post("/traces/feedback/batch/create")(_feedback_create)
    app.post("/traces/v2/<path:_path>")(_calls)
    return app


def _server_info() -> dict[str, Any]:
    return {"min_required_weave_python_version": "0.0.1", "trace_server_version": None}


def _graphql() -> dict[str, Any]:
    viewer = {"username": "bench", "defaultEntity": {"name": "acme"}}
    return {"data": {"project": {"name": "bench"}, "viewer": viewer}}


def _object_create() -> dict[str, Any]:
    return {"digest": row_digest(request.json["obj"]["val"]), "object_id": "object"}


def _table_create() -> dict[str, Any]:
    digests = [row_digest(row) for row in request.json["table"]["rows"]]
    return {"digest": DIGEST, "row_digests": digests}


def _file_create() -> dict[str, Any]:
    return {"digest": DIGEST}


def _feedback_create() -> dict[str, Any]:
    answer = {"created_at": NOW, "wb_user_id": "bench", "payload": {}}
    return {"res": [{"id": str(uuid4()), **answer} for _ in request.json["batch"]]}


def _calls(_path: str) -> dict[str, Any]:
    request.get_data()
    return {"id": DIGEST, "trace_id": DIGEST}
