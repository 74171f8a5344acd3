"""The MongoDB store's errors: what the driver and the server say, in the service's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import bson
from bson.errors import BSONError
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, PyMongoError

from app.errors import Conflict, ScorelineError, StoreUnavailable, TooLarge

# MongoDB's error codes.
_DUPLICATE_KEY = 11000
_BSON_OBJECT_TOO_LARGE = 10334

_TOO_LARGE = "the score is larger than a MongoDB document can be"
_MOST_BYTES = 16 * 1024 * 1024
_SMALL = 1024 * 1024


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
    return StoreUnavailable(f"{type(error).__name__}: {error}")


def outcome_of(failure: Mapping[str, Any]) -> ScorelineError:
    """What became of one document of a write, of which the server says why it failed."""
    if failure["code"] == _DUPLICATE_KEY:
        return Conflict("a score with this id or key is stored already")
    if failure["code"] == _BSON_OBJECT_TOO_LARGE:
        return TooLarge(_TOO_LARGE)
    return StoreUnavailable(f"{failure['code']}: {failure.get('errmsg')}")


def is_too_large(document: dict[str, Any]) -> bool:
    """Return whether no server takes a document, which would make its neighbours fail too."""
    return len(document["value_json"]) > _SMALL and len(bson.encode(document)) > _MOST_BYTES
