"""Promises of the embedded store alone: its file, its durability and its errors."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from uuid_utils import uuid7

from app.errors import (
    Conflict,
    StoreDamaged,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
    TooLarge,
)
from app.ids import utc_text
from app.services.key_ring import KeyRing
from app.stores.base import FIELDS, ScoreQuery
from app.stores.model import UNASSIGNED, ApiKey, Document
from app.stores.sqlite import connections
from app.stores.sqlite.connections import our_errors
from app.stores.sqlite.files import WriteLock
from app.stores.sqlite.leaves import leaves_statement
from app.stores.sqlite.migrations import MIGRATIONS
from app.stores.sqlite.rows import (
    SELECT_NEXT_PROJECT,
    SELECT_RETRIED,
    SELECT_SCORE,
    SELECT_SLOT,
    checksum,
    ids_statement,
    new_row,
)
from app.stores.sqlite.schema import APPLICATION_ID
from app.stores.sqlite.store import SqliteStore
from tests.stores.test_contract import NOW, a_score
from tests.stores.test_documents import a_prediction, a_run


def prepared(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    store.prepare()
    return store


def count(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        return int(connection.execute("SELECT count(*) FROM scores").fetchone()[0])


def test_every_connection_is_durable(tmp_path: Path) -> None:
    store = prepared(tmp_path / "s.db")
    store.add_score(a_score())
    for connection in (store._db().reader(), store._db()._writer):
        assert connection is not None
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_the_file_is_marked_and_versioned(tmp_path: Path) -> None:
    prepared(tmp_path / "s.db").close()
    with sqlite3.connect(tmp_path / "s.db") as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_a_newer_file_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    prepared(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreRefused, match="newer Scoreline: its schema is 99"):
        SqliteStore(path).prepare()


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreRefused, match="not one of Scoreline's"):
        SqliteStore(path).prepare()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


def test_an_empty_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1")
    with pytest.raises(StoreRefused, match="not one of Scoreline's"):
        SqliteStore(path).prepare()


def test_a_file_that_is_not_a_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"these are my notes\n" * 100)
    with pytest.raises(StoreRefused, match=r"notes\.txt"):
        SqliteStore(path).prepare()
    assert path.read_bytes() == b"these are my notes\n" * 100


@pytest.mark.parametrize("path", ["/proc/nowhere/s.db", "/dev/null/s.db", "/"])
def test_a_path_that_cannot_be_a_file_is_refused(path: str) -> None:
    with pytest.raises(StoreRefused):
        SqliteStore(path).prepare()


def test_every_index_begins_with_entity_and_project(tmp_path: Path) -> None:
    connection = prepared(tmp_path / "s.db")._db().reader()
    names = [row[1] for row in connection.execute("PRAGMA index_list(scores)")]
    columns = {
        name: [row[2] for row in connection.execute(f"PRAGMA index_info({name})")]
        for name in names
        if not name.startswith("sqlite_")
    }
    assert len(columns) == 7
    assert all(names[:2] == ["entity", "project"] for names in columns.values())


def _add_scores(store: SqliteStore, number: int) -> None:
    for _ in range(number):
        store.add_score(a_score())


def test_processes_share_one_file_and_a_store_works_after_a_fork(tmp_path: Path) -> None:
    store = prepared(tmp_path / "s.db")
    store.add_score(a_score())
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_add_scores, args=(store, 50)) for _ in range(4)]
    for child in children:
        child.start()
    _add_scores(store, 50)
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    assert count(tmp_path / "s.db") == 1 + 5 * 50


def test_each_thread_reads_on_its_own_connection(tmp_path: Path) -> None:
    store = prepared(tmp_path / "s.db")
    key = ApiKey("id", "n", "read", "*", "o", "hash", NOW)
    store.add_key(key)
    mine = store._db().reader()
    with ThreadPoolExecutor(1) as pool:
        theirs, found = pool.submit(lambda: (store._db().reader(), store.find_key("hash"))).result()
    assert theirs is not mine
    assert found == key


def test_an_error_rolls_back_the_transaction(tmp_path: Path) -> None:
    store = prepared(tmp_path / "s.db")

    def fail() -> None:
        with store._db().transaction() as connection:
            connection.execute("PRAGMA user_version = 77")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    store.add_score(a_score())
    assert store._db().reader().execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def coded(error: sqlite3.Error, code: int) -> sqlite3.Error:
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("raised", "ours"),
    [
        (sqlite3.IntegrityError("UNIQUE"), Conflict),
        (sqlite3.DataError("string or blob too big"), TooLarge),
        (coded(sqlite3.OperationalError("is full"), sqlite3.SQLITE_FULL), StoreFull),
        (coded(sqlite3.OperationalError("locked"), sqlite3.SQLITE_BUSY), StoreUnavailable),
        (coded(sqlite3.DatabaseError("malformed"), sqlite3.SQLITE_CORRUPT), StoreDamaged),
        (coded(sqlite3.DatabaseError("an index"), sqlite3.SQLITE_CORRUPT_INDEX), StoreDamaged),
        (coded(sqlite3.DatabaseError("no database"), sqlite3.SQLITE_NOTADB), StoreDamaged),
        (sqlite3.DatabaseError("?"), StoreUnavailable),
        (sqlite3.NotSupportedError("?"), StoreUnavailable),
        (sqlite3.InterfaceError("?"), StoreUnavailable),
        (sqlite3.InternalError("?"), StoreUnavailable),
        (sqlite3.ProgrammingError("closed"), StoreUnavailable),
        (sqlite3.Error("?"), StoreUnavailable),
        (OSError(errno.ENOSPC, "No space left on device"), StoreFull),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), StoreFull),
        (OSError(errno.EIO, "Input/output error"), StoreUnavailable),
    ],
)
def test_every_error_of_the_driver_is_mapped(raised: Exception, ours: type[Exception]) -> None:
    with pytest.raises(ours) as found, our_errors():
        raise raised
    assert type(found.value) is ours


def test_every_kind_of_driver_error_is_in_the_list_above() -> None:
    kinds = {kind for kind in vars(sqlite3).values() if isinstance(kind, type)}
    listed = {
        argument[0].__class__
        for argument in test_every_error_of_the_driver_is_mapped.pytestmark[0].args[1]  # type: ignore[attr-defined]
    }
    assert {kind for kind in kinds if issubclass(kind, sqlite3.Error)} <= listed


def test_a_missing_directory_is_created(tmp_path: Path) -> None:
    prepared(tmp_path / "a" / "b" / "s.db")
    assert (tmp_path / "a" / "b" / "s.db").exists()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_deleted_file_is_no_longer_used(tmp_path: Path, suffix: str) -> None:
    store = prepared(tmp_path / "s.db")
    store.add_score(a_score())
    Path(f"{tmp_path}/s.db{suffix}").unlink()
    with pytest.raises(StoreUnavailable):
        store.add_score(a_score())
    with pytest.raises(StoreUnavailable):
        store.ping()
    with ThreadPoolExecutor(1) as pool:  # A thread without a connection.
        assert isinstance(pool.submit(store.ping).exception(), StoreUnavailable)
    assert not Path(f"{tmp_path}/s.db{suffix}").exists()


def test_a_database_that_replaced_the_file_is_not_used(tmp_path: Path) -> None:
    store = prepared(tmp_path / "s.db")
    store.add_score(a_score())
    prepared(tmp_path / "other.db").close()
    (tmp_path / "other.db").replace(tmp_path / "s.db")
    with pytest.raises(StoreUnavailable, match=r"s\.db was replaced"):
        store.add_score(a_score())
    with pytest.raises(StoreUnavailable, match=r"s\.db was replaced"):
        store.ping()


def test_a_write_to_a_deleted_file_is_not_acknowledged(tmp_path: Path) -> None:
    store = prepared(tmp_path / "s.db")
    with pytest.raises(StoreUnavailable), store._db().transaction():
        (tmp_path / "s.db").unlink()


def test_a_wal_without_its_database_is_refused_and_not_changed(
    tmp_path: Path,
) -> None:
    store = prepared(tmp_path / "s.db")
    store.add_score(a_score())
    (tmp_path / "s.db").unlink()
    wal = (tmp_path / "s.db-wal").read_bytes()
    with pytest.raises(StoreRefused, match=r"s\.db is missing, but .*s\.db-wal exists: restore it"):
        SqliteStore(tmp_path / "s.db").prepare()
    assert (tmp_path / "s.db-wal").read_bytes() == wal


QUERIES: dict[str, dict[str, Any]] = {
    "scores_by_id": {},
    "scores_by_run": {"evaluation_run_id": "r"},
    "scores_by_prediction": {"prediction_id": "p"},
    "scores_by_scorer": {"scorer": "s"},
}


@pytest.mark.parametrize(
    "bounds", [{}, {"after": "0"}, {"after": "0", "before": "f", "as_of": "9"}]
)
@pytest.mark.parametrize("index", QUERIES)
def test_every_list_uses_a_covering_index_in_its_order(
    tmp_path: Path, index: str, bounds: dict[str, Any]
) -> None:
    store = prepared(tmp_path / "s.db")
    store.add_missing([a_score() for _ in range(100)], partial=False)
    asked = ScoreQuery("acme", "demo", **QUERIES[index], **bounds)
    statement, values = ids_statement(asked)
    plan = explain(store, statement, values)
    assert [step for step in plan if "COVERING INDEX" in step and index in step]
    assert not [step for step in plan if "SCAN" in step or "TEMP B-TREE" in step]


def test_every_read_and_every_combination_of_filters_uses_an_index(tmp_path: Path) -> None:
    store = prepared(tmp_path / "s.db")
    store.add_missing([a_score() for _ in range(100)], partial=False)
    both = ScoreQuery("acme", "demo", evaluation_run_id="r", prediction_id="p", scorer="s")
    ids = ["a", "b", "c"]
    for statement, values in (
        ids_statement(both),
        (SELECT_SCORE.format(visible=""), ids),
        (SELECT_RETRIED.format(visible=""), [*ids, "d", "e"]),
        (SELECT_NEXT_PROJECT, ["a", "b"]),
        (SELECT_SLOT.format(visible=""), [*ids, "d", "e", "f", "g", "h"]),
        ids_statement(replace(both, only_current=True)),
        ids_statement(replace(both, only_current=True), hides=True),
        leaves_statement(replace(both, only_current=True), FIELDS, 10),
        leaves_statement(replace(both, only_current=True, as_of="9"), FIELDS, 10),
        leaves_statement(ScoreQuery("acme", "demo", as_of="9"), FIELDS, 10, after_sequence=1),
    ):
        plan = explain(store, statement, values)
        assert [step for step in plan if "INDEX" in step]
        assert not [step for step in plan if "SCAN" in step or "TEMP B-TREE" in step]


def explain(store: SqliteStore, statement: str, values: Sequence[str | int]) -> list[str]:
    rows = store._db().reader().execute(f"EXPLAIN QUERY PLAN {statement}", values)
    return [row[3] for row in rows]


def test_a_batch_is_one_transaction(tmp_path: Path) -> None:
    store = prepared(tmp_path / "s.db")
    taken = a_score()
    store.add_score(taken)
    other = replace(taken, value_json="2")
    store.add_missing([a_score(), other, a_score()], partial=False)
    assert count(tmp_path / "s.db") == 1


def test_all_waits_of_a_write_have_one_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = prepared(tmp_path / "s.db")._db()
    times = iter([100.0, 102.0, 104.5])  # At the start, with the thread lock, with the lock file.
    waits: list[float] = []
    with monkeypatch.context() as patched:
        patched.setattr(connections, "time", SimpleNamespace(monotonic=lambda: next(times)))
        patched.setattr(WriteLock, "acquire", lambda _self, seconds: waits.append(seconds))
        with db.writing(5.0) as connection:
            waits.append(connection.execute("PRAGMA busy_timeout").fetchone()[0])
    assert waits == [3.0, 500]
    with closing(sqlite3.connect(tmp_path / "s.db")) as other:
        other.execute("BEGIN IMMEDIATE")  # As a program that does not use the lock file.
        with pytest.raises(StoreUnavailable, match="locked"), db.transaction(0.1):
            pass
    with db.writing() as connection:
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (5000,)


def test_the_wait_in_the_queue_counts_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = prepared(tmp_path / "s.db")
    seconds: list[float] = []
    monkeypatch.setattr(WriteLock, "acquire", lambda _self, left: seconds.append(left))
    store._add_together([(0.0, new_row(a_score())), (time.monotonic() + 5, new_row(a_score()))])
    store._add_groups([(0.0, [a_run()])])
    assert seconds == [0.0, 0.0]


AHEAD = "02000000-0000-7000-8000-000000000000"
"""An id of the year 2039, as a copy may bring it."""


def test_new_ids_of_a_project_alone_follow_a_score_that_is_ahead(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = prepared(tmp_path / "s.db")
    store.add_missing([a_score(score_id=AHEAD, project="ahead")], partial=True)
    # As one commit of several requests.
    new = [a_score(score_id=UNASSIGNED, project=project) for project in ("ahead", "demo") * 2]
    first, ours, second, ours_too = (outcome.id for outcome in store.add_missing(new, partial=True))
    assert AHEAD < first < second
    assert ours < ours_too < str(uuid7())
    assert "clock is behind the newest score, of 2039-" in caplog.text
    assert store.delete_scores("acme", "ahead", [AHEAD, first, second]) == 3
    store.close()
    ahead, ours = (outcome.id for outcome in store.add_missing(new[:2], partial=True))
    assert ahead > second
    assert ours < str(uuid7())


@pytest.mark.parametrize("delete", ["documents", "as the API does"])
@pytest.mark.parametrize("make", [a_prediction, a_run])
def test_new_ids_of_a_project_alone_follow_a_document_that_is_ahead(
    tmp_path: Path, make: Callable[..., Document], delete: str
) -> None:
    store = prepared(tmp_path / "s.db")
    store.add_documents([make(id="p", sort_id=AHEAD, project="ahead")])
    (ahead,) = store.add_documents([make(project="ahead")])
    assert ahead.id > AHEAD
    if delete == "documents":
        store.delete_documents(type(make()), "acme", "ahead", [ahead.id])
    elif make is a_run:
        store.begin_deletions("acme", "ahead", [ahead.id], "olga")
    else:
        store.delete_predictions("acme", "ahead", [(ahead.id, None)], 10)
    (later,) = store.add_documents([make(project="ahead")])
    assert later.id > ahead.id
    (ours,) = store.add_documents([make()])
    assert ours.id < str(uuid7())


def test_a_ping_fails_while_another_program_holds_sqlites_own_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.sqlite.store.PING_SECONDS", 0.01)
    store = prepared(tmp_path / "s.db")
    with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.ping()
        other.execute("ROLLBACK")
        store.ping()


def test_scores_are_read_one_by_one(tmp_path: Path) -> None:
    store = prepared(tmp_path / "s.db")
    scores = [a_score() for _ in range(10)]
    store.add_missing(scores, partial=False)
    reading = store.read_scores("acme", "demo", [score.score_id for score in scores])
    assert next(reading) == scores[0]
    store.delete_scores("acme", "demo", [scores[1].score_id])  # A reader blocks no writer.
    assert next(reading) == scores[1]
    reading.close()  # type: ignore[attr-defined]


def test_a_key_from_before_keys_could_expire_still_works(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    added = next(
        version for version, statements in enumerate(MIGRATIONS) if "expires_at" in str(statements)
    )
    with closing(sqlite3.connect(path)) as connection, connection:
        for statements in MIGRATIONS[:added]:
            for statement in statements:
                assert isinstance(statement, str)
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {added}")
        key_hash = hashlib.sha256(b"sl_old").hexdigest()
        old = ("id", "n", "read", "*", "o", key_hash, utc_text(NOW))
        statement = (
            "INSERT INTO api_keys (_id, name, role, scope, owner, key_hash, created_at, checksum) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        connection.execute(statement, (*old, checksum(old)))
    store = prepared(path)
    key = ApiKey("id", "n", "read", "*", "o", key_hash, NOW)
    assert KeyRing(store).find("sl_old") == key
    store.note_key_uses({"id": NOW})
    assert store.list_keys() == [replace(key, last_used_at=NOW)]


def test_a_directory_in_place_of_the_file_is_refused_and_keeps_its_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(StoreRefused):
        SqliteStore(tmp_path).prepare()
    assert tmp_path.stat().st_mode & 0o777 == 0o755
