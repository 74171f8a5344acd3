"""The driver: its client, made of a URI, and its errors in the service's words."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import bson
from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.cursor import Cursor
from pymongo.database import Database
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    InvalidURI,
    PyMongoError,
)

from app.errors import Conflict, ScorelineError, StoreRefused, StoreUnavailable, TooLarge
from app.stores.mongo.documents import size

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

PAGE_BYTES = 4 * 1024 * 1024
"""About how many bytes of documents are read before they are handed on."""


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


def read_page(found: Cursor[dict[str, Any]], most: int) -> tuple[list[dict[str, Any]], bool]:
    """Return score documents of about PAGE_BYTES, `most` of them, and whether those are all.

    The cursor is closed then: the server need not keep it while a client is waited for.
    """
    documents: list[dict[str, Any]] = []
    read = 0
    with our_errors(), found.limit(most).batch_size(most):
        for document in found:
            documents.append(document)
            read += size(document)
            if read >= PAGE_BYTES:
                return documents, False
    return documents, len(documents) < most


_FOR_DEVELOPERS = re.compile(r" \(configured timeouts: [^)]*\)|, Timeout: .*", re.DOTALL)
"""What the driver adds to the message of a server that cannot be reached."""

# MongoDB's error codes.
_DUPLICATE_KEY = 11000
_BSON_OBJECT_TOO_LARGE = 10334

_TOO_LARGE = "the score is larger than a MongoDB document can be"
_MOST_BYTES = 16 * 1024 * 1024 - 16 * 1024
"""What a document may have: 16 MiB, less what a transaction's entry in the oplog adds to it."""

_SMALL = 1024 * 1024
"""So many characters are certainly not too large, whatever they are encoded to."""


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn what the driver raises into the service's errors."""
    try:
        yield
    except (PyMongoError, BSONError) as error:
        raise _ours(error) from error


def _ours(error: Exception) -> ScorelineError:
    if isinstance(error, DuplicateKeyError):
        return Conflict("a document with this id or key is stored already")
    if isinstance(error, DocumentTooLarge):
        return TooLarge(_TOO_LARGE)
    if isinstance(error, ConnectionFailure):
        return StoreUnavailable(f"MongoDB does not answer: {_FOR_DEVELOPERS.sub('', str(error))}")
    return StoreUnavailable(f"{type(error).__name__}: {error}")


def outcome_of(failure: Mapping[str, Any]) -> ScorelineError:
    """Return the error of one document of a write, of which the server says why it failed."""
    if failure["code"] == _DUPLICATE_KEY:
        return Conflict("a score with this id or key is stored already")
    if failure["code"] == _BSON_OBJECT_TOO_LARGE:
        return TooLarge(_TOO_LARGE)
    return StoreUnavailable(f"{failure['code']}: {failure.get('errmsg')}")


def is_too_large(document: dict[str, Any]) -> bool:
    """Return whether no server takes a document, which would make its neighbours fail too."""
    return size(document) > _SMALL and len(bson.encode(document)) > _MOST_BYTES
