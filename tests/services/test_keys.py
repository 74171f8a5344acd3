"""API keys: what they look like, how they are kept, how they are recognised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.errors import NotFound
from app.services import keys
from app.services.keys import InvalidKeySetting, KeyRing, create_key, ensure_admin_key, revoke_key
from app.stores.base import ApiKey, Store


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
    [(" ", "read", "*"), ("n", "root", "*"), ("n", "read", "acme"), ("n", "read", "*/x")],
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


def test_no_new_key_is_made_when_all_are_revoked(store: Store, tmp_path: Path) -> None:
    key, _ = create_key(store, name="n", role="admin", scope="*")
    revoke_key(store, key.key_id)
    assert not ensure_admin_key(store, tmp_path / "admin.key")
    assert not (tmp_path / "admin.key").exists()
