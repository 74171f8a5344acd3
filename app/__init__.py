"""Scoreline stores and compares the scores of LLM evaluations. Read application.py first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from config.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Create the WSGI application, by default with the settings of the environment.

    Opens no connection: each process and thread connects when it first uses the store. Raises
    SettingsError and StoreRefused.
    """
    # Imported here, so that `import app.errors` does not import Flask.
    from app.application import build_app

    return build_app(settings)
