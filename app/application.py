"""Build the application from its parts. Read this module first."""

from __future__ import annotations

import os

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app.analysis.prices import read_prices
from app.api import (
    analysis,
    browsers,
    deletions,
    docs,
    documents,
    errors,
    eval_results,
    evaluation_runs,
    health,
    keys,
    metrics,
    openapi,
    predictions,
    projects,
    request_log,
    run_predictions,
    runs,
    scorers,
    scores,
    transfers,
)
from app.api.flask_app import Application, under_traces
from app.api.limits import FAILURES
from app.api.state import State
from app.logs import configure_logging
from app.metrics import Metrics
from app.services.clearing import Clearing
from app.services.enforced_schemas import EnforcedSchemas
from app.services.health import Readiness
from app.services.key_ring import KeyRing, KeyUses
from app.services.limits import Buckets, ConcurrencyLimit, open_limit
from app.stores import open_store
from app.stores.measured import MeasuredStore
from app.tracing import trace
from app.weave import (
    call_reading,
    calls,
    change_routes,
    costs,
    definition_views,
    label_routes,
    objects,
    reading,
    sessions,
)
from config.settings import Settings, read_settings


def build_app(settings: Settings | None = None) -> Flask:
    """Create the WSGI application; see `create_app`."""
    settings = settings or read_settings(os.environ)
    configure_logging(settings.log_level)

    app = Application("scoreline", static_folder=None)
    engine = settings.store.partition(":")[0].partition("+")[0]
    trace(app, engine)

    counts = Metrics(engine)
    store = MeasuredStore(open_store(settings.store, counts.count_commit), counts)
    key_uses = KeyUses(store)
    key_ring = KeyRing(store, settings.admin_key, key_uses.note)
    rates = open_limit(settings.rate_limit, settings.rate_limit_store)
    app.extensions["scoreline"] = State(
        store,
        key_ring,
        key_uses,
        Readiness(store),
        counts,
        rates,
        Buckets(*FAILURES),
        Clearing(store),
        EnforcedSchemas(store),
        ConcurrencyLimit(settings.threads),
        settings.default_entity,
        settings.max_sdk_body_bytes,
        read_prices(settings.prices),
    )

    _add_routes(app, settings)
    app.wsgi_app = under_traces(app.wsgi_app, settings.url_prefix)  # type: ignore[assignment, method-assign]
    app.wsgi_app = browsers.with_security_headers(app.wsgi_app)  # type: ignore[assignment, method-assign]
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=count, x_proto=0, x_host=count
        )
    return app


def _add_routes(app: Flask, settings: Settings) -> None:
    """Register the routes, the limits and the error handlers of `app`."""
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    # As in FastAPI, paths are not normalised and OPTIONS has no automatic response.
    app.url_map.merge_slashes = False
    app.url_map.converters["score_id"] = scores.ScoreId
    app.url_map.converters["document_id"] = documents.DocumentId
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False

    request_log.install(app)
    errors.install(app)
    browsers.install(app, settings.cors_origins)
    prefix = settings.url_prefix
    for resource in (scores, analysis):
        app.register_blueprint(resource.blueprint, url_prefix=f"{prefix}{scores.PATH}")
    for kind in (
        *(transfers, predictions, evaluation_runs, eval_results),
        *(runs, run_predictions, scorers, metrics),
    ):
        app.register_blueprint(kind.blueprint, url_prefix=f"{prefix}{kind.PATH}")
    app.register_blueprint(deletions.blueprint, url_prefix=f"{prefix}{deletions.PATH}")
    for own in (keys, projects):
        app.register_blueprint(own.blueprint, url_prefix=f"{prefix}{own.PATH}")
    for sdk in (
        *(sessions, objects, change_routes, label_routes, costs),
        *(calls, reading, call_reading),
    ):
        app.register_blueprint(sdk.blueprint, url_prefix=prefix)
    definitions = definition_views.blueprint
    app.register_blueprint(definitions, url_prefix=f"{prefix}{definition_views.PATH}")
    app.register_blueprint(openapi.blueprint(prefix), url_prefix=prefix)
    app.register_blueprint(docs.blueprint, url_prefix=prefix)
    for monitoring in (health.health, health.metrics_blueprint(public=settings.metrics_public)):
        app.register_blueprint(monitoring, url_prefix=prefix)
        if prefix:
            # Probes and monitors need not know the prefix.
            app.register_blueprint(monitoring, name=f"{monitoring.name} without prefix")
