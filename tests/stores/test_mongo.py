"""What only the MongoDB store promises: write concern, indexes, time limits, its errors."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator

import pymongo.errors
import pytest
from bson.errors import BSONError, InvalidDocument
from pymongo import MongoClient

from app.errors import Conflict, StoreRefused, StoreUnavailable, TooLarge
from app.stores import open_store
from app.stores.mongo import SCORE_INDEXES, MongoStore, _our_errors, open_mongo_store
from tests.processes import free_port
from tests.stores.test_contract import a_score

Opened = Callable[[str], MongoStore]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens stores by URI, and closes them after the test."""
    stores: list[MongoStore] = []

    def open_one(uri: str) -> MongoStore:
        stores.append(open_mongo_store(uri))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def client_of(store: MongoStore) -> MongoClient[dict[str, object]]:
    return store._client


def test_writes_wait_for_a_majority_and_its_journal(opened: Opened) -> None:
    store = opened("mongodb://127.0.0.1:1/x")
    assert store._scores.write_concern.document == {"w": "majority", "j": True}
    assert store._keys.write_concern.document == {"w": "majority", "j": True}
    assert client_of(store).options.retry_writes


def test_the_uri_may_say_otherwise(opened: Opened) -> None:
    uri = "mongodb://127.0.0.1:1/?W=2&journal=false&serverSelectionTimeoutMS=50"
    store = opened(uri)
    assert store._scores.write_concern.document == {"w": 2, "j": False}
    assert client_of(store).options.server_selection_timeout == 0.05
    assert store._scores.database.name == "scoreline"


@pytest.mark.parametrize("uri", ["mongodb://", "mongodb://h:x/", "mongodb://h/?w=-1"])
def test_a_uri_that_pymongo_does_not_take_is_refused(uri: str) -> None:
    with pytest.raises(StoreRefused):
        open_store(uri)


def test_a_dead_server_is_unavailable_within_seconds(opened: Opened) -> None:
    store = opened(f"mongodb://127.0.0.1:{free_port()}/x")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.ping()
    with pytest.raises(StoreUnavailable):
        store.add_score(a_score())
    assert time.monotonic() - began < 15


def test_indexes_are_made_on_the_server(mongodb_uri: str, opened: Opened) -> None:
    store = opened(mongodb_uri)
    store.add_score(a_score())  # A server that was away at the start gets them with a write.
    found = store._scores.index_information()
    for index in SCORE_INDEXES:
        assert [name for name, _ in found[index.name]["key"]] == list(index.fields)
        assert index.fields[:2] == ("entity", "project")
    assert found["scores_by_idempotency_key"]["unique"]
    assert store._keys.index_information()["api_keys_by_hash"]["unique"]


def test_a_score_too_large_for_a_document_is_told_so(mongodb_uri: str, opened: Opened) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    with pytest.raises(TooLarge):
        store.add_score(a_score(value_json=f'"{"x" * 17_000_000}"'))


EXPECTED = {
    pymongo.errors.DuplicateKeyError: Conflict,
    pymongo.errors.DocumentTooLarge: TooLarge,
}


def kinds() -> list[type[Exception]]:
    """Every exception class of the driver that an operation can raise."""
    found = [kind for _, kind in inspect.getmembers(pymongo.errors, inspect.isclass)]
    return [kind for kind in found if issubclass(kind, pymongo.errors.PyMongoError | BSONError)]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_driver_becomes_ours(kind: type[Exception]) -> None:
    ours = EXPECTED.get(kind, StoreUnavailable)
    error = kind.__new__(kind)  # Their constructors differ.
    if isinstance(error, pymongo.errors.OperationFailure):
        pymongo.errors.OperationFailure.__init__(error, "text", code=1)
    with pytest.raises(ours) as found, _our_errors():
        raise error
    assert type(found.value) is ours


def test_a_document_that_bson_or_the_server_finds_too_large_is_ours() -> None:
    with pytest.raises(TooLarge), _our_errors():
        raise pymongo.errors.WriteError("BSONObj size is invalid", code=10334)
    with pytest.raises(StoreUnavailable), _our_errors():
        raise InvalidDocument("?")
