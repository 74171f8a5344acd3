"""The embedded store returns nothing from a row that differs from what was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.errors import StoreDamaged, StoreRefused
from app.ids import utc_text
from app.stores.model import ApiKey, Score
from app.stores.sqlite.connections import read_errors
from app.stores.sqlite.migrations import MIGRATIONS
from app.stores.sqlite.store import SqliteStore
from tests.stores.test_contract import NOW, a_key, a_score

PAGE_BYTES = 4096
SCORE = a_score(
    evaluation_run_id="run", wb_user_id=None, idempotency_key="key", retry_hash="hash", reason="r"
)
KEY = a_key(expires_at=NOW + timedelta(days=90))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the file of a closed store with one score and one API key."""
    path = tmp_path / "s.db"
    store = SqliteStore(path)
    store.prepare()
    store.add_score(SCORE)
    store.add_key(KEY)
    store.close()
    return path


def execute(path: Path, statement: str) -> list[tuple[int, ...]]:
    """Run one statement directly on the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


READS: dict[str, Callable[[SqliteStore], object]] = {
    "find_score": lambda store: store.find_score("acme", "demo", SCORE.score_id),
    "read_scores": lambda store: list(store.read_scores("acme", "demo", [SCORE.score_id])),
    "add_missing": lambda store: store.add_missing(
        [replace(SCORE, score_id="", body_hash="b")], partial=True
    ),
    "find_replayed": lambda store: store.find_replayed([replace(SCORE, score_id="")]),
    "find_retried": lambda store: store.find_retried(SCORE, "0"),
}
DAMAGED = f"^'{SCORE.score_id}' is not what was written$"
CHANGES = {
    "entity": "entity = 'acm'",
    "project": "project = 'other'",
    "evaluation_run_id": "evaluation_run_id = NULL",
    "prediction_id": "prediction_id = 'q'",
    "scorer": "scorer = 'S'",
    "scorer_name": "scorer_name = 'S'",
    "value_json": "value_json = '2'",
    "leaves": "leaves = '[]'",
    "wb_user_id": "wb_user_id = ''",
    "created_at": "created_at = '2026-01-02T03:04:05.679Z'",
    "idempotency_key": "idempotency_key = 'kez'",
    "body_hash": "body_hash = replace(body_hash, '0', '1')",
    "retry_hash": "retry_hash = NULL",
    "reason": "reason = NULL",
    "error": "error = ''",
    "metadata_json": "metadata_json = '{}'",
    "annotator": "annotator = 'oleg'",
    "the checksum": "checksum = checksum + 1",
    "where a text ends": "prediction_id = 'ps', scorer = ''",
    "bytes for a text": "value_json = x'31'",
}


def test_every_field_of_a_score_is_among_the_changes_below() -> None:
    assert {field.name for field in fields(Score)} - {"score_id"} <= set(CHANGES)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_score_is_refused_with_only_its_id(path: Path, change: str) -> None:
    execute(path, f"UPDATE scores SET {CHANGES[change]}")
    ((entity, project),) = execute(path, "SELECT entity, project FROM scores")
    with pytest.raises(StoreDamaged, match=DAMAGED):
        SqliteStore(path).find_score(str(entity), str(project), SCORE.score_id)


@pytest.mark.parametrize("read", READS)
def test_no_read_returns_a_changed_score(path: Path, read: str) -> None:
    assert READS[read](SqliteStore(path))
    execute(path, "UPDATE scores SET value_json = '2'")
    with pytest.raises(StoreDamaged, match=DAMAGED):
        READS[read](SqliteStore(path))


@pytest.mark.parametrize("read", READS)
def test_text_that_is_no_longer_utf_8_is_damage_and_not_disclosed(path: Path, read: str) -> None:
    execute(path, "UPDATE scores SET value_json = CAST(x'736563726574ff' AS TEXT)")
    with pytest.raises(StoreDamaged, match=r"^a text is not UTF-8$"):
        READS[read](SqliteStore(path))


def test_a_score_with_a_changed_id_is_damage(path: Path) -> None:
    execute(path, "UPDATE scores SET _id = '0'")
    with pytest.raises(StoreDamaged, match="'0' is not what was written"):
        SqliteStore(path).find_score("acme", "demo", "0")


@pytest.mark.parametrize(
    "change",
    [
        "role = 'admin'",
        "scope = 'acme/*'",
        "owner = 'olgb'",
        "revoked_at = 'never'",
        "expires_at = NULL",
        "expires_at = '2999-01-01T00:00:00.000Z'",
        "expires_at = ''",
        "last_used_at = 'never'",
        "checksum = 0",
    ],
)
def test_a_changed_api_key_is_refused(path: Path, change: str) -> None:
    execute(path, f"UPDATE api_keys SET {change}")
    store = SqliteStore(path)
    with pytest.raises(StoreDamaged, match=KEY.key_id):
        store.find_key(KEY.key_hash)
    with pytest.raises(StoreDamaged, match=KEY.key_id):
        store.list_keys()


def test_a_key_that_got_an_expiry_is_damaged(path: Path) -> None:
    store = SqliteStore(path)
    store.add_key(a_key(key_id="endless", key_hash="h"))
    assert store.find_key("h")
    execute(path, f"UPDATE api_keys SET expires_at = '{utc_text(NOW)}' WHERE _id = 'endless'")
    with pytest.raises(StoreDamaged, match="endless"):
        store.find_key("h")


def test_a_revocation_and_a_use_are_not_damage(path: Path) -> None:
    store = SqliteStore(path)
    store.note_key_uses({KEY.key_id: NOW})
    revoked_at = NOW + timedelta(days=1)
    assert store.revoke_key(KEY.key_id, revoked_at)
    found = store.find_key(KEY.key_hash)
    assert isinstance(found, ApiKey)
    assert (found.revoked_at, found.last_used_at) == (revoked_at, NOW)


def test_data_too_large_to_be_read_is_damage() -> None:
    with pytest.raises(StoreDamaged, match="too big"), read_errors():
        raise sqlite3.DataError("string or blob too big")


def test_rows_without_checksums_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    store = SqliteStore(path)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("store", "schema"):
            patch.setattr(f"app.stores.sqlite.{module}.MIGRATIONS", MIGRATIONS[:2])
        patch.setattr("app.stores.sqlite.store.FIRST_PAGES", ())
        store.prepare()
        store.close()
    scores = (
        "_id, entity, project, prediction_id, scorer, value_json, leaves, created_at, body_hash"
    )
    values = "'i', 'acme', 'demo', 'p', 's', '1', '[]', '2026-01-02T03:04:05.678Z', 'h'"
    execute(path, f"INSERT INTO scores ({scores}) VALUES ({values})")
    execute(path, f"INSERT INTO api_keys VALUES ('k', 'n', 'read', '*', 'o', 'h', '{NOW}', NULL)")
    store.prepare()
    assert store.find_score("acme", "demo", "i") == a_score(
        score_id="i", wb_user_id=None, body_hash="h"
    )
    assert store.find_key("h") == ApiKey("k", "n", "read", "*", "o", "h", NOW)
    for change in ("leaves = '['", "created_at = 'never'", "leaves = x'00'"):
        execute(path, f"UPDATE scores SET {change}")
        with pytest.raises(StoreDamaged, match=r"^'i' is not what was written$"):
            store.find_score("acme", "demo", "i")


@pytest.mark.parametrize("damage", [b"\0", b"\xa5"])
@pytest.mark.parametrize(
    "name", ["sqlite_master", "scores", "predictions", "evaluation_runs", "api_keys"]
)
def test_a_start_refuses_a_file_whose_first_pages_are_damaged(
    path: Path, name: str, damage: bytes
) -> None:
    root = 1
    if name != "sqlite_master":
        ((root,),) = execute(path, f"SELECT rootpage FROM sqlite_master WHERE name = '{name}'")
    with path.open("r+b") as file:
        file.seek((root - 1) * PAGE_BYTES)
        file.write(damage * PAGE_BYTES)
    with pytest.raises(StoreRefused, match=rf"^{path} is damaged, or not a database: "):
        SqliteStore(path).prepare()
