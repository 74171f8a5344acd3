"""Scoreline: keeps the scores of LLM evaluations. Read `create_app` first: all the wiring."""

from __future__ import annotations

import os

from flask import Flask

from app.api import install
from app.api.application import Application
from app.logs import configure_logging
from app.services.keys import KeyRing
from app.stores import open_store
from config.settings import Settings, read_settings


def create_app(settings: Settings | None = None) -> Flask:
    """Make the WSGI application, with the settings of the environment unless they are given.

    Opens no connection: each process and thread connects when it is first asked something.
    Raises SettingsError and StoreRefused.
    """
    settings = settings or read_settings(os.environ)
    configure_logging(settings.log_level)

    store = open_store(settings.store)
    keys = KeyRing(store, settings.admin_key)

    app = Application("scoreline", static_folder=None)
    install(
        app,
        store=store,
        keys=keys,
        url_prefix=settings.url_prefix,
        max_body_bytes=settings.max_body_bytes,
    )
    return app
