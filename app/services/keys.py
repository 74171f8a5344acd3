"""API keys: make, list, revoke and recognise them; who may do what, where."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from uuid_utils import uuid7

from app.errors import Conflict, NotFound, ScorelineError, StoreRefused
from app.stores.base import ApiKey, Store

ROLES: dict[str, frozenset[str]] = {
    "create": frozenset({"create"}),
    "read": frozenset({"read"}),
    "write": frozenset({"create", "read", "delete"}),
    "admin": frozenset({"create", "read", "delete", "keys"}),
}
"""What each role may do."""

FRESH_SECONDS = 0.5
"""How long a process trusts what it knows of a key: a revoked one stops within this time."""

MAX_KNOWN_KEYS = 10_000

_ADMIN = ("admin", "admin", "*", "admin")  # name, role, scope, owner


class InvalidKeySetting(ScorelineError):
    """A name, role or scope that a key cannot have; the message says what it can."""


def create_key(
    store: Store, *, name: str, role: str, scope: str, owner: str | None = None
) -> tuple[ApiKey, str]:
    """Make and keep a key; return what is kept and the key itself, which nobody can ask for again.

    A key is `sl_` and 43 random url-safe characters (32 bytes). `owner` is who its scores are
    attributed to, by default `name`. Raises InvalidKeySetting.
    """
    secret = _new_secret()
    key = _describe(secret, name, role, scope, owner or name)
    store.add_key(key)
    return key, secret


def list_keys(store: Store) -> list[ApiKey]:
    """All keys, oldest first, revoked ones too."""
    return store.list_keys()


def revoke_key(store: Store, key_id: str) -> None:
    """Stop a key for good. Raises NotFound when there is none, or it was revoked before."""
    if not store.revoke_key(key_id, _now()):
        raise NotFound(f"no key {key_id} is in use")


def ensure_admin_key(store: Store, path: Path) -> bool:
    """On the very first start, when the store has no administrator, make the key of one.

    It is in `path` (mode 0600), whole, before it is stored: a start that is broken off loses
    nothing, and of several at once all take the same. A key that is there already is taken over.
    Returns whether a key was stored. Raises StoreRefused when the file holds something else.
    """
    if any(key.role == "admin" for key in store.list_keys()):
        return False
    try:
        store.add_key(_describe(_first_secret(path), *_ADMIN))
    except Conflict:
        return False  # Another start has just stored it.
    return True


def _first_secret(path: Path) -> str:
    """The key in `path`; where there is no file, a new one that appears whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as file:  # Mode 0600.
            file.write(f"{_new_secret()}\n")
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):  # Another start was faster: its key it is.
                os.link(file.name, path)
    path.chmod(0o600)
    secret = path.read_bytes().decode("ascii", "replace").strip()
    if not re.fullmatch(r"sl_[A-Za-z0-9_-]{32,}", secret):
        raise StoreRefused(f"{path} holds no API key; remove it, and the next start makes one")
    return secret


def permits(key: ApiKey, action: str, entity: str, project: str) -> bool:
    """Whether `key` may do `action` (create, read, delete, keys) in entity/project."""
    return action in ROLES[key.role] and _covers(key.scope, entity, project)


class KeyRing:
    """Recognises keys, and remembers for FRESH_SECONDS what the store said of them."""

    def __init__(self, store: Store, admin_secret: str = "") -> None:
        self._store = store
        self._admin = _admin_of_the_settings(admin_secret) if admin_secret else None
        self._known: dict[str, tuple[float, ApiKey]] = {}
        self._lock = threading.Lock()

    def find(self, secret: str) -> ApiKey | None:
        """The valid key that `secret` is, or None; the same work whatever is wrong with it."""
        digest = _digest(secret)
        if self._admin and hmac.compare_digest(self._admin.key_hash, digest):
            return self._admin
        key = self._look_up(digest)
        if not secret or key is None or not hmac.compare_digest(key.key_hash, digest):
            return None
        return None if key.revoked_at else key

    def _look_up(self, digest: str) -> ApiKey | None:
        now = time.monotonic()
        known = self._known.get(digest)
        if known and now - known[0] < FRESH_SECONDS:
            return known[1]
        key = self._store.find_key(digest)
        # A revoked key is looked up each time, as an unknown one is: both take the same time.
        if key and not key.revoked_at:
            self._remember(digest, now, key)
        return key

    def _remember(self, digest: str, now: float, key: ApiKey) -> None:
        with self._lock:
            if len(self._known) >= MAX_KNOWN_KEYS:
                self._known.clear()
            self._known[digest] = (now, key)


def _describe(secret: str, name: str, role: str, scope: str, owner: str) -> ApiKey:
    if not name.strip() or not owner.strip():
        raise InvalidKeySetting("a key needs a name and an owner that are not empty")
    if any("\ud800" <= character <= "\udfff" for character in f"{name}{owner}{scope}"):
        raise InvalidKeySetting("a key's name, owner and scope are text in UTF-8")
    if role not in ROLES:
        raise InvalidKeySetting(f"a role is one of {', '.join(ROLES)}, not {role!r}")
    _check_scope(scope)
    return ApiKey(str(uuid7()), name, role, scope, owner, _digest(secret), _now())


def _admin_of_the_settings(secret: str) -> ApiKey:
    """The administrator's key that SCORELINE_ADMIN_KEY holds; no store knows it."""
    return replace(_describe(secret, *_ADMIN), key_id="admin")


def _check_scope(scope: str) -> None:
    entity, slash, project = scope.partition("/")
    whole = scope == "*"
    in_entity = slash and entity not in ("", "*") and project and "/" not in project
    if not (whole or in_entity):
        raise InvalidKeySetting(f"a scope is entity/project, entity/* or *, not {scope!r}")


def _covers(scope: str, entity: str, project: str) -> bool:
    return scope in ("*", f"{entity}/*", f"{entity}/{project}")


def _digest(secret: str) -> str:
    """SHA-256: enough for a key of 32 random bytes, which no dictionary holds."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _new_secret() -> str:
    return f"sl_{secrets.token_urlsafe(32)}"


def _now() -> datetime:
    """Now in UTC, in whole milliseconds: what every store can keep."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
