"""API keys: what they look like, how they are kept, how they are recognised."""

from __future__ import annotations

import hashlib
import multiprocessing
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.errors import NotFound, StoreRefused
from app.services import keys
from app.services.keys import InvalidKeySetting, KeyRing, create_key, ensure_admin_key, revoke_key
from app.stores.base import ApiKey, Store
from app.stores.sqlite import SqliteStore


class CountingStore:
    """Counts how often a key is looked up in the store behind it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.lookups = 0

    def find_key(self, key_hash: str) -> ApiKey | None:
        self.lookups += 1
        return self._store.find_key(key_hash)


def test_a_key_is_sl_and_32_random_bytes_and_kept_as_a_hash(store: Store) -> None:
    key, secret = create_key(store, name="n", role="read", scope="a/b", owner="olga")
    assert re.fullmatch(r"sl_[A-Za-z0-9_-]{43}", secret)
    assert re.fullmatch(r"[0-9a-f]{64}", key.key_hash)
    assert secret not in repr(store.list_keys())
    assert create_key(store, name="n", role="read", scope="a/b")[1] != secret


def test_the_owner_is_the_name_unless_it_is_given(store: Store) -> None:
    assert create_key(store, name="n", role="read", scope="*")[0].owner == "n"


@pytest.mark.parametrize(
    ("name", "role", "scope"),
    [
        (" ", "read", "*"),
        ("\udcff", "read", "*"),
        ("n", "root", "*"),
        ("n", "read", "acme"),
        ("n", "read", "*/x"),
    ],
)
def test_a_key_that_means_nothing_is_not_made(
    store: Store, name: str, role: str, scope: str
) -> None:
    with pytest.raises(InvalidKeySetting):
        create_key(store, name=name, role=role, scope=scope)
    assert store.list_keys() == []


def test_a_known_key_is_not_looked_up_again_while_it_is_fresh(store: Store) -> None:
    key, secret = create_key(store, name="n", role="read", scope="*")
    counting = CountingStore(store)
    ring = KeyRing(counting)  # type: ignore[arg-type]
    assert [ring.find(secret) for _ in range(100)] == [key] * 100
    assert counting.lookups == 1


def test_every_wrong_key_costs_one_lookup(store: Store) -> None:
    key, revoked = create_key(store, name="n", role="read", scope="*")
    revoke_key(store, key.key_id)
    counting = CountingStore(store)
    ring = KeyRing(counting)  # type: ignore[arg-type]
    for number, wrong in enumerate(["", "sl_x", revoked, "\ud800", revoked, ""], start=1):
        assert ring.find(wrong) is None
        assert counting.lookups == number


def test_a_revoked_key_stops_when_it_is_no_longer_fresh(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = create_key(store, name="n", role="read", scope="*")
    ring = KeyRing(store)
    assert ring.find(secret) == key
    revoke_key(store, key.key_id)
    monkeypatch.setattr(keys, "FRESH_SECONDS", 0.0)
    assert ring.find(secret) is None
    assert keys.FRESH_SECONDS < 1


def test_an_unknown_key_cannot_be_revoked(store: Store) -> None:
    with pytest.raises(NotFound):
        revoke_key(store, "nobody")


def test_memory_for_known_keys_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MAX_KNOWN_KEYS", 3)
    ring = KeyRing(store)
    for _ in range(10):
        _, secret = create_key(store, name="n", role="read", scope="*")
        assert ring.find(secret)
        assert len(ring._known) <= 3


def test_the_first_administrators_key_is_made_once(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "var" / "admin.key"
    assert ensure_admin_key(store, file)
    secret = file.read_text().strip()
    assert not ensure_admin_key(store, file)
    assert file.read_text().strip() == secret
    found = KeyRing(store).find(secret)
    assert found is not None
    assert (found.role, found.scope) == ("admin", "*")


@pytest.mark.parametrize("content", [b"", b"\n", b"sl_short\n", b"\xff" * 50, b"sl_" + b"x y" * 20])
def test_a_file_that_holds_no_key_opens_nothing(
    store: Store, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "admin.key"
    file.write_bytes(content)
    with pytest.raises(StoreRefused, match="holds no API key"):
        ensure_admin_key(store, file)
    assert store.list_keys() == []


def test_an_empty_key_is_nobodys_even_if_a_store_holds_its_hash(store: Store) -> None:
    key, _ = create_key(store, name="n", role="admin", scope="*")
    store.add_key(replace(key, key_id="empty", key_hash=hashlib.sha256(b"").hexdigest()))
    assert KeyRing(store).find("") is None


def test_a_key_file_that_others_could_read_is_closed(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    file.write_text(f"sl_{'x' * 43}\n")
    file.chmod(0o644)
    ensure_admin_key(store, file)
    assert file.stat().st_mode & 0o777 == 0o600


def _ensure_together(path: Path, barrier: Any) -> None:
    store = SqliteStore(path / "scoreline.db")
    barrier.wait()
    ensure_admin_key(store, path / "admin.key")


def test_starts_at_the_same_time_make_one_administrator(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    for number in range(10):
        place = tmp_path / str(number)
        place.mkdir()
        store = SqliteStore(place / "scoreline.db")
        store.prepare()
        barrier = fork.Barrier(4)
        starts = [fork.Process(target=_ensure_together, args=(place, barrier)) for _ in range(4)]
        for start in starts:
            start.start()
        for start in starts:
            start.join(30)
            assert start.exitcode == 0
        (key,) = store.list_keys()
        assert KeyRing(store).find((place / "admin.key").read_text().strip()) == key
        assert {file.name for file in place.iterdir() if "admin" in file.name} == {"admin.key"}


def test_no_new_key_is_made_when_all_are_revoked(store: Store, tmp_path: Path) -> None:
    key, _ = create_key(store, name="n", role="admin", scope="*")
    revoke_key(store, key.key_id)
    assert not ensure_admin_key(store, tmp_path / "admin.key")
    assert not (tmp_path / "admin.key").exists()
