"""Shared fixtures: stores and services of every engine."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from threading import RLock
from typing import Any

import mongomock
import pytest
from flask import Flask
from hypothesis import settings
from mongomock.aggregate import _Parser
from mongomock.collection import BulkOperationBuilder, Collection
from pymongo import MongoClient

from app import create_app
from app.stores.base import Store
from app.stores.mongo.store import MongoStore, open_mongo_store
from app.stores.mongo.transactions import has_transactions
from app.stores.sqlite.store import SqliteStore
from config.settings import read_settings
from tests import mongodb
from tests.processes import ADMIN_KEY, Service, running

settings.register_profile("scoreline", deadline=None)  # A machine may be busy.
settings.load_profile("scoreline")


def pytest_report_header() -> str:
    """Report which MongoDB server the run uses, or why there is none."""
    return f"MongoDB server: {mongodb.choice() or mongodb.NONE}"


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[str]:
    """Return the URI of a server that speaks MongoDB's protocol, or skip the test."""
    if mongodb.choice() is None:
        pytest.skip(mongodb.NONE)
    with mongodb.server() as uri:
        yield uri


@pytest.fixture
def mongodb_uri(mongodb_server: str) -> Iterator[str]:
    """Return the URI of a new, empty database."""
    uri = mongodb.with_database(mongodb_server, f"scoreline_test_{secrets.token_hex(6)}")
    yield uri
    mongodb.drop_database(uri)


@pytest.fixture
def transactions(mongodb_server: str) -> None:
    """Skip the test on a standalone server, which has no transactions and no change streams."""
    with MongoClient[dict[str, Any]](mongodb_server) as client:
        if not has_transactions(client):
            pytest.skip("a standalone server has no transactions and no change streams")


class Bulk(BulkOperationBuilder):
    """mongomock's bulk writes, which do not know the parameter `sort` of newer drivers."""

    def add_update(self, *values: Any, sort: None = None, **options: Any) -> None:
        """Add an update."""
        super().add_update(*values, **options)  # type: ignore[no-untyped-call]


mongomock.collection.BulkOperationBuilder = Bulk  # type: ignore[misc]


class Expressions(_Parser):
    """mongomock's expressions, and one that it does not know."""

    def _handle_string_operator(self, operator: str, values: Any) -> Any:
        if operator == "$strLenBytes":
            return len(self.parse(values).encode())  # type: ignore[no-untyped-call]
        return super()._handle_string_operator(operator, values)  # type: ignore[no-untyped-call]


mongomock.aggregate._Parser = Expressions  # type: ignore[misc]


def one_at_a_time(method: Callable[..., Any], lock: AbstractContextManager[Any]) -> Any:
    """Return the method under a lock."""

    @wraps(method)
    def locked(*values: Any, **options: Any) -> Any:
        with lock:
            return method(*values, **options)

    return locked


def make_writes_atomic() -> None:
    """Let mongomock write one document at a time, as a server does.

    It looks whether an id or a unique value is there and adds the document in two steps, so that
    two threads can both add it.
    """
    lock = RLock()
    for name in ("_insert", "_update", "_delete", "_find_and_modify"):
        setattr(Collection, name, one_at_a_time(getattr(Collection, name), lock))


make_writes_atomic()


@pytest.fixture(params=["sqlite", "mongomock", "mongodb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Return an empty, prepared store of each engine in turn."""
    opened: Store
    if request.param == "sqlite":
        opened = SqliteStore(tmp_path / "scoreline.db")
    elif request.param == "mongomock":
        database: Any = mongomock.MongoClient(tz_aware=True)["scoreline"]
        opened = MongoStore(lambda: database)
    else:
        opened = open_mongo_store(request.getfixturevalue("mongodb_uri"))
    opened.prepare()
    yield opened
    opened.close()


@pytest.fixture
def embedded_store(tmp_path: Path) -> Iterator[Store]:
    """Return an empty, prepared embedded store, for what is the same on every engine."""
    opened = SqliteStore(tmp_path / "scoreline.db")
    opened.prepare()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service on the embedded store, which the tests of a session share."""
    with running(tmp_path_factory.mktemp("service")) as started:
        yield started


@pytest.fixture(scope="session")
def mongodb_service(
    mongodb_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Run a service on the MongoDB server."""
    uri = mongodb.with_database(mongodb_server, f"scoreline_test_{secrets.token_hex(6)}")
    with running(tmp_path_factory.mktemp("mongodb-service"), uri) as started:
        yield started
    mongodb.drop_database(uri)


@pytest.fixture(params=["sqlite", "mongodb"])
def any_service(request: pytest.FixtureRequest) -> Service:
    """Return a service on each engine in turn."""
    name = "service" if request.param == "sqlite" else "mongodb_service"
    found: Service = request.getfixturevalue(name)
    return found


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """Return an application in this process, on a new embedded store."""
    environ = {
        "SCORELINE_STORE": f"sqlite:///{tmp_path}/scoreline.db",
        "SCORELINE_ADMIN_KEY": ADMIN_KEY,
    }
    made = create_app(read_settings(environ))
    made.extensions["scoreline"].store.prepare()
    return made
