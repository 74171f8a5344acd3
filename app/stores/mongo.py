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
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pymongo
from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING, MongoClient
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    InvalidURI,
    PyMongoError,
    WriteError,
)
from pymongo.read_concern import ReadConcern

from app.errors import Conflict, ScorelineError, StoreRefused, StoreUnavailable, TooLarge
from app.stores.base import ApiKey, KeyedScore, Score, ScoreQuery
from app.stores.mongo_documents import ids_filter, key_document, score_document, to_key, to_score

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

# MongoDB's error codes.
_DUPLICATE_KEY = 11000
_BSON_OBJECT_TOO_LARGE = 10334


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
    Index(
        "scores_by_retry_hash",
        ("entity", "project", "retry_hash", "_id"),
        {"partialFilterExpression": {"retry_hash": {"$type": "string"}}},
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
            self._scores.insert_one(score_document(score))

    def add_scores(self, scores: Sequence[Score]) -> None:
        """Unordered, without a transaction: a failure halfway leaves some of the scores stored.

        The ids are made before the write. When the connection breaks, nobody knows what arrived;
        the same write is made once more, and finishes it: what is stored already is passed over.
        """
        self._prepare_once()
        documents = [score_document(score) for score in scores]
        with _our_errors():
            try:
                self._scores.insert_many(documents, ordered=False)
            except AutoReconnect:
                self._insert_missing(documents)

    def _insert_missing(self, documents: list[dict[str, Any]]) -> None:
        stored = self._scores.find(
            {"_id": {"$in": [each["_id"] for each in documents]}}, {"_id": 1}
        )
        there = {document["_id"] for document in stored}
        missing = [document for document in documents if document["_id"] not in there]
        if missing:
            self._scores.insert_many(missing, ordered=False)

    def find_score(self, entity: str, project: str, score_id: str) -> Score | None:
        with _our_errors():
            found = self._scores.find_one({"_id": score_id, "entity": entity, "project": project})
        return to_score(found) if found else None

    def list_score_ids(self, query: ScoreQuery) -> list[str]:
        self._prepare_once()  # The index that is hinted at must be there.
        with _our_errors():
            return [document["_id"] for document in self._find_ids(query)]

    def _find_ids(self, query: ScoreQuery) -> Cursor[dict[str, Any]]:
        found = self._scores.find(ids_filter(query), {"_id": 1}).sort("_id", ASCENDING)
        return found.hint(_index_for(query)).skip(query.offset).limit(query.limit)

    def read_scores(self, score_ids: Sequence[str]) -> Iterator[Score]:
        with _our_errors():
            wanted = {"_id": {"$in": list(score_ids)}}
            for document in self._scores.find(wanted).sort("_id", ASCENDING):
                yield to_score(document)

    def find_keyed(
        self, entity: str, project: str, idempotency_keys: Sequence[str]
    ) -> dict[str, KeyedScore]:
        wanted = {
            "entity": entity,
            "project": project,
            "idempotency_key": {"$in": list(idempotency_keys)},
        }
        fields = {"idempotency_key": 1, "body_hash": 1}
        with _our_errors():
            return {
                found["idempotency_key"]: KeyedScore(found["_id"], found["body_hash"])
                for found in self._durable().find(wanted, fields)
            }

    def find_retried(self, entity: str, project: str, retry_hash: str, after: str) -> str | None:
        wanted = {
            "entity": entity,
            "project": project,
            "retry_hash": retry_hash,
            "_id": {"$gt": after},
        }
        with _our_errors():
            found = self._durable().find(wanted, {"_id": 1}).sort("_id", DESCENDING).limit(1)
            return next((document["_id"] for document in found), None)

    def _durable(self) -> Collection[dict[str, Any]]:
        """The scores that a majority has; any other may still be lost, and is not there."""
        return self._scores.with_options(read_concern=ReadConcern("majority"))

    def delete_scores(self, entity: str, project: str, score_ids: Sequence[str]) -> int:
        wanted = {"_id": {"$in": list(score_ids)}, "entity": entity, "project": project}
        with _our_errors():
            return self._scores.delete_many(wanted).deleted_count

    # API keys

    def add_key(self, key: ApiKey) -> None:
        self._prepare_once()
        with _our_errors():
            self._keys.insert_one(key_document(key))

    def find_key(self, key_hash: str) -> ApiKey | None:
        with _our_errors():
            found = self._keys.find_one({"key_hash": key_hash})
        return to_key(found) if found else None

    def list_keys(self) -> list[ApiKey]:
        with _our_errors():
            return [to_key(document) for document in self._keys.find().sort("_id", ASCENDING)]

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
        """Make the indexes before the first use of a server that was away at the start."""
        if not self._prepared:
            with self._prepare_lock:
                if not self._prepared:
                    self.prepare()

    def ping(self) -> None:
        with _our_errors(), pymongo.timeout(PING_SECONDS):
            self._scores.find_one({}, {"_id": 1})

    def close(self) -> None:
        self._client.close()


def _index_for(query: ScoreQuery) -> str:
    """The index of the narrowest filter; left alone, a server may walk all projects by _id."""
    if query.prediction_id is not None:
        return "scores_by_prediction"
    if query.evaluation_run_id is not None:
        return "scores_by_run"
    return "scores_by_project" if query.scorer is None else "scores_by_scorer"


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
    if isinstance(error, BulkWriteError):
        codes = {each["code"] for each in (error.details or {}).get("writeErrors", [])}
        if codes == {_DUPLICATE_KEY}:
            return Conflict("a score of the batch has an id or key that is stored already")
    too_large = isinstance(error, WriteError) and error.code == _BSON_OBJECT_TOO_LARGE
    if too_large or isinstance(error, DocumentTooLarge):
        return TooLarge("the score is larger than a MongoDB document can be")
    return StoreUnavailable(f"{type(error).__name__}: {error}")
