"""HTTP and JSON: every route of the service, put onto one Flask application."""

from __future__ import annotations

from collections.abc import Collection

from flask import Flask

from app.api import (
    comparisons,
    cors,
    docs,
    errors,
    exports,
    gates,
    health,
    imports,
    metrics,
    openapi,
    requests,
    scores,
    summaries,
)
from app.api import keys as api_keys
from app.api.state import State


def install(
    app: Flask,
    state: State,
    *,
    url_prefix: str,
    max_body_bytes: int,
    metrics_public: bool,
    cors_origins: Collection[str],
) -> None:
    """Give `app` its routes, its limits and the way it answers errors."""
    app.extensions["scoreline"] = state
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    # A path is what it says, and OPTIONS is a method like any other, as in FastAPI.
    app.url_map.merge_slashes = False
    app.url_map.converters["score_id"] = scores.ScoreId
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False

    requests.install(app)
    errors.install(app)
    cors.install(app, cors_origins)
    for of_scores in (scores, exports, imports, summaries, comparisons, gates):
        app.register_blueprint(of_scores.blueprint, url_prefix=f"{url_prefix}{scores.PATH}")
    app.register_blueprint(api_keys.blueprint, url_prefix=f"{url_prefix}{api_keys.PATH}")
    app.register_blueprint(openapi.blueprint, url_prefix=url_prefix)
    app.register_blueprint(docs.blueprint, url_prefix=url_prefix)
    scraped = metrics.blueprint(public=metrics_public)
    for probed in (health.blueprint, scraped):
        app.register_blueprint(probed, url_prefix=url_prefix)
        if url_prefix:
            # A probe need not know the prefix.
            app.register_blueprint(probed, name=f"{probed.name} without prefix")
