"""Scoreline keeps the scores of LLM evaluations. Read application.py first: all the wiring."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from config.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Make the WSGI application, with the settings of the environment unless they are given.

    Opens no connection: each process and thread connects at its first question. Raises
    SettingsError and StoreRefused.
    """
    # Imported here, so that `import app.errors` loads no Flask.
    from app.application import build_app

    return build_app(settings)
