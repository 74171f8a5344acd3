"""Connect to MongoDB, read pages of documents, and translate the errors of the driver."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import bson
from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.command_cursor import CommandCursor
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
"""The default database, for a URI that names none."""

OPTIONS: Mapping[str, Any] = {
    "w": "majority",
    "journal": True,
    # If a server is down, a call must fail within seconds instead of hanging.
    "serverSelectionTimeoutMS": 2_000,
    "connectTimeoutMS": 2_000,
    "socketTimeoutMS": 20_000,
    "appname": "scoreline",
    # Connect on first use, because the threads of a connected client would not survive a fork.
    "connect": False,
}
"""The options of the driver, unless the URI sets them."""

PAGE_BYTES = 4 * 1024 * 1024
"""About how many bytes of documents a page has."""


def connect(uri: str) -> Database[dict[str, Any]]:
    """Return the database that a URI names; its client connects on first use.

    Raises StoreRefused if pymongo does not accept the URI.
    """
    try:
        given = {name.lower() for name, _ in parse_qsl(urlsplit(uri).query)}
        options = {name: value for name, value in OPTIONS.items() if name.lower() not in given}
        with warnings.catch_warnings():
            # pymongo only warns about an option that it does not know, and ignores it.
            warnings.simplefilter("error", UserWarning)
            client: MongoClient[dict[str, Any]] = MongoClient(uri, tz_aware=True, **options)
        return client.get_default_database(DATABASE)
    except (InvalidURI, ConfigurationError, ValueError, OSError, UserWarning) as error:
        raise StoreRefused(f"SCORELINE_STORE: {error}") from error


def read_page(found: Cursor[dict[str, Any]], most: int) -> tuple[list[dict[str, Any]], bool]:
    """Return at most `most` documents, of about PAGE_BYTES, and whether those are all.

    The cursor is closed on return, so that the server does not keep it for a slow client.
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


def read_small(
    found: CommandCursor[dict[str, Any]], size: Callable[[Mapping[str, Any]], int], most: float
) -> list[dict[str, Any]] | None:
    """Return all documents of a cursor and close it; None if their sizes are over `most`."""
    documents, read = [], 0
    with our_errors(), closing(found):
        for document in found:
            documents.append(document)
            read += size(document)
            if read > most:
                return None
    return documents


_FOR_DEVELOPERS = re.compile(r" \(configured timeouts: [^)]*\)|, Timeout: .*", re.DOTALL)
"""What the driver adds to its message if a server cannot be reached."""

# MongoDB's error codes.
_DUPLICATE_KEY = 11000
_BSON_OBJECT_TOO_LARGE = 10334

_TOO_LARGE = "the score is too large for a MongoDB document"
_MOST_BYTES = 16 * 1024 * 1024 - 16 * 1024
"""The size limit of a document: 16 MiB, less what the oplog entry of a transaction adds to it."""

_SMALL = 1024 * 1024
"""A document of so many characters is never too large, however they are encoded."""


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn the driver's errors into those of app/errors.py."""
    try:
        yield
    except (PyMongoError, BSONError) as error:
        raise _ours(error) from error


def _ours(error: Exception) -> ScorelineError:
    if isinstance(error, DuplicateKeyError):
        return Conflict("a document with this id or key already exists")
    if isinstance(error, DocumentTooLarge):
        return TooLarge(_TOO_LARGE)
    if isinstance(error, ConnectionFailure):
        return StoreUnavailable(f"MongoDB does not answer: {_FOR_DEVELOPERS.sub('', str(error))}")
    return StoreUnavailable(f"{type(error).__name__}: {error}")


def outcome_of(failure: Mapping[str, Any]) -> ScorelineError:
    """Return the error for a document of a write, given the server's description of the failure."""
    if failure["code"] == _DUPLICATE_KEY:
        return Conflict("a score with this id or key already exists")
    if failure["code"] == _BSON_OBJECT_TOO_LARGE:
        return TooLarge(_TOO_LARGE)
    return StoreUnavailable(f"{failure['code']}: {failure.get('errmsg')}")


def is_too_large(document: dict[str, Any], most: int = _MOST_BYTES) -> bool:
    """Return whether a document has more bytes than `most`.

    By default, this is what any server accepts; others in the same write would fail too.
    """
    return size(document) > _SMALL and len(bson.encode(document)) > most


class MongoPart:
    """The base of the parts of the MongoDB store."""

    _client: MongoClient[dict[str, Any]]
    _database: Database[dict[str, Any]]
    _scores: Collection[dict[str, Any]]

    def _prepare_once(self) -> None:
        """Prepare the store before its first use, if that was not possible at the start."""
        raise NotImplementedError
