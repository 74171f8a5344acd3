"""A store of an earlier version is migrated, and read and written as before."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pymongo
import pytest

from app.errors import StoreDamaged, StoreRefused
from app.examples import row_digest
from app.stores import open_store
from app.stores.base import DocumentQuery
from app.stores.model import Prediction
from app.stores.sqlite.migrations import MIGRATIONS, WITH_DOCUMENTS
from tests.cli.test_keys import run
from tests.processes import running
from tests.stores.test_contract import a_key, a_score, all_scores
from tests.upgrades.make import PREDICTIONS, RUNS

HERE = Path(__file__).parent
VERSIONS = range(1, len(MIGRATIONS) + 1)
SCORES = "/v2/acme/demo/scores"
NEWER_FIELDS = {"retry_hash", "checksum", "expires_at", "last_used_at"}
"""Fields that documents of earlier versions lack."""


@pytest.mark.parametrize("version", VERSIONS)
def test_there_is_a_file_of_every_schema_version(version: int) -> None:
    file = HERE / f"schema-{version}.db"
    assert file.stat().st_size < 400_000
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)) as opened:
        assert opened.execute("PRAGMA user_version").fetchone() == (version,)
        assert opened.execute("SELECT count(*) FROM scores").fetchone() == (18,)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_of_every_schema_version_is_served_unchanged_and_accepts_scores(
    tmp_path: Path, version: int
) -> None:
    database = tmp_path / "scoreline.db"
    shutil.copyfile(HERE / f"schema-{version}.db", database)
    listed = (HERE / f"schema-{version}.jsonl").read_bytes()
    key = (HERE / f"schema-{version}.key").read_text().strip()
    with running(tmp_path, WEB_CONCURRENCY="1", SCORELINE_ADMIN_KEY="") as service:
        assert service.send("GET", SCORES, key=key).body == listed
        if version >= WITH_DOCUMENTS:
            documents = (HERE / f"schema-{version}.documents.jsonl").read_bytes()
            found = [service.send("GET", path, key=key).body for path in (RUNS, PREDICTIONS)]
            assert b"".join(found) == documents
        replayed = service.send("POST", SCORES, *retried(listed), key=key)
        assert replayed.status == 200
        assert replayed.headers["Idempotent-Replayed"] == "true"
        made = service.post(SCORES, {"prediction_id": "p", "scorer": "s", "value": 1}, key=key)
        assert made.status == 200
        assert service.send("GET", SCORES, key=key).body.startswith(listed)
    with closing(sqlite3.connect(database)) as opened:
        assert opened.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert not (tmp_path / "var").exists()  # No other administrator was made.
    examined = run(tmp_path, "doctor", SCORELINE_STORE=f"sqlite:///{database}")
    assert examined.returncode == 0, examined.stdout


@pytest.mark.parametrize("version", VERSIONS[WITH_DOCUMENTS - 1 :])
def test_predictions_of_earlier_versions_have_examples(tmp_path: Path, version: int) -> None:
    path = tmp_path / "s.db"
    shutil.copyfile(HERE / f"schema-{version}.db", path)
    store = open_store(f"sqlite:///{path}")
    store.prepare()
    found = store.read_documents(Prediction, DocumentQuery("acme", "demo"))
    keys = [row_digest({"a.b": 1.0}), "x"]
    assert [prediction.example_key for prediction in found] == keys
    store.close()


def test_a_long_migration_of_predictions_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.stores.sqlite.rewrites.REPORT", 1)
    path = tmp_path / "s.db"
    shutil.copyfile(HERE / f"schema-{WITH_DOCUMENTS}.db", path)
    store = open_store(f"sqlite:///{path}")
    store.prepare()
    store.close()
    assert "2 of 2 predictions" in caplog.text


def test_a_damaged_prediction_stays_damaged(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    shutil.copyfile(HERE / f"schema-{WITH_DOCUMENTS}.db", path)
    with closing(sqlite3.connect(path)) as opened, opened:
        opened.execute("UPDATE predictions SET model = 'another'")
    store = open_store(f"sqlite:///{path}")
    store.prepare()
    with pytest.raises(StoreDamaged):
        list(store.read_documents(Prediction, DocumentQuery("acme", "demo")))
    store.close()


def retried(listed: bytes) -> tuple[bytes, dict[str, str]]:
    """Repeat the sixth call of make.py, which had an idempotency key."""
    score = json.loads(listed.splitlines()[5])
    body = {name: score[name] for name in ("prediction_id", "scorer", "evaluation_run_id", "value")}
    headers = {"Content-Type": "application/json", "Idempotency-Key": "a-key-5"}
    return json.dumps(body).encode(), headers


@pytest.mark.parametrize("version", VERSIONS)
def test_a_migrated_file_has_the_tables_of_a_new_one(tmp_path: Path, version: int) -> None:
    path = tmp_path / "s.db"
    shutil.copyfile(HERE / f"schema-{version}.db", path)
    store = open_store(f"sqlite:///{path}")
    store.prepare()
    found = {finding.check: finding for finding in store.check()}
    store.close()
    assert found["indexes"].verdict == "ok", found["indexes"]


def test_an_older_version_refuses_a_newer_store_and_does_not_change_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.db"
    shutil.copyfile(HERE / f"schema-{len(MIGRATIONS)}.db", path)
    before = path.read_bytes()
    monkeypatch.setattr("app.stores.sqlite.schema.MIGRATIONS", MIGRATIONS[:-1])
    store = open_store(f"sqlite:///{path}")
    with pytest.raises(StoreRefused, match="newer Scoreline"):
        store.prepare()
    store.close()
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("PRAGMA journal_mode = DELETE")
    assert path.read_bytes()[100:] == before[100:]  # Before that, SQLite counts its openings.


def test_documents_of_earlier_versions_are_read_from_mongodb(mongodb_uri: str) -> None:
    score, key = a_score(), a_key()
    store = open_store(mongodb_uri)
    store.prepare()
    store.add_score(score)
    store.add_key(key)
    unset = {"$unset": dict.fromkeys(NEWER_FIELDS, "")}
    with pymongo.MongoClient[dict[str, Any]](mongodb_uri) as client:
        database = client.get_default_database()
        database["scores"].update_one({}, unset)
        database["api_keys"].update_one({}, unset)
    assert all_scores(store) == [score]
    assert store.find_score(score.entity, score.project, score.score_id) == score
    assert store.list_keys() == [key]
    store.add_score(a_score())
    store.close()
