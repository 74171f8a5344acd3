"""API keys: how they are created, stored, recognised, revoked and audited."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, ClassVar

import pytest

from app.errors import (
    Forbidden,
    InvalidParameter,
    NotAuthenticated,
    NotFound,
    StoreRefused,
    StoreUnavailable,
    TooManyKeys,
)
from app.logs import JsonFormatter
from app.schemas import keys as schema
from app.services import key_ring, keys
from app.services.key_ring import KeyRing
from app.services.keys import COMMAND_LINE, create_key, list_keys, revoke_key
from app.services.permissions import ROLES
from app.startup import ensure_admin_key
from app.stores.base import Store
from app.stores.model import ApiKey
from app.stores.sqlite.store import SqliteStore


class CountingStore:
    """Counts how often keys are looked up in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.lookups = 0

    def find_key(self, key_hash: str) -> ApiKey | None:
        self.lookups += 1
        return self._store.find_key(key_hash)


def test_a_key_is_sl_and_43_letters_and_digits_and_kept_as_a_hash(store: Store) -> None:
    key, secret = create_key(store, name="n", role="read", scope="a/b", owner="olga")
    assert re.fullmatch(r"sl_[A-Za-z0-9]{43}", secret)
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
def test_a_key_with_invalid_settings_is_not_created(
    store: Store, name: str, role: str, scope: str
) -> None:
    with pytest.raises(InvalidParameter):
        create_key(store, name=name, role=role, scope=scope)
    assert store.list_keys() == []


def test_a_known_key_is_cached_while_it_is_fresh(store: Store) -> None:
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


def test_a_revoked_key_stops_working_when_it_is_no_longer_fresh(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = create_key(store, name="n", role="read", scope="*")
    ring = KeyRing(store)
    assert ring.find(secret) == key
    revoke_key(store, key.key_id)
    monkeypatch.setattr(key_ring, "FRESH_SECONDS", 0.0)
    assert ring.find(secret) is None
    assert key_ring.FRESH_SECONDS < 1


def test_an_unknown_key_cannot_be_revoked(store: Store) -> None:
    with pytest.raises(NotFound):
        revoke_key(store, "nobody")


def test_memory_for_known_keys_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "MAX_KNOWN_KEYS", 3)
    ring = KeyRing(store)
    for _ in range(10):
        _, secret = create_key(store, name="n", role="read", scope="*")
        assert ring.find(secret)
        assert len(ring._known) <= 3


def test_the_first_administrators_key_is_created_once(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "var" / "admin.key"
    assert ensure_admin_key(store, file)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    secret = file.read_text().strip()
    assert not ensure_admin_key(store, file)
    assert file.read_text().strip() == secret
    found = KeyRing(store).find(secret)
    assert found is not None
    assert (found.role, found.scope) == ("admin", "*")


@pytest.mark.parametrize("content", [b"", b"\n", b"sl_short\n", b"\xff" * 50, b"sl_" + b"x y" * 20])
def test_a_key_file_without_a_key_is_refused(store: Store, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "admin.key"
    file.write_bytes(content)
    with pytest.raises(StoreRefused, match="holds no API key"):
        ensure_admin_key(store, file)
    assert store.list_keys() == []


def test_an_empty_key_is_invalid_even_if_a_store_holds_its_hash(store: Store) -> None:
    key, _ = create_key(store, name="n", role="admin", scope="*")
    store.add_key(replace(key, key_id="empty", key_hash=hashlib.sha256(b"").hexdigest()))
    assert KeyRing(store).find("") is None


def test_a_key_file_that_others_could_read_is_made_private(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    file.write_text(f"sl_{'x' * 43}\n")
    file.chmod(0o644)
    ensure_admin_key(store, file)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_directory_in_place_of_the_key_file_is_refused_and_keeps_its_rights(
    store: Store, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(StoreRefused, match="is no file"):
        ensure_admin_key(store, tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def _ensure_together(path: Path, barrier: Any) -> None:
    store = SqliteStore(path / "scoreline.db")
    barrier.wait()
    ensure_admin_key(store, path / "admin.key")


def test_concurrent_starts_create_one_administrators_key(tmp_path: Path) -> None:
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


def test_no_new_key_is_created_when_all_are_revoked(store: Store, tmp_path: Path) -> None:
    key, _ = create_key(store, name="n", role="admin", scope="*")
    revoke_key(store, key.key_id)
    assert not ensure_admin_key(store, tmp_path / "admin.key")
    assert not (tmp_path / "admin.key").exists()


def admin(scope: str, **changes: Any) -> ApiKey:
    key = ApiKey("admin", "n", "admin", scope, "olga", "hash", datetime.now(UTC))
    return replace(key, **changes)


def make(store: Store, caller: ApiKey = COMMAND_LINE, **changes: Any) -> ApiKey:
    wanted: dict[str, Any] = {"name": "n", "role": "read", "scope": "acme/demo", **changes}
    return create_key(store, caller=caller, **wanted)[0]


def test_the_roles_of_the_schema_are_the_roles() -> None:
    assert set(schema.ROLES) == set(ROLES)


@pytest.mark.parametrize(
    ("own", "scope", "granted"),
    [
        ("*", "*", True),
        ("*", "acme/*", True),
        ("*", "acme/demo", True),
        ("acme/*", "acme/*", True),
        ("acme/*", "acme/demo", True),
        ("acme/*", "*", False),
        ("acme/*", "acm/*", False),
        ("acme/*", "other/demo", False),
        ("acme/demo", "acme/demo", True),
        ("acme/demo", "acme/*", False),
        ("acme/demo", "acme/other", False),
        ("acme/demo", "*", False),
    ],
)
def test_an_administrator_manages_only_keys_in_its_scope(
    store: Store, own: str, scope: str, granted: bool
) -> None:
    caller = admin(own)
    theirs = make(store, scope=scope, role="admin")
    assert list_keys(store, caller) == ([theirs] if granted else [])
    if granted:
        assert make(store, caller, scope=scope, role="admin").scope == scope
        assert revoke_key(store, theirs.key_id, caller).key.revoked_at is not None
        return
    with pytest.raises(Forbidden):
        make(store, caller, scope=scope)
    with pytest.raises(NotFound):
        revoke_key(store, theirs.key_id, caller)
    assert store.list_keys() == [theirs]


def family(store: Store) -> dict[str, ApiKey]:
    """Return keys by name: boss created son, son created grandson, stranger created other."""
    boss, stranger = make(store, role="admin"), make(store, role="admin")
    son = make(store, boss, role="admin")
    return {
        "boss": boss,
        "son": son,
        "grandson": make(store, son),
        "stranger": stranger,
        "other": make(store, stranger),
    }


def in_use(store: Store, made: dict[str, ApiKey]) -> set[str]:
    stored = {key.key_id: key for key in store.list_keys()}
    return {name for name, key in made.items() if not stored[key.key_id].revoked_at}


def test_a_key_names_its_creator(store: Store) -> None:
    made = family(store)
    assert made["boss"].created_by == "cli"
    assert made["grandson"].created_by == made["son"].key_id
    assert {key.key_id: key.created_by for key in store.list_keys()} == {
        key.key_id: key.created_by for key in made.values()
    }


def test_a_cascade_revokes_keys_created_with_a_key_directly_or_not(
    store: Store,
) -> None:
    made = family(store)
    revoked = revoke_key(store, made["boss"].key_id, cascade=True)
    assert (revoked.also_revoked, revoked.left_in_use) == (2, 0)
    assert in_use(store, made) == {"stranger", "other"}


def test_without_a_cascade_the_keys_left_in_use_are_counted(store: Store) -> None:
    made = family(store)
    revoked = revoke_key(store, made["boss"].key_id)
    assert (revoked.also_revoked, revoked.left_in_use) == (0, 2)
    assert in_use(store, made) == {"son", "grandson", "stranger", "other"}


def test_a_cascade_works_after_the_revocation_and_across_revoked_keys(store: Store) -> None:
    made = family(store)
    for name in ("boss", "son"):
        revoke_key(store, made[name].key_id)
    revoked = revoke_key(store, made["boss"].key_id, cascade=True)
    assert (revoked.also_revoked, revoked.left_in_use) == (1, 0)
    with pytest.raises(NotFound):
        revoke_key(store, made["boss"].key_id, cascade=True)


def test_each_key_of_a_cascade_is_in_the_audit_log(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    made = family(store)
    with caplog.at_level("INFO", "scoreline.audit"):
        caplog.clear()
        revoke_key(store, made["boss"].key_id, cascade=True)
    logged = [record.__dict__["scoreline_fields"]["key_id"] for record in caplog.records]
    assert logged == [made[name].key_id for name in ("boss", "son", "grandson")]


def test_a_key_that_was_just_revoked_cannot_create_keys(store: Store) -> None:
    made = family(store)
    revoke_key(store, made["boss"].key_id)
    with pytest.raises(NotAuthenticated):
        make(store, made["boss"])  # As in a process that still has it in its cache.


def test_the_numbers_of_keys_in_use_and_of_all_keys_are_bounded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MAX_KEYS_IN_USE", 2)
    monkeypatch.setattr(keys, "MAX_KEYS", 3)
    first, _ = make(store), make(store)
    with pytest.raises(TooManyKeys, match="2 API keys are in use"):
        make(store)
    revoke_key(store, first.key_id)
    second = make(store)
    revoke_key(store, second.key_id)
    with pytest.raises(TooManyKeys, match="holds 3 API keys"):
        make(store)


def test_keys_are_listed_in_pages_of_the_callers_scope(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "PAGE", 2)
    made = [make(store, scope=scope) for scope in ("a/b", "c/d", "a/c", "c/d", "a/d")]
    mine = [made[0], made[2], made[4]]
    assert list_keys(store, admin("a/*")) == mine
    assert list_keys(store, admin("a/*"), limit=2) == mine[:2]
    assert list_keys(store, admin("a/*"), after=mine[1].key_id, limit=2) == mine[2:]
    assert list_keys(store) == made


@pytest.mark.parametrize("role", ["create", "read", "write"])
def test_a_caller_cannot_grant_a_role_beyond_its_own(store: Store, role: str) -> None:
    caller = admin("*", role=role)
    assert make(store, caller, role=role).role == role
    with pytest.raises(Forbidden):
        make(store, caller, role="admin")


def test_a_key_never_outlives_its_creator(store: Store) -> None:
    end = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    caller = admin("*", expires_at=end)
    assert make(store, caller).expires_at == end
    assert make(store, caller, expires_at=end).expires_at == end
    with pytest.raises(Forbidden):
        make(store, caller, expires_at=end + timedelta(seconds=1))
    assert make(store).expires_at is None


@pytest.mark.parametrize(
    "end",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=23))),
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=23))),
    ],
)
def test_an_expiry_in_the_past_or_out_of_range_is_refused(store: Store, end: datetime) -> None:
    with pytest.raises(InvalidParameter, match="expire in the future"):
        make(store, expires_at=end)
    assert store.list_keys() == []


def test_an_expiry_is_stored_in_utc_and_whole_milliseconds(store: Store) -> None:
    end = datetime(2999, 1, 1, 1, 0, 0, 123_456, timezone(timedelta(hours=1)))
    key = make(store, expires_at=end)
    assert key.expires_at == datetime(2999, 1, 1, 0, 0, 0, 123_000, UTC)
    assert store.list_keys() == [key]


class Clock(datetime):
    """A `datetime` whose `now` a test can set."""

    moment: ClassVar[datetime]

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return cls.moment


def test_an_expired_key_is_invalid_even_while_it_is_cached(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = datetime(2999, 1, 1, tzinfo=UTC)
    key, secret = create_key(store, name="n", role="read", scope="*", expires_at=end)
    counting = CountingStore(store)
    ring = KeyRing(counting)  # type: ignore[arg-type]
    monkeypatch.setattr(key_ring, "FRESH_SECONDS", 3600.0)
    monkeypatch.setattr(keys, "datetime", Clock)
    Clock.moment = end - timedelta(milliseconds=1)
    assert [ring.find(secret), ring.find(secret), counting.lookups] == [key, key, 1]
    Clock.moment = end
    for lookups in (2, 3, 4):
        assert ring.find(secret) is None
        assert counting.lookups == lookups


def test_a_use_is_noted_when_a_valid_key_is_looked_up(store: Store) -> None:
    key, secret = create_key(store, name="n", role="read", scope="*")
    revoked, wrong = create_key(store, name="n", role="read", scope="*")
    revoke_key(store, revoked.key_id)
    uses: list[str] = []
    ring = KeyRing(store, "sl_admin", uses.append)
    for asked in (wrong, "sl_x", "", "sl_admin", secret, secret, secret):
        ring.find(asked)
    assert uses == [key.key_id]


def audit_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the lines of the audit log without the fields of all log lines."""
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    common = {"time", "level", "logger", "message", "request_id"}
    assert {line["logger"] for line in lines} <= {"scoreline.audit"}
    return [{name: line[name] for name in line if name not in common} for line in lines]


def test_every_change_of_a_key_is_in_the_audit_log(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "scoreline.audit")
    ensure_admin_key(store, tmp_path / "admin.key")
    (first,) = store.list_keys()
    end = datetime(2999, 1, 1, tzinfo=UTC)
    key, secret = create_key(store, name="n", role="read", scope="*", expires_at=end)
    revoke_key(store, key.key_id, first)
    with pytest.raises(NotFound):
        revoke_key(store, key.key_id)
    with pytest.raises(Forbidden):
        make(store, admin("acme/demo"), scope="*")
    with pytest.raises(InvalidParameter):
        make(store, name="")
    of_key = {
        "key_id": key.key_id,
        "name": "n",
        "role": "read",
        "scope": "*",
        "owner": "n",
        "expires_at": "2999-01-01T00:00:00.000Z",
    }
    made, created, revoked = audit_lines(caplog)
    who = {"by_key_id": "start", "by_owner": "start"}
    assert made | {"action": "key.create", "outcome": "done", **who} == made
    assert made | {"key_id": first.key_id, "role": "admin", "scope": "*"} == made
    who = {"by_key_id": "cli", "by_owner": "cli"}
    assert created == {"action": "key.create", "outcome": "done", **who, **of_key}
    who = {"by_key_id": first.key_id, "by_owner": "admin"}
    assert revoked == {"action": "key.revoke", "outcome": "done", **who, **of_key}
    assert secret not in caplog.text
    assert key.key_hash not in caplog.text


def test_a_change_without_an_answer_of_the_store_is_audited_as_unknown(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise StoreUnavailable("gone")

    caplog.set_level(logging.INFO, "scoreline.audit")
    monkeypatch.setattr(store, "add_key", fail)
    with pytest.raises(StoreUnavailable):
        make(store)
    assert [line["outcome"] for line in audit_lines(caplog)] == ["unknown"]
