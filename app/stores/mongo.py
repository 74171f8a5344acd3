"""The MongoDB store: a collection of scores and one of API keys, by pymongo.

A write is acknowledged by a majority of the members, each with the write in its journal
(w=majority, j=true), unless the URI says otherwise.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pymongo
from bson.errors import BSONError
from pymongo import ASCENDING, MongoClient
from pymongo.collection import Collection
from pymongo.errors import (
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    InvalidURI,
    PyMongoError,
    WriteError,
)

from app.errors import Conflict, ScorelineError, StoreRefused, StoreUnavailable, TooLarge
from app.stores.base import ApiKey, Score

DATABASE = "scoreline"
"""The database of a URI that names none."""

PING_SECONDS = 2.0
OPTIONS: Mapping[str, Any] = {
    "w": "majority",
    "journal": True,
    # A dead server is a 503 within seconds, not a hang.
    "serverSelectionTimeoutMS": 2_000,
    "connectTimeoutMS": 2_000,
    "socketTimeoutMS": 20_000,
    "appname": "scoreline",
}
"""The driver's options where the URI does not set them."""

_BSON_OBJECT_TOO_LARGE = 10334  # MongoDB's error code


@dataclass(frozen=True)
class Index:
    """One index: its fields, ascending, and pymongo's options for it."""

    name: str
    fields: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


SCORE_INDEXES = (
    Index("scores_by_project", ("entity", "project", "_id")),
    Index("scores_by_run", ("entity", "project", "evaluation_run_id", "_id")),
    Index("scores_by_prediction", ("entity", "project", "prediction_id", "_id")),
    Index("scores_by_scorer", ("entity", "project", "scorer", "_id")),
    Index(
        "scores_by_idempotency_key",
        ("entity", "project", "idempotency_key"),
        {
            "unique": True,
            "partialFilterExpression": {"idempotency_key": {"$type": "string"}},
        },
    ),
)
KEY_INDEXES = (Index("api_keys_by_hash", ("key_hash",), {"unique": True}),)


def open_mongo_store(uri: str) -> MongoStore:
    """Open the database that `uri` names; pymongo connects when it is first asked something.

    Raises StoreRefused on a URI that pymongo does not take.
    """
    given = {name.lower() for name, _ in parse_qsl(urlsplit(uri).query)}
    options = {name: value for name, value in OPTIONS.items() if name.lower() not in given}
    try:
        with warnings.catch_warnings():
            # pymongo only warns of an option that it does not understand, and goes on without.
            warnings.simplefilter("error", UserWarning)
            client: MongoClient[dict[str, Any]] = MongoClient(uri, tz_aware=True, **options)
        return MongoStore(client, client.get_default_database(DATABASE).name)
    except (InvalidURI, ConfigurationError, ValueError, UserWarning) as error:
        raise StoreRefused(f"SCORELINE_STORE: {error}") from error


class MongoStore:
    """Scores and API keys in one database of a MongoDB client."""

    def __init__(self, client: MongoClient[dict[str, Any]], database: str) -> None:
        self._client = client
        self._scores = client[database]["scores"]
        self._keys = client[database]["api_keys"]
        self._prepared = False
        self._prepare_lock = threading.Lock()

    # Scores

    def add_score(self, score: Score) -> None:
        self._prepare_once()
        with _our_errors():
            self._scores.insert_one(_score_document(score))

    # API keys

    def add_key(self, key: ApiKey) -> None:
        self._prepare_once()
        with _our_errors():
            self._keys.insert_one(_key_document(key))

    def find_key(self, key_hash: str) -> ApiKey | None:
        with _our_errors():
            found = self._keys.find_one({"key_hash": key_hash})
        return _key(found) if found else None

    def list_keys(self) -> list[ApiKey]:
        with _our_errors():
            return [_key(document) for document in self._keys.find().sort("_id", ASCENDING)]

    def revoke_key(self, key_id: str, revoked_at: datetime) -> bool:
        with _our_errors():
            changed = self._keys.update_one(
                {"_id": key_id, "revoked_at": None}, {"$set": {"revoked_at": revoked_at}}
            )
        return changed.modified_count == 1

    # The store itself

    def prepare(self) -> None:
        with _our_errors():
            _create_indexes(self._scores, SCORE_INDEXES)
            _create_indexes(self._keys, KEY_INDEXES)
        self._prepared = True

    def _prepare_once(self) -> None:
        """Make the indexes before the first write of a server that was away at the start."""
        if not self._prepared:
            with self._prepare_lock:
                if not self._prepared:
                    self.prepare()

    def ping(self) -> None:
        with _our_errors(), pymongo.timeout(PING_SECONDS):
            self._scores.find_one({}, {"_id": 1})

    def close(self) -> None:
        self._client.close()


def _create_indexes(collection: Collection[dict[str, Any]], indexes: Sequence[Index]) -> None:
    for index in indexes:
        keys = [(name, ASCENDING) for name in index.fields]
        collection.create_index(keys, name=index.name, **index.options)


@contextmanager
def _our_errors() -> Iterator[None]:
    """Turn what the driver raises into the service's errors."""
    try:
        yield
    except (PyMongoError, BSONError) as error:
        raise _ours(error) from error


def _ours(error: Exception) -> ScorelineError:
    if isinstance(error, DuplicateKeyError):
        return Conflict("a document with this id or key is stored already")
    too_large = isinstance(error, WriteError) and error.code == _BSON_OBJECT_TOO_LARGE
    if too_large or isinstance(error, DocumentTooLarge):
        return TooLarge("the score is larger than a MongoDB document can be")
    return StoreUnavailable(f"{type(error).__name__}: {error}")


def _score_document(score: Score) -> dict[str, Any]:
    return {
        "_id": score.score_id,
        "entity": score.entity,
        "project": score.project,
        "evaluation_run_id": score.evaluation_run_id,
        "prediction_id": score.prediction_id,
        "scorer": score.scorer,
        "value_json": score.value_json,
        "leaves": score.leaves,
        "wb_user_id": score.wb_user_id,
        "created_at": score.created_at,
        "idempotency_key": score.idempotency_key,
        "body_hash": score.body_hash,
    }


def _key_document(key: ApiKey) -> dict[str, Any]:
    return {
        "_id": key.key_id,
        "name": key.name,
        "role": key.role,
        "scope": key.scope,
        "owner": key.owner,
        "key_hash": key.key_hash,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }


def _key(document: Mapping[str, Any]) -> ApiKey:
    revoked_at = document["revoked_at"]
    return ApiKey(
        key_id=document["_id"],
        name=document["name"],
        role=document["role"],
        scope=document["scope"],
        owner=document["owner"],
        key_hash=document["key_hash"],
        created_at=_in_utc(document["created_at"]),
        revoked_at=_in_utc(revoked_at) if revoked_at else None,
    )


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
