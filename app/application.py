"""The wiring: every part of the service, put together once. Read this first."""

from __future__ import annotations

import os

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app.api import (
    analysis,
    cors,
    docs,
    errors,
    exports,
    health,
    imports,
    keys,
    metrics,
    openapi,
    request_log,
    scores,
)
from app.api.flask_app import Application
from app.api.headers import with_security_headers
from app.api.limits import FAILURES
from app.api.state import State
from app.logs import configure_logging
from app.metrics import Metrics
from app.services.health import Readiness
from app.services.key_uses import KeyUses
from app.services.keys import KeyRing
from app.services.limits import Buckets, ConcurrencyLimit, open_limit
from app.stores import open_store
from app.stores.measured import MeasuredStore
from app.tracing import trace
from config.settings import Settings, read_settings


def build_app(settings: Settings | None = None) -> Flask:
    """Make the WSGI application, as `create_app` says."""
    settings = settings or read_settings(os.environ)
    configure_logging(settings.log_level)

    app = Application("scoreline", static_folder=None)
    engine = settings.store.partition(":")[0].partition("+")[0]
    trace(app, engine)

    counts = Metrics(engine)
    store = MeasuredStore(open_store(settings.store, counts.count_commit), counts)
    key_uses = KeyUses(store)
    key_ring = KeyRing(store, settings.admin_key, key_uses.note)
    calls = open_limit(settings.rate_limit, settings.rate_limit_store)
    app.extensions["scoreline"] = State(
        store,
        key_ring,
        key_uses,
        Readiness(store),
        counts,
        calls,
        Buckets(*FAILURES),
        ConcurrencyLimit(settings.threads),
    )

    _add_routes(app, settings)
    app.wsgi_app = with_security_headers(app.wsgi_app)  # type: ignore[assignment, method-assign]
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=0, x_host=count
        )
    return app


def _add_routes(app: Flask, settings: Settings) -> None:
    """Give `app` its routes, its limits and the way it answers errors."""
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    # A path is taken as it is, and OPTIONS is a method like any other, as in FastAPI.
    app.url_map.merge_slashes = False
    app.url_map.converters["score_id"] = scores.ScoreId
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False

    request_log.install(app)
    errors.install(app)
    cors.install(app, settings.cors_origins)
    prefix = settings.url_prefix
    for resource in (scores, exports, imports, analysis):
        app.register_blueprint(resource.blueprint, url_prefix=f"{prefix}{scores.PATH}")
    app.register_blueprint(keys.blueprint, url_prefix=f"{prefix}{keys.PATH}")
    app.register_blueprint(openapi.blueprint(prefix), url_prefix=prefix)
    app.register_blueprint(docs.blueprint, url_prefix=prefix)
    for probed in (health.blueprint, metrics.blueprint(public=settings.metrics_public)):
        app.register_blueprint(probed, url_prefix=prefix)
        if prefix:
            # A probe need not know the prefix.
            app.register_blueprint(probed, name=f"{probed.name} without prefix")
