"""`scoreline doctor` finds each problem and says how to fix it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections import namedtuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pymongo
import pytest

from app.services.doctor import check
from app.services.keys import ADMINISTRATOR, new_key
from app.stores import open_store
from app.stores.checks import FAIL, OK, WARN, CheckResult, check_space
from app.stores.mongo.schema import SCHEMA
from app.stores.sqlite.checks import file_system
from app.stores.sqlite.store import SqliteStore
from tests.cli.test_keys import run
from tests.processes import ADMIN_KEY, ROOT, command, environment, running
from tests.stores.test_contract import a_score

CHECKS = [
    "settings",
    "store",
    "schema",
    "integrity",
    "indexes",
    "deletions",
    "writing",
    "privacy",
    "clock",
    "disk",
    "file system",
    "admin key",
]
IS_PASSING = {"file system", "disk"}
"""Checks that depend on where the tests run."""


def findings(directory: Path, **settings: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Return the exit code of `scoreline doctor --json`, and its results by check."""
    ended = run(directory, "doctor", "--json", **settings)
    assert ended.stderr == ""
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    for each in found:
        assert each["says"]
        assert each["advice"] or each["verdict"] == OK, each
    return ended.returncode, {each["check"]: each for each in found}


def verdicts(directory: Path, **settings: str) -> tuple[int, dict[str, str]]:
    code, found = findings(directory, **settings)
    return code, {check: each["verdict"] for check, each in found.items()}


@pytest.mark.parametrize(
    "settings",
    [
        {"OTEL_TRACES_EXPORTER": "nonsense"},
        {
            "SCORELINE_RATE_LIMIT": "1/second",
            "SCORELINE_RATE_LIMIT_STORE": "redis://u:hush@127.0.0.1",
        },
    ],
    ids=["traces", "limits"],
)
def test_settings_that_prevent_a_start_fail(tmp_path: Path, settings: dict[str, str]) -> None:
    (tmp_path / "redis.py").write_text("raise ImportError")
    ended = subprocess.run(  # A new Python, which has not imported redis.
        command("doctor", "--json"),
        check=False,
        cwd=tmp_path,
        env=environment(PYTHONPATH=f"{tmp_path}:{ROOT}", **settings),
        capture_output=True,
        text=True,
    )
    found = {each["check"]: each for each in map(json.loads, ended.stdout.splitlines())}
    assert (ended.returncode, list(found)) == (2, ["settings"])
    assert "is not installed" in found["settings"]["says"] or "redis" in found["settings"]["says"]
    assert "hush" not in found["settings"]["says"]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The embedded store of the default settings, and the file with the administrator's key."""
    path = tmp_path / "var" / "scoreline.db"
    store = SqliteStore(path)
    store.prepare()
    store.add_score(a_score())
    store.close()
    made = run(tmp_path, "keys", "create", "--name", "admin", "--role", "admin", "--scope", "*")
    file = path.with_name("admin.key")
    file.write_text(made.stdout)
    file.chmod(0o600)
    return path


def test_a_healthy_store_passes_every_check(tmp_path: Path, database: Path) -> None:
    code, found = verdicts(tmp_path)
    assert list(found) == CHECKS
    assert {check for check, verdict in found.items() if verdict != OK} <= IS_PASSING
    assert code == 0
    output = run(tmp_path, "doctor").stdout
    assert "ok    schema: version " in output


def test_a_running_service_passes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/scoreline.db"
    with running(tmp_path) as service:
        service.post("/v2/a/b/scores", {"prediction_id": "p", "scorer": "s", "value": 1})
        code, found = verdicts(tmp_path, SCORELINE_STORE=url, SCORELINE_ADMIN_KEY=ADMIN_KEY)
    assert (code, found["admin key"]) == (0, OK)


def test_a_missing_store_is_not_created(tmp_path: Path) -> None:
    code, found = verdicts(tmp_path)
    assert (code, found["store"]) == (1, FAIL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("statement", "check", "verdict"),
    [
        ("PRAGMA application_id = 1", "store", FAIL),
        ("PRAGMA user_version = 99", "store", FAIL),
        ("PRAGMA user_version = 1", "schema", WARN),
        ("DROP INDEX scores_by_run", "indexes", FAIL),
        ("UPDATE scores SET _id = 'f' || substr(_id, 2)", "clock", FAIL),
    ],
)
def test_problems_in_the_database_file_are_found(
    tmp_path: Path, database: Path, statement: str, check: str, verdict: str
) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(statement)
    code, found = verdicts(tmp_path)
    assert (code, found[check]) == (int(verdict == FAIL), verdict)


def test_an_index_that_differs_from_its_declaration_is_named(
    tmp_path: Path, database: Path
) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("DROP INDEX scores_by_idempotency_key")
        connection.execute(
            "CREATE INDEX scores_by_idempotency_key ON scores (entity, project, idempotency_key)"
        )
    _, found = findings(tmp_path)
    assert "scores_by_idempotency_key" in found["indexes"]["says"]


def test_damage_is_found(tmp_path: Path, database: Path) -> None:
    store = SqliteStore(database)
    store.add_missing([a_score(scorer="s" * 400) for _ in range(200)], partial=False)
    store.close()
    with database.open("rb+") as file:
        file.seek(4096 * 60)
        file.write(b"\xff" * 4096 * 20)
    code, found = verdicts(tmp_path)
    assert code == 1
    assert FAIL in (found.get("integrity"), found["store"])


def test_the_key_file_is_private_and_contains_a_valid_key(tmp_path: Path, database: Path) -> None:
    file = database.with_name("admin.key")
    file.chmod(0o644)
    code, found = findings(tmp_path)
    assert (code, found["admin key"]["verdict"]) == (1, FAIL)
    assert "chmod 600" in found["admin key"]["advice"]
    file.chmod(0o600)
    file.write_text("sl_no-such-key\n")
    assert verdicts(tmp_path)[1]["admin key"] == WARN
    assert verdicts(tmp_path, SCORELINE_ADMIN_KEY="short")[1]["admin key"] == WARN
    file.write_bytes(b"\xff\xfe\0")
    code, found = findings(tmp_path)
    assert (code, found["admin key"]["verdict"]) == (0, WARN)
    assert "holds no API key: it is not text" in found["admin key"]["says"]


def test_a_key_that_weaves_clients_reject_is_a_warning(tmp_path: Path, database: Path) -> None:
    for key, verdict in (("a" * 40, OK), (f"{'a' * 40}-{'b' * 39}", WARN)):
        _, found = findings(tmp_path, SCORELINE_ADMIN_KEY=key)
        assert found["admin key"]["verdict"] == verdict
    store = SqliteStore(database)
    secret = f"sl_{'a' * 20}-{'b' * 22}"
    store.add_key(new_key(secret, *ADMINISTRATOR))
    store.close()
    database.with_name("admin.key").write_text(f"\ufeff{secret}\r\n", "utf-8")
    _, found = findings(tmp_path)
    assert found["admin key"]["verdict"] == WARN
    assert "after its last `-`" in found["admin key"]["says"]


def test_wrong_settings_exit_with_code_2(tmp_path: Path) -> None:
    for url in ("nonsense", "mongodb://user:hush@h/x?nonsense=1"):
        code, found = findings(tmp_path, SCORELINE_STORE=url)
        assert (code, found["settings"]["verdict"]) == (2, FAIL)
        assert "hush" not in str(found)
    assert run(tmp_path, "doctor", "nonsense").returncode == 2


def test_a_read_only_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(tmp_path / "s.db")
    store.prepare()
    monkeypatch.setattr("os.access", lambda *_: False)  # Permissions do not restrict root.
    assert by_check(store)["writing"].verdict == FAIL
    store.close()


def by_check(store: Any) -> dict[str, CheckResult]:
    return {each.check: each for each in check(store, ADMIN_KEY, Path("none"))}


Usage = namedtuple("Usage", "total used free")


def test_little_disk_space_warns_and_very_little_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "s.db")
    store.prepare()
    for free, verdict in ((10 << 20, FAIL), (500 << 20, WARN), (5 << 30, OK)):
        usage = Usage(100 << 30, 0, free)
        monkeypatch.setattr("shutil.disk_usage", lambda _, usage=usage: usage)
        assert by_check(store)["disk"].verdict == verdict
    store.close()
    assert "on the server" in check_space(1, 2, "on the server").says


@pytest.mark.parametrize(("kind", "verdict"), [("nfs4", FAIL), ("tmpfs", WARN), ("ext4", OK)])
def test_the_file_system_of_the_store_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, verdict: str
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        f"2 1 0:1 / {tmp_path}/a\\040store rw shared:1 - {kind} there rw\n"
        f"3 1 0:1 / {tmp_path}/a rw - btrfs other rw\n"
    )
    assert file_system(tmp_path / "a store" / "s.db", mounts) == kind
    assert file_system(tmp_path / "s.db", mounts) == "ext4"
    assert file_system(tmp_path / "s.db", tmp_path / "none") is None
    monkeypatch.setattr("app.stores.sqlite.checks.file_system", lambda *_: kind)
    store = SqliteStore(tmp_path / "s.db")
    assert by_check(store)["file system"].verdict == verdict


def test_a_mongodb_store_is_checked(tmp_path: Path, mongodb_uri: str) -> None:
    settings = {"SCORELINE_ADMIN_KEY": ADMIN_KEY}
    code, found = verdicts(tmp_path, SCORELINE_STORE=mongodb_uri, **settings)
    assert (code, found["indexes of scores"], found["store"]) == (1, FAIL, OK)
    store = open_store(mongodb_uri)
    store.prepare()
    store.close()
    code, found = verdicts(tmp_path, SCORELINE_STORE=mongodb_uri, **settings)
    assert code == 0
    assert {"deployment", "write concern", "read preference", "clock"} < set(found)
    address, _, options = mongodb_uri.partition("?")
    others = [each for each in options.split("&") if each and not each.startswith("w=")]
    weak = f"{address}?{'&'.join(['w=1', 'readPreference=secondaryPreferred', *others])}"
    code, found = verdicts(tmp_path, SCORELINE_STORE=weak, **settings)
    assert (code, found["write concern"], found["read preference"]) == (1, FAIL, FAIL)


@pytest.mark.parametrize(("version", "verdict"), [(1, WARN), (SCHEMA, OK)])
def test_documents_of_an_earlier_release_are_reported(
    tmp_path: Path, mongodb_uri: str, version: int, verdict: str
) -> None:
    store = open_store(mongodb_uri)
    store.prepare()
    with pymongo.MongoClient[dict[str, Any]](mongodb_uri) as client:
        client.get_default_database()["meta"].update_one({}, {"$set": {"version": version}})
    assert by_check(store)["schema"] == CheckResult(
        "schema", verdict, f"version {version} of {SCHEMA}", ANY
    )
    store.close()


def test_a_database_of_a_newer_release_fails(mongodb_uri: str) -> None:
    store = open_store(mongodb_uri)
    store.prepare()
    with pymongo.MongoClient[dict[str, Any]](mongodb_uri) as client:
        client.get_default_database()["meta"].update_one({}, {"$set": {"version": 99}})
    found = by_check(store)["schema"]
    assert found.verdict == FAIL
    assert "a newer Scoreline" in found.says
    store.close()


def test_a_standalone_mongodb_is_a_warning(
    mongodb_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "app.stores.mongo.checks.server_description", lambda _: {"localTime": datetime.now(UTC)}
    )
    store = open_store(mongodb_uri)
    store.prepare()
    found = by_check(store)["deployment"]
    assert found.verdict == WARN
    assert "stored in part" in found.says
    assert "changes cannot be followed" in found.says
    store.close()


def test_a_mongodb_index_that_differs_from_its_declaration_is_named(
    tmp_path: Path, mongodb_uri: str
) -> None:
    store = open_store(mongodb_uri)
    store.prepare()
    store.close()
    with pymongo.MongoClient[dict[str, Any]](mongodb_uri) as client:
        unique_keys = client.get_default_database()["unique_keys"]
        unique_keys.drop_index("unique_keys_by_key")
        keys = [(name, 1) for name in ("entity", "project", "kind", "key")]
        unique_keys.create_index(keys, name="unique_keys_by_key")  # Not unique.
    _, found = findings(tmp_path, SCORELINE_STORE=mongodb_uri)
    assert "unique_keys_by_key" in found["indexes of unique_keys"]["says"]


def test_a_mongodb_server_that_does_not_answer_fails(tmp_path: Path) -> None:
    code, found = findings(tmp_path, SCORELINE_STORE="mongodb://u:hush@127.0.0.1:1/x")
    assert (code, found["store"]["verdict"]) == (1, FAIL)
    assert "hush" not in str(found)
    assert "TopologyDescription" not in str(found)
    assert "ServerSelectionTimeoutError" not in str(found)
