"""The MongoDB driver's client, made of a URI."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError, InvalidURI

from app.errors import StoreRefused

DATABASE = "scoreline"
"""The database of a URI that names none."""

OPTIONS: Mapping[str, Any] = {
    "w": "majority",
    "journal": True,
    # A dead server is a 503 within seconds, not a hang.
    "serverSelectionTimeoutMS": 2_000,
    "connectTimeoutMS": 2_000,
    "socketTimeoutMS": 20_000,
    "appname": "scoreline",
    # A client that has not been asked anything yet has no threads that a fork would lose.
    "connect": False,
}
"""The driver's options where the URI does not set them."""


def connect(uri: str) -> Database[dict[str, Any]]:
    """Return the database that a URI names; its client connects when it is first asked something.

    Raises StoreRefused on a URI that pymongo does not take.
    """
    try:
        given = {name.lower() for name, _ in parse_qsl(urlsplit(uri).query)}
        options = {name: value for name, value in OPTIONS.items() if name.lower() not in given}
        with warnings.catch_warnings():
            # pymongo only warns of an option that it does not understand, and goes on without.
            warnings.simplefilter("error", UserWarning)
            client: MongoClient[dict[str, Any]] = MongoClient(uri, tz_aware=True, **options)
        return client.get_default_database(DATABASE)
    except (InvalidURI, ConfigurationError, ValueError, OSError, UserWarning) as error:
        raise StoreRefused(f"SCORELINE_STORE: {error}") from error
