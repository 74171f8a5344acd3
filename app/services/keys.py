"""API keys: make, list, revoke and recognise them; who may do what, where."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from app.errors import (
    Forbidden,
    InvalidKeySetting,
    NotAuthenticated,
    NotFound,
    TooManyKeys,
)
from app.ids import new_id, utc_text
from app.keytext import new_secret
from app.schemas.keys import MOST_NAME_CHARACTERS, MOST_SCOPE_CHARACTERS, SCOPE
from app.services.audit import audited
from app.stores.base import ApiKey, Store

ROLES: dict[str, frozenset[str]] = {
    "create": frozenset({"create"}),
    "read": frozenset({"read"}),
    "write": frozenset({"create", "read", "delete", "import"}),
    "admin": frozenset({"create", "read", "delete", "import", "keys"}),
}
"""What each role may do."""

FRESH_SECONDS = 0.5
"""How long a process trusts what it knows of a key: a revoked one stops within this time."""

MAX_KNOWN_KEYS = 10_000

MOST_IN_USE = 10_000
"""API keys that may be in use in one store."""

MOST_KEYS = 100_000
"""API keys that one store may hold, revoked and expired ones too."""

PAGE = 1_000
"""How many keys are read at a time."""

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""The first moment that is too late for a key to expire."""

EVERYWHERE = "*"
"""The scope of every project."""

ADMINISTRATOR = ("admin", "admin", "*", "admin")
"""Name, role, scope and owner of the administrator's key."""

COMMAND_LINE = ApiKey("cli", *ADMINISTRATOR[:3], "cli", "", datetime.min.replace(tzinfo=UTC))
"""Who is at the command line has the store itself, and may do anything."""

FIRST_START = replace(COMMAND_LINE, key_id="start", owner="start")
"""Who makes the first administrator's key."""

OF_THE_SETTINGS = "admin"
"""The key_id of the administrator's key that SCORELINE_ADMIN_KEY holds."""

NOT_STORED = {COMMAND_LINE.key_id, FIRST_START.key_id, OF_THE_SETTINGS}
"""Ids of callers whose keys are in no store."""


@dataclass(frozen=True)
class Revoked:
    """What a revocation did.

    `also_revoked` counts the keys that were made with the key and revoked with it, `left_in_use`
    those that were made with it and are still in use.
    """

    key: ApiKey
    also_revoked: int
    left_in_use: int


def create_key(
    store: Store,
    *,
    name: str,
    role: str,
    scope: str,
    owner: str | None = None,
    expires_at: datetime | None = None,
    by: ApiKey = COMMAND_LINE,
) -> tuple[ApiKey, str]:
    """Make and keep a key; return what is kept and the key itself, which nobody can ask for again.

    `owner` is who its scores are attributed to, by default `name`. What `by` makes has no more than
    `by` has: it lives as long unless `expires_at` is earlier. Raises InvalidKeySetting, Forbidden,
    TooManyKeys, and NotAuthenticated when `by` was revoked a moment ago.
    """
    secret = new_secret()
    end = expires_at or by.expires_at
    key = new_key(secret, name, role, scope, owner or name, end, created_by=by.key_id)
    if not _may_grant(by, key):
        raise Forbidden
    _check_in_use(store, by)
    _check_room(store)
    with audited("key.create", by, describe(key)):
        store.add_key(key)
    return key, secret


def _check_in_use(store: Store, by: ApiKey) -> None:
    """Ask the store itself, so that a revoked key makes no keys while it is still remembered."""
    if by.key_id in NOT_STORED:
        return
    key = store.find_key(by.key_hash)
    if key is None or not _is_in_use(key):
        raise NotAuthenticated


def _check_room(store: Store) -> None:
    if store.count_keys(in_use_at=utc_now()) >= MOST_IN_USE:
        raise TooManyKeys(f"{MOST_IN_USE:,} API keys are in use; revoke some first")
    if store.count_keys() >= MOST_KEYS:
        raise TooManyKeys(f"the store holds {MOST_KEYS:,} API keys, revoked ones too")


def list_keys(
    store: Store, by: ApiKey = COMMAND_LINE, after: str = "", limit: int | None = None
) -> list[ApiKey]:
    """Return the keys that `by` may manage, those of its scope, oldest first, revoked ones too.

    Of those with ids above `after`, at most `limit`.
    """
    return list(islice(_walk_keys(store, by, after), limit))


def _walk_keys(store: Store, by: ApiKey, after: str = "") -> Iterator[ApiKey]:
    while page := store.list_keys(after, PAGE):
        yield from (key for key in page if _is_within(key.scope, by.scope))
        after = page[-1].key_id


def revoke_key(
    store: Store, key_id: str, by: ApiKey = COMMAND_LINE, *, cascade: bool = False
) -> Revoked:
    """Stop a key for good; with `cascade`, also the keys made with it, and those made with these.

    With `cascade` the key may be one that was revoked before. Raises NotFound when there is no such
    key in use, or `by` may not manage it.
    """
    known = {key.key_id: key for key in _walk_keys(store, by)}
    key = known.get(key_id)
    made = [each for each in _made_with(key_id, known.values()) if _is_in_use(each)]
    if key is None or (key.revoked_at and not (cascade and made)):
        raise NotFound(f"no key {key_id} is in use")
    if not key.revoked_at:
        key = _revoke(store, key, by)
    also_revoked = 0
    while cascade and made:
        for each in made:
            with suppress(NotFound):  # Another call has just revoked it.
                _revoke(store, each, by)
                also_revoked += 1
        # One of them may have made another in the meantime.
        made = [each for each in _made_with(key_id, _walk_keys(store, by)) if _is_in_use(each)]
    return Revoked(key, also_revoked, len(made))


def _revoke(store: Store, key: ApiKey, by: ApiKey) -> ApiKey:
    """Revoke one key and return it. Raises NotFound when another call has just done so."""
    revoked_at = utc_now()
    with audited("key.revoke", by, describe(key)):
        if not store.revoke_key(key.key_id, revoked_at):
            raise NotFound(f"no key {key.key_id} is in use")
    return replace(key, revoked_at=revoked_at)


def _made_with(key_id: str, keys: Iterable[ApiKey]) -> list[ApiKey]:
    """Return the keys that were made with a key, those that were made with these, and so on."""
    by_maker: dict[str | None, list[ApiKey]] = defaultdict(list)
    for key in keys:
        by_maker[key.created_by].append(key)
    found: list[ApiKey] = []
    makers = [key_id]
    while makers:
        made = by_maker.pop(makers.pop(), [])
        found += made
        makers += [key.key_id for key in made]
    return found


def permits(key: ApiKey, action: str, entity: str, project: str) -> bool:
    """Whether `key` may do `action` (create, read, delete, keys) in entity/project."""
    return action in ROLES[key.role] and _covers(key.scope, entity, project)


def may(key: ApiKey, action: str) -> bool:
    """Whether the role of `key` allows `action`, wherever its scope does."""
    return action in ROLES[key.role]


def permits_everywhere(key: ApiKey, action: str) -> bool:
    """Whether `key` may do `action` in every project, those to come too."""
    return action in ROLES[key.role] and key.scope == EVERYWHERE


def _may_grant(by: ApiKey, key: ApiKey) -> bool:
    """Whether `by` has all that `key` gives: its role, its scope and its time."""
    outlives = (key.expires_at or NEVER) > (by.expires_at or NEVER)
    within = _is_within(key.scope, by.scope)
    return within and not outlives and ROLES[key.role] <= ROLES[by.role]


class KeyRing:
    """Recognises keys, and remembers for FRESH_SECONDS what the store said of them."""

    def __init__(
        self,
        store: Store,
        admin_secret: str = "",
        note_use: Callable[[str], None] = lambda _key_id: None,
    ) -> None:
        self._store = store
        self._note_use = note_use
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
        return key

    def _look_up(self, digest: str) -> ApiKey | None:
        """The key with this hash that is in use; any other is looked up each time, as unknown."""
        now = time.monotonic()
        known = self._known.get(digest)
        if known and now - known[0] < FRESH_SECONDS and _is_in_use(known[1]):
            return known[1]
        key = self._store.find_key(digest)
        if key is None or not _is_in_use(key):
            return None
        self._remember(digest, now, key)
        self._note_use(key.key_id)
        return key

    def _remember(self, digest: str, now: float, key: ApiKey) -> None:
        with self._lock:
            if len(self._known) >= MAX_KNOWN_KEYS:
                self._known.clear()
            self._known[digest] = (now, key)


def _is_in_use(key: ApiKey) -> bool:
    if key.revoked_at:
        return False
    return key.expires_at is None or datetime.now(UTC) < key.expires_at


def new_key(
    secret: str,
    name: str,
    role: str,
    scope: str,
    owner: str,
    expires_at: datetime | None = None,
    created_by: str | None = None,
) -> ApiKey:
    """The key that `secret` is, not kept yet. Raises InvalidKeySetting."""
    now = utc_now()
    for field, text in (("name", name), ("owner", owner)):
        if not text.strip() or len(text) > MOST_NAME_CHARACTERS:
            raise InvalidKeySetting(
                field, text, f"a key's {field} has 1 to 255 characters, not all blank"
            )
    if any("\ud800" <= character <= "\udfff" for character in f"{name}{owner}{scope}"):
        raise InvalidKeySetting("name", name, "a key's name, owner and scope are text in UTF-8")
    if role not in ROLES:
        raise InvalidKeySetting("role", role, f"a role is one of {', '.join(ROLES)}, not {role!r}")
    _check_scope(scope)
    if expires_at and not now < expires_at < NEVER:
        given = expires_at.isoformat()
        raise InvalidKeySetting("expires_at", given, "a key ends in the future, before 9999")
    expires_at = _whole_milliseconds(expires_at.astimezone(UTC)) if expires_at else None
    return ApiKey(
        new_id(),
        name,
        role,
        scope,
        owner,
        _digest(secret),
        now,
        expires_at=expires_at,
        created_by=created_by,
    )


def describe(key: ApiKey) -> dict[str, Any]:
    """What an audit line says of a key."""
    return {
        "key_id": key.key_id,
        "name": key.name,
        "role": key.role,
        "scope": key.scope,
        "owner": key.owner,
        "expires_at": utc_text(key.expires_at) if key.expires_at else None,
    }


def _admin_of_the_settings(secret: str) -> ApiKey:
    """The administrator's key that SCORELINE_ADMIN_KEY holds; no store knows it."""
    return replace(new_key(secret, *ADMINISTRATOR), key_id=OF_THE_SETTINGS)


def _check_scope(scope: str) -> None:
    if len(scope) > MOST_SCOPE_CHARACTERS or not re.fullmatch(SCOPE, scope):
        meant = f"a scope is entity/project, entity/* or *, not {scope!r}"
        raise InvalidKeySetting("scope", scope, meant)


def _is_within(scope: str, outer: str) -> bool:
    """Whether all that `scope` covers is covered by `outer` too."""
    entity = scope.partition("/")[0]
    return outer in ("*", scope, f"{entity}/*")


def _covers(scope: str, entity: str, project: str) -> bool:
    return scope in ("*", f"{entity}/*", f"{entity}/{project}")


def _digest(secret: str) -> str:
    """Return a key's SHA-256: enough for 256 random bits, which no dictionary holds."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def utc_now() -> datetime:
    """Now in UTC, in whole milliseconds: what every store can keep."""
    return _whole_milliseconds(datetime.now(UTC))


def _whole_milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
