"""A Flask view that returns a constant without reading a body, key or store: an upper limit."""

from __future__ import annotations

from flask import Flask

SCORE_ID = "01a20901-1208-700a-886d-bd665d10c4ec"


def create_app() -> Flask:
    """Create the WSGI application."""
    app = Flask("bare")

    @app.post("/v2/<entity>/<project>/scores")
    def score_create(entity: str, project: str) -> dict[str, str]:  # noqa: ARG001
        return {"score_id": SCORE_ID}

    return app
