"""Scoreline: keeps the scores of LLM evaluations. Read `create_app` first: all the wiring."""

from __future__ import annotations

import os

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app.api import install
from app.api.application import Application
from app.api.limits import FAILURES
from app.api.state import State
from app.logs import configure_logging
from app.metrics import Metrics
from app.services.health import Readiness
from app.services.key_uses import KeyUses
from app.services.keys import KeyRing
from app.services.limits import Buckets, open_limit
from app.stores import open_store
from app.stores.measured import measured
from app.tracing import trace
from config.settings import Settings, read_settings


def create_app(settings: Settings | None = None) -> Flask:
    """Make the WSGI application, with the settings of the environment unless they are given.

    Opens no connection: each process and thread connects when it is first asked something.
    Raises SettingsError and StoreRefused.
    """
    settings = settings or read_settings(os.environ)
    configure_logging(settings.log_level)

    app = Application("scoreline", static_folder=None)
    engine = settings.store.partition(":")[0].partition("+")[0]
    trace(app, engine)

    metrics = Metrics(engine)
    store = measured(open_store(settings.store, metrics.count_commit), metrics)
    keys = KeyRing(store, settings.admin_key, KeyUses(store).note)
    calls = open_limit(settings.rate_limit, settings.rate_limit_store)

    install(
        app,
        State(store, keys, Readiness(store), metrics, calls, Buckets(*FAILURES)),
        url_prefix=settings.url_prefix,
        max_body_bytes=settings.max_body_bytes,
        metrics_public=settings.metrics_public,
        cors_origins=settings.cors_origins,
    )
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=0)  # type: ignore[method-assign]
    return app
