"""Promises of the MongoDB store alone: write concern, indexes, time limits and errors."""

from __future__ import annotations

import base64
import hashlib
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import bson
import mongomock
import pymongo.errors
import pymongo.monitoring
import pytest
from bson.errors import BSONError, InvalidDocument
from pymongo import MongoClient
from pymongo.client_session import ClientSession

from app.errors import (
    Conflict,
    InvalidParameter,
    StoreDamaged,
    StoreRefused,
    StoreUnavailable,
    TooLarge,
    Unsupported,
)
from app.services.key_ring import KeyRing
from app.stores import open_store
from app.stores.base import Kept, Outcome, ScoreQuery
from app.stores.model import UNASSIGNED, ApiKey, Prediction, Score
from app.stores.mongo import driver
from app.stores.mongo.changes import read_changes
from app.stores.mongo.documents import SCORE_INDEXES, SLOT_FIELDS, score_document
from app.stores.mongo.driver import our_errors
from app.stores.mongo.keys import key_document
from app.stores.mongo.parts import MAY_BE_IN_PARTS, smallest
from app.stores.mongo.schema import INDEXES
from app.stores.mongo.shapes import LARGE_BYTES, gathering
from app.stores.mongo.store import MongoStore, open_mongo_store
from app.stores.mongo.transactions import has_transactions
from tests.processes import free_port
from tests.stores.test_contract import NOW, a_score, all_scores

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
    store.add_score(a_score())  # Creates the indexes if the server did not answer at the start.
    found = store._scores.index_information()
    for index in SCORE_INDEXES:
        assert [name for name, _ in found[index.name]["key"]] == list(index.fields)
        assert index.fields[:2] == ("entity", "project")
    unique_keys = store._database["unique_keys"].index_information()
    assert unique_keys["unique_keys_by_key"]["unique"]
    assert store._keys.index_information()["api_keys_by_hash"]["unique"]


def large_scores() -> Iterator[Score]:
    """Return scores that are too large for a document, each because of a different text."""
    text = "x" * (16 * 1024 * 1024)
    short = {"score_id", "idempotency_key", "entity", "project"}  # The API limits their length.
    names = {field.name for field in fields(Score) if "str" in str(field.type)} - short
    names -= MAY_BE_IN_PARTS
    for name in sorted(names):
        yield a_score(**{name: text})
    half = text[: len(text) // 2]
    yield a_score(scorer=half, prediction_id=half)


def test_a_score_too_large_for_a_document_is_refused_as_such(
    mongodb_uri: str, opened: Opened
) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    for large in large_scores():
        assert store.add_score(large).kept is Kept.TOO_LARGE
        outcomes = store.add_missing([a_score(), large], partial=False)
        assert [each.kept for each in outcomes] == [Kept.HELD_BACK, Kept.TOO_LARGE]


@pytest.mark.parametrize("more", [0, 1])
def test_the_largest_score_that_is_not_too_large_is_stored(
    mongodb_uri: str, opened: Opened, more: int
) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    empty = len(bson.encode(smallest(score_document(a_score(wb_user_id="")))))
    scores = [a_score(wb_user_id="x" * (driver._MOST_BYTES - empty + more)) for _ in range(2)]
    outcomes = [store.add_score(scores[0]), *store.add_missing(scores[1:], partial=True)]
    assert [each.kept for each in outcomes] == [Kept.TOO_LARGE if more else Kept.CREATED] * 2


@pytest.mark.usefixtures("transactions")
def test_a_reader_that_waits_at_the_close_gets_an_empty_page(
    mongodb_uri: str, opened: Opened
) -> None:
    store = opened(mongodb_uri)
    now = store.read_changes("acme", "demo", None, 10, 0.0).cursor
    closed = threading.Event()
    closed.set()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_changes, store._scores, ("acme", "demo"), now, 10, 30.0, closed)
        assert reading.result(20).scores == []


@pytest.mark.parametrize(
    ("code", "name", "expected"),
    [
        (9, "FailedToParse", InvalidParameter),
        (207, "InvalidUUID", InvalidParameter),
        (50796, "Location50796", InvalidParameter),  # The token has no version.
        (11601, "Interrupted", StoreUnavailable),
    ],
)
def test_a_cursor_that_the_server_cannot_read_is_refused(
    standalone: MongoStore,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    name: str,
    expected: type[Exception],
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise pymongo.errors.OperationFailure(name, code, {"code": code, "codeName": name})

    monkeypatch.setattr(standalone._scores, "watch", refuse, raising=False)
    cursor = base64.urlsafe_b64encode(b'{"token": {"_data": "8265000000"}}').decode().rstrip("=")
    with pytest.raises(expected), our_errors():
        read_changes(standalone._scores, ("acme", "demo"), cursor, 10, 0.0, threading.Event())


Read = Callable[[MongoStore, list[str]], list[str]]
READS: dict[str, Read] = {
    "read_scores": lambda store, ids: [
        score.score_id for score in store.read_scores("acme", "demo", ids)
    ],
    "newest_first": lambda store, ids: [
        score.score_id for score in store.read_scores("acme", "demo", ids, newest_first=True)
    ][::-1],
    "scan_scores": lambda store, ids: [score.score_id for score in all_scores(store)],
    "read_leaves": lambda store, _: [
        str(key)
        for keys, *_ in store.read_leaves(ScoreQuery("acme", "demo"), ["score_id"])
        for (key,) in keys
    ],
}


@pytest.mark.parametrize("page_bytes", [1, 1_000, 1_000_000])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_pages_are_read_whole_and_miss_and_repeat_nothing(
    monkeypatch: pytest.MonkeyPatch, read: Read, page_bytes: int
) -> None:
    monkeypatch.setattr("app.stores.mongo.store.PAGE", 3)
    monkeypatch.setattr("app.stores.mongo.leaves.PAGE", 3)
    monkeypatch.setattr("app.stores.mongo.driver.PAGE_BYTES", page_bytes)
    database: Any = mongomock.MongoClient(tz_aware=True)["x"]
    store = MongoStore(lambda: database)
    store.prepare()
    ids: list[str] = []
    for _ in range(8):
        assert read(store, ids) == ids
        ids.append(store.add_score(a_score()).id)


@pytest.mark.parametrize("repeats", [0, 1, 2])
@pytest.mark.parametrize("only_current", [False, True])
@pytest.mark.parametrize("run", [None, "run"])
def test_a_page_of_leaves_has_only_the_fields_that_are_read(
    monkeypatch: pytest.MonkeyPatch, run: str | None, only_current: bool, repeats: int
) -> None:
    monkeypatch.setattr("app.stores.mongo.slots.MAX_REPEATED", 1)
    database: Any = mongomock.MongoClient(tz_aware=True)["x"]
    store = MongoStore(lambda: database)
    for place in range(4):
        for _ in range(2 if place < repeats else 1):
            store.add_score(a_score(prediction_id=f"p{place}", evaluation_run_id="run"))
    find, sent = store._scores.find, []

    def noting(wanted: Any = None, shown: Any = None, **options: Any) -> Any:
        if shown:  # mongomock's aggregations find all.
            sent.append({name for name, is_shown in shown.items() if is_shown})
            assert shown["_id"] == 0
        return find(wanted, shown, **options)

    query = store.as_of_now(ScoreQuery("acme", "demo", run, only_current=only_current))
    monkeypatch.setattr(store._scores, "find", noting)
    (page,) = store.read_leaves(query, ["scorer"])
    looks_up = only_current and repeats > 0
    assert page.keys == [(a_score().scorer,)] * (4 if only_current else 4 + repeats)
    assert page.superseded.total() == (repeats if only_current else 0)
    of_slots = looks_up or (only_current and run is None)
    assert sent[0] == {"score_id", "leaves", "scorer", *(SLOT_FIELDS if of_slots else ())}
    assert len(sent) == (2 if looks_up else 1)


def test_a_large_page_of_counted_leaves_is_read_again_with_fewer_scores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.stores.mongo.leaves.PAGE", 16)
    monkeypatch.setattr("app.stores.mongo.leaves.PAGE_BYTES", 1_000)
    database: Any = mongomock.MongoClient(tz_aware=True)["x"]
    store = MongoStore(lambda: database)
    for place in range(40):  # The last ten have many different paths.
        path = "x" if place < 30 else f"{place}" * 100
        leaf = {"path": path, "kind": "boolean", "number": 1.0}
        store.add_score(a_score(prediction_id=f"p{place}", leaves=[leaf]))
    aggregate, limits = store._scores.aggregate, []

    def noting(pipeline: Any, **options: Any) -> Any:
        limits.append(next(stage["$limit"] for stage in pipeline if "$limit" in stage))
        return aggregate(pipeline, **options)

    monkeypatch.setattr(store._scores, "aggregate", noting)
    tallies = list(store.tally_single(ScoreQuery("acme", "demo"), (), ("prediction_id",)))
    assert sum(tally.scores for tally in tallies) == 40
    assert len({leaf["path"] for tally in tallies for leaf in tally.leaves}) == 11
    assert max(limits) == 16
    assert min(limits) < 16


def test_scores_with_much_text_are_not_gathered_in_one_document() -> None:
    database: Any = mongomock.MongoClient(tz_aware=True)["x"]
    store = MongoStore(lambda: database)
    many = {"leaves": [{"path": "x", "kind": "text", "text": "yes"}]}
    for size in (10, 10, LARGE_BYTES, LARGE_BYTES):
        text = f'"{"x" * size}"'
        store.add_score(a_score(prediction_id=f"p{size}", value_json=text, **many))
        store.add_score(a_score(prediction_id="p" * size, value_json='"x"', **many))
    found = store._scores.aggregate([gathering(["scorer"])])
    assert sorted(each["scores"] for each in found) == [1, 1, 1, 1, 4]


@pytest.mark.parametrize("damaged", [None, [{"kind": "number", "number": 1.0}]])
def test_counted_leaves_that_are_not_what_was_written_are_damage(
    mongodb_uri: str, opened: Opened, damaged: Any
) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    store.add_score(a_score())
    store._scores.update_one({}, {"$set": {"leaves": damaged}})
    with pytest.raises(StoreDamaged):
        list(store.tally_single(ScoreQuery("acme", "demo"), (), ("prediction_id",)))


LARGE_LEAF = {"path": "x" * 200, "kind": "text", "text": "x" * 800}


def test_no_cursor_of_the_server_is_open_while_a_client_is_waited_for(
    mongodb_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    large = {"value_json": f'"{"x" * 6_000_000}"', "leaves": [LARGE_LEAF] * 6_000}
    for _ in range(5):  # More than a server sends at once.
        store.add_score(a_score(**large))
    ids = store.list_score_ids(ScoreQuery("acme", "demo"))
    cursors: list[Any] = []

    def noting(read: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:
            cursors.append(read(*arguments, **options))
            return cursors[-1]

        return noted

    monkeypatch.setattr(store._scores, "find", noting(store._scores.find))
    monkeypatch.setattr(store._scores, "aggregate", noting(store._scores.aggregate))
    monkeypatch.setattr(store, "_durable", lambda: store._scores)
    for pieces in (
        store.read_scores("acme", "demo", ids),
        store.scan_scores(ScoreQuery("acme", "demo", limit=5)),
        store.read_leaves(ScoreQuery("acme", "demo"), ["score_id"]),
        store.tally_single(ScoreQuery("acme", "demo"), ["score_id"], ["prediction_id"]),
    ):
        cursors.clear()
        assert next(pieces)
        assert cursors
        assert all(cursor._killed for cursor in cursors)


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
    with pytest.raises(ours) as found, our_errors():
        raise error
    assert type(found.value) is ours


def test_a_document_that_bson_refuses_is_ours() -> None:
    with pytest.raises(StoreUnavailable), our_errors():
        raise InvalidDocument("?")


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"evaluation_run_id": "r"},
        {"prediction_id": "p"},
        {"scorer": "s"},
        {"evaluation_run_id": "r", "prediction_id": "p", "scorer": "s", "after": "0"},
    ],
)
def test_every_list_and_read_uses_an_index(
    mongodb_uri: str, opened: Opened, filters: dict[str, Any]
) -> None:
    store = opened(mongodb_uri)
    store.add_missing([a_score() for _ in range(200)], partial=False)
    ids = store._find_ids(ScoreQuery("acme", "demo", **filters), {})
    project = {"entity": "acme", "project": "demo"}
    for cursor in (ids, store._scores.find({**project, "score_id": {"$in": ["a", "b"]}})):
        stages = plan_stages(cursor.explain()["queryPlanner"]["winningPlan"])
        assert "COLLSCAN" not in stages
        assert [stage for stage in stages if "IXSCAN" in stage or stage == "IDHACK"]


class Commands(pymongo.monitoring.CommandListener):
    """The `find` commands of a client, and the names of the commands that succeeded."""

    def __init__(self) -> None:
        self.finds: list[dict[str, Any]] = []
        self.done: list[str] = []

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        """Record a `find` without what does not affect the choice of an index."""
        if event.command_name == "find":
            parts = ("find", "filter", "projection", "sort", "hint", "limit")
            self.finds.append(
                {part: event.command[part] for part in parts if part in event.command}
            )

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None:
        """Record the command."""
        self.done.append(event.command_name)

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None:
        """Do nothing."""


def test_every_find_of_a_write_and_of_a_retry_uses_an_index(mongodb_uri: str) -> None:
    commands = Commands()
    client: MongoClient[dict[str, Any]]
    client = MongoClient(mongodb_uri, tz_aware=True, event_listeners=[commands])
    database = client.get_default_database()
    store = MongoStore(lambda: database)
    store.prepare()
    store.add_missing([a_score() for _ in range(200)], partial=False)
    commands.finds.clear()
    keyed = [a_score(score_id=UNASSIGNED, idempotency_key=f"{n}") for n in range(3)]
    store.add_missing(keyed, partial=False)
    store.add_score(keyed[0])
    store.add_score(a_score(retry_hash="x"))
    assert store.find_retried(a_score(retry_hash="x"), "")
    names = ("scores", "unique_keys")
    asked = [command for command in commands.finds if command["find"] in names]
    assert [command["find"] for command in asked].count("scores") >= 2
    assert [command["find"] for command in asked].count("unique_keys") >= 2
    for command in asked:
        plan = database.command({"explain": command, "verbosity": "queryPlanner"})
        stages = plan_stages(plan["queryPlanner"]["winningPlan"])
        assert "COLLSCAN" not in stages, command
    client.close()


CONDITIONS: dict[str, dict[str, Any]] = {
    index.name: index.options["partialFilterExpression"]
    for indexes in INDEXES.values()
    for index in indexes
    if "partialFilterExpression" in index.options
}


def repeats_condition(command: Mapping[str, Any]) -> bool:
    """Return whether a `find` or a count has the condition of the partial index in its hint.

    Otherwise MongoDB would read the whole index, of all projects.
    """
    wanted = command["filter"] if "filter" in command else command["pipeline"][0]["$match"]
    condition = CONDITIONS.get(command.get("hint", ""), {})
    return all(each.items() <= wanted[name].items() for name, each in condition.items())


def plan_stages(plan: Any) -> list[str]:
    """Return the names of all stages of a winning plan, however the server nests them."""
    if isinstance(plan, dict):
        own = [plan["stage"]] if isinstance(plan.get("stage"), str) else []
        return own + [stage for part in plan.values() for stage in plan_stages(part)]
    return [stage for part in plan for stage in plan_stages(part)] if isinstance(plan, list) else []


def breaking(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch, arrives: int, times: int = 1
) -> None:
    """Break the connection `times` times, each after `arrives` documents of a write arrived."""
    insert_many = store._scores.insert_many
    broken = iter([True] * times)

    def break_off(documents: list[dict[str, Any]], **options: Any) -> None:
        if not next(broken, False):
            insert_many(documents, **options)
            return
        if arrives:
            insert_many(documents[:arrives], **options)
        raise pymongo.errors.AutoReconnect("connection closed")

    monkeypatch.setattr(store._scores, "insert_many", break_off)


@pytest.mark.parametrize("arrives", [0, 4, 10])
def test_without_transactions_a_batch_that_broke_off_halfway_is_finished(
    mongodb_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch, arrives: int
) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    monkeypatch.setattr("app.stores.mongo.store.has_transactions", lambda _: False)
    scores = [a_score(idempotency_key=f"k {number}") for number in range(10)]
    breaking(store, monkeypatch, arrives)
    store.add_missing(scores, partial=False)
    assert store.list_score_ids(ScoreQuery("acme", "demo")) == [each.score_id for each in scores]


@pytest.mark.usefixtures("transactions")
def test_a_batch_that_fails_halfway_leaves_nothing(
    mongodb_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    insert_many = store._scores.insert_many

    def fail_halfway(documents: list[dict[str, Any]], **options: Any) -> None:
        insert_many(documents[:5], **options)
        raise pymongo.errors.OperationFailure("broken off")

    monkeypatch.setattr(store._scores, "insert_many", fail_halfway)
    with pytest.raises(StoreUnavailable):
        store.add_missing([a_score() for _ in range(10)], partial=True)
    assert store.list_score_ids(ScoreQuery("acme", "demo")) == []


@pytest.mark.usefixtures("transactions")
def test_a_batch_whose_time_is_up_is_aborted_on_the_server(
    mongodb_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.mongo.transactions.TRANSACTION_SECONDS", 2.0)
    commands = Commands()
    with MongoClient[dict[str, Any]](mongodb_uri, event_listeners=[commands]) as client:
        store = MongoStore(client.get_default_database)
        store.prepare()
        insert_many = store._scores.insert_many

        def insert_without_end(documents: list[dict[str, Any]], **options: Any) -> None:
            insert_many(documents, **options)
            while True:
                store._scores.find_one({}, session=options["session"])

        monkeypatch.setattr(store._scores, "insert_many", insert_without_end)
        with pytest.raises(StoreUnavailable):
            store.add_missing([a_score()], partial=False)
        assert commands.done.count("abortTransaction") == commands.done.count("insert") // 2


def test_a_commit_is_retried_if_its_response_is_lost(
    mongodb_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    commit = ClientSession.commit_transaction
    lost = iter([True, True])

    def lose(session: ClientSession) -> None:
        commit(session)
        if next(lost, False):
            error = pymongo.errors.AutoReconnect("connection closed")
            error._add_error_label("UnknownTransactionCommitResult")
            raise error

    monkeypatch.setattr(ClientSession, "commit_transaction", lose)
    scores = [a_score() for _ in range(3)]
    assert [each.kept for each in store.add_missing(scores, partial=False)] == [Kept.CREATED] * 3
    assert len(store.list_score_ids(ScoreQuery("acme", "demo"))) == 3


def test_batches_with_the_same_keys_at_the_same_time_make_each_score_once(
    mongodb_uri: str, opened: Opened
) -> None:
    store = opened(mongodb_uri)
    store.prepare()

    def add(_: int) -> list[Outcome]:
        scores = [a_score(score_id=UNASSIGNED, idempotency_key=f"k{n}") for n in range(50)]
        return store.add_missing(scores, partial=False)

    with ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(add, range(6)))
    for outcomes in zip(*runs, strict=True):
        assert [each.kept for each in outcomes].count(Kept.CREATED) == 1
        assert len({each.id for each in outcomes}) == 1
    assert len(store.list_score_ids(ScoreQuery("acme", "demo"))) == 50


def keyed_scores(*keys: str) -> list[Score]:
    return [a_score(score_id=UNASSIGNED, idempotency_key=key) for key in keys]


@pytest.mark.parametrize(
    ("types", "known"),
    [
        ({"RSPrimary", "RSSecondary"}, True),
        ({"RSSecondary", "Unknown"}, True),  # While there is no primary.
        ({"Mongos"}, True),
        ({"Standalone"}, False),
    ],
)
def test_only_a_standalone_server_has_no_transactions(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, types: set[str], known: bool
) -> None:
    store = opened("mongodb://127.0.0.1:1/x")
    servers = {name: SimpleNamespace(server_type_name=name) for name in types}
    description = SimpleNamespace(server_descriptions=lambda: servers)
    monkeypatch.setattr(MongoClient, "topology_description", description)
    assert has_transactions(client_of(store)) is known


def test_a_standalone_server_is_warned_of_and_has_no_changes(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    mongodb_uri: str,
    opened: Opened,
) -> None:
    monkeypatch.setattr("app.stores.mongo.store.has_transactions", lambda _: False)
    store = opened(mongodb_uri)
    with caplog.at_level("WARNING"):
        store.prepare()
    assert "stored in part, and changes cannot be followed" in caplog.text
    with pytest.raises(Unsupported, match="standalone"):
        store.read_changes("acme", "demo", None, 10, 0.0)


@pytest.mark.usefixtures("transactions")
def test_scores_without_unique_keys_need_no_transaction(mongodb_uri: str) -> None:
    commands = Commands()
    with MongoClient[dict[str, Any]](mongodb_uri, event_listeners=[commands]) as client:
        store = MongoStore(client.get_default_database)
        store.prepare()
        commands.done.clear()
        store.add_score(a_score(score_id=UNASSIGNED))
        assert commands.done == ["insert"]
        store.add_score(a_score(score_id=UNASSIGNED, idempotency_key="k"))
        assert commands.done[-3:] == ["insert", "insert", "commitTransaction"]


@pytest.mark.usefixtures("transactions")
def test_a_score_and_its_unique_keys_are_stored_together_or_not_at_all(
    mongodb_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    insert_many = store._scores.insert_many

    def fail(documents: list[dict[str, Any]], **options: Any) -> None:
        insert_many(documents, **options)
        raise pymongo.errors.OperationFailure("broken off")

    score = a_score(idempotency_key="k")
    with monkeypatch.context() as patch:
        patch.setattr(store._scores, "insert_many", fail)
        with pytest.raises(StoreUnavailable):
            store.add_score(score)
    assert keys_in(store) == []
    assert store.add_score(score).kept is Kept.CREATED
    assert keys_in(store) == [("scores.id", score.score_id), ("scores.idempotency_key", "k")]
    assert store.delete_scores("acme", "demo", [score.score_id]) == 1
    assert keys_in(store) == []


def keys_in(store: MongoStore) -> list[tuple[str, str]]:
    """Return kind and text of all unique keys."""
    found = store._database["unique_keys"].find()
    return sorted((each["kind"], each["key"]) for each in found)


def test_a_keyed_score_that_fails_lets_others_of_its_time_be_stored(
    mongodb_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(mongodb_uri)
    store.prepare()

    def fail(*_: Any, **__: Any) -> None:
        raise pymongo.errors.OperationFailure("broken off")

    monkeypatch.setattr("app.stores.mongo.writes.find_taken", fail)
    with ThreadPoolExecutor(8) as pool:
        keyed = [pool.submit(store.add_score, each) for each in keyed_scores(*"abcd")]
        plain = [pool.submit(store.add_score, a_score(score_id=UNASSIGNED)) for _ in range(4)]
    assert all(isinstance(each.exception(), StoreUnavailable) for each in keyed)
    assert [each.result().kept for each in plain] == [Kept.CREATED] * 4


@pytest.fixture
def standalone() -> MongoStore:
    """Return a store on a server without transactions."""
    database: Any = mongomock.MongoClient(tz_aware=True)["x"]
    store = MongoStore(lambda: database)
    store.prepare()
    return store


def break_off_inserts(store: MongoStore, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a context in which every insert of a collection breaks off."""

    def break_off(*_: Any, **__: Any) -> None:
        raise pymongo.errors.AutoReconnect("connection closed")

    patch = monkeypatch.context()
    patched = patch.__enter__()
    patched.setattr(store._database[name], "insert_many", break_off)
    patched.setattr(store._database[name], "insert_one", break_off)
    return patch


def test_without_transactions_a_retry_completes_a_score_whose_key_was_taken(
    standalone: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (score,) = keyed_scores("k")
    patch = break_off_inserts(standalone, "scores", monkeypatch)
    with pytest.raises(StoreUnavailable):
        standalone.add_score(score)
    patch.__exit__(None, None, None)
    assert standalone.list_score_ids(ScoreQuery("acme", "demo")) == []
    assert standalone.add_score(replace(score, body_hash="other")).kept is Kept.KEY_TAKEN
    outcome = standalone.add_score(score)
    assert outcome.kept is Kept.CREATED
    (taken,) = standalone._database["unique_keys"].find()
    assert taken["id"] == outcome.id
    assert standalone.add_score(score) == replace(outcome, kept=Kept.REPLAYED)
    assert standalone.list_score_ids(ScoreQuery("acme", "demo")) == [outcome.id]


def test_without_transactions_a_retry_completes_a_copy_whose_key_was_taken(
    standalone: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = a_score(idempotency_key="k")
    patch = break_off_inserts(standalone, "scores", monkeypatch)
    with pytest.raises(StoreUnavailable):
        standalone.add_missing([score], partial=True)
    patch.__exit__(None, None, None)
    assert standalone.add_missing([score], partial=True) == [Outcome(Kept.CREATED, score.score_id)]


@pytest.mark.parametrize("prediction_id", [UNASSIGNED, "p/1"])
def test_without_transactions_a_retry_completes_a_document_whose_key_was_taken(
    standalone: MongoStore, monkeypatch: pytest.MonkeyPatch, prediction_id: str
) -> None:
    prediction = Prediction(
        id=prediction_id,
        entity="acme",
        project="demo",
        idempotency_key="k",
        body_hash="0" * 64,
        predict_and_score_call_id="c",
        model="m",
        inputs_json="{}",
        output_json="1",
    )
    patch = break_off_inserts(standalone, "predictions", monkeypatch)
    with pytest.raises(StoreUnavailable):
        standalone.add_documents([prediction])
    patch.__exit__(None, None, None)
    other = replace(prediction, body_hash="other")
    assert standalone.add_documents([other])[0].kept is Kept.KEY_TAKEN
    (first,) = standalone.add_documents([prediction])
    assert first.kept is Kept.CREATED
    (taken,) = standalone._database["unique_keys"].find()
    assert taken["id"] == first.id
    assert standalone.add_documents([prediction]) == [replace(first, kept=Kept.REPLAYED)]


@pytest.mark.parametrize("arrives", [0, 1])
def test_a_score_whose_write_broke_off_is_stored_once(
    mongodb_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch, arrives: int
) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    breaking(store, monkeypatch, arrives)
    score_id = store.add_score(a_score(score_id=UNASSIGNED)).id
    assert store.list_score_ids(ScoreQuery("acme", "demo")) == [score_id]


def test_a_write_that_breaks_off_again_is_unavailable(
    mongodb_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    breaking(store, monkeypatch, 0, times=2)
    with pytest.raises(StoreUnavailable):
        store.add_score(a_score())


def test_a_key_that_is_stored_is_replayed_also_after_the_connection_broke(
    mongodb_uri: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(mongodb_uri)
    first = store.add_score(a_score(score_id=UNASSIGNED, idempotency_key="k"))
    breaking(store, monkeypatch, 0)
    again = store.add_score(a_score(score_id=UNASSIGNED, idempotency_key="k"))
    assert again == Outcome(Kept.REPLAYED, first.id)


def test_a_write_concern_that_was_not_met_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = {"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "timed out"}]}
    database: Any = mongomock.MongoClient(tz_aware=True)["x"]
    store = MongoStore(lambda: database)

    def insert_many(*_: Any, **__: Any) -> None:
        raise pymongo.errors.BulkWriteError(failure)

    store.prepare()
    monkeypatch.setattr(store._scores, "insert_many", insert_many)
    with pytest.raises(StoreUnavailable):
        store.add_score(a_score())
    with pytest.raises(StoreUnavailable):
        store.add_missing([a_score()], partial=False)


def test_a_score_that_is_too_large_fails_alone(mongodb_uri: str, opened: Opened) -> None:
    store = opened(mongodb_uri)
    with ThreadPoolExecutor(4) as pool:
        large = pool.submit(store.add_score, a_score(scorer="x" * 17_000_000))
        small = [pool.submit(store.add_score, a_score()) for _ in range(20)]
    assert large.result().kept is Kept.TOO_LARGE
    assert [future.result().kept for future in small] == [Kept.CREATED] * 20


def test_a_key_from_before_keys_could_expire_works_on(mongodb_uri: str, opened: Opened) -> None:
    store = opened(mongodb_uri)
    store.prepare()
    key = ApiKey("id", "n", "read", "*", "o", hashlib.sha256(b"sl_old").hexdigest(), NOW)
    old = key_document(key)
    del old["expires_at"]
    assert "last_used_at" not in old
    store._keys.insert_one(old)
    assert KeyRing(store).find("sl_old") == key
    store.note_key_uses({"id": NOW})
    assert store.list_keys() == [replace(key, last_used_at=NOW)]
