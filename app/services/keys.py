"""Create, list, revoke and recognise API keys."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NoReturn

from app.datetimes import whole_milliseconds
from app.errors import (
    Forbidden,
    InvalidParameter,
    NotAuthenticated,
    NotFound,
    TooManyKeys,
)
from app.ids import new_id, utc_text
from app.keytext import new_secret
from app.schemas.keys import MAX_NAME_CHARACTERS, MAX_SCOPE_CHARACTERS, NAME, SCOPE
from app.services.audit import audited
from app.services.permissions import ROLES, is_within
from app.stores.base import Store
from app.stores.model import ApiKey

log = logging.getLogger("scoreline.keys")


MAX_KEYS_IN_USE = 10_000
"""How many API keys may be in use in one store."""

MAX_KEYS = 100_000
"""How many API keys one store may hold, including revoked and expired ones."""

PAGE = 1_000
"""How many keys are read at a time."""

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""A key must expire before this time."""

ADMINISTRATOR = ("admin", "admin", "*", "admin")
"""The name, role, scope and owner of the administrator's key."""

COMMAND_LINE = ApiKey("cli", *ADMINISTRATOR[:3], "cli", "", datetime.min.replace(tzinfo=UTC))
"""The caller at the command line, who has the store itself and may do anything."""

FIRST_START = replace(COMMAND_LINE, key_id="start", owner="start")
"""The caller that creates the administrator's key at the first start."""

SETTINGS_KEY_ID = "admin"
"""The key_id of the administrator's key in SCORELINE_ADMIN_KEY."""

NOT_STORED = {COMMAND_LINE.key_id, FIRST_START.key_id, SETTINGS_KEY_ID}
"""The ids of callers whose keys are not in the store."""


@dataclass(frozen=True)
class Revoked:
    """The result of a revocation.

    `was_revoked` says whether the key itself was revoked before. `also_revoked` counts the keys
    that were created with the key and revoked along with it, `left_in_use` those that were created
    with it and are still in use.
    """

    key: ApiKey
    was_revoked: bool
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
    caller: ApiKey = COMMAND_LINE,
) -> tuple[ApiKey, str]:
    """Create and store a key; return it and its secret, which cannot be read again.

    `owner` is who its scores are attributed to, by default `name`. A key gets no more rights than
    its caller's, and expires with the caller's key by default. Raises InvalidParameter, Forbidden,
    TooManyKeys, and NotAuthenticated if the caller's key has just been revoked.
    """
    secret = new_secret()
    expires_at = expires_at or caller.expires_at
    key = new_key(secret, name, role, scope, owner or name, expires_at, created_by=caller.key_id)
    if not _may_grant(caller, key):
        raise Forbidden("a key cannot create one with a wider scope or a later expiry than its own")
    _check_in_use(store, caller)
    _check_number(store)
    with audited("key.create", caller, describe(key)):
        store.add_key(key)
    return key, secret


def _check_in_use(store: Store, caller: ApiKey) -> None:
    """Check the caller in the store, so that a revoked key that is still cached creates no keys."""
    if caller.key_id in NOT_STORED:
        return
    key = store.find_key(caller.key_hash)
    if key is None or not is_in_use(key):
        raise NotAuthenticated


def _check_number(store: Store) -> None:
    if store.count_keys(in_use_at=utc_now()) >= MAX_KEYS_IN_USE:
        raise TooManyKeys(f"{MAX_KEYS_IN_USE:,} API keys are in use; revoke some first")
    if store.count_keys() >= MAX_KEYS:
        raise TooManyKeys(f"the store holds {MAX_KEYS:,} API keys, including revoked ones")


def list_keys(
    store: Store, caller: ApiKey = COMMAND_LINE, after: str = "", limit: int | None = None
) -> list[ApiKey]:
    """Return the keys in the caller's scope, oldest first, including revoked ones.

    Only those with ids above `after`, and at most `limit`.
    """
    return list(islice(_walk_keys(store, caller, after), limit))


def _walk_keys(store: Store, caller: ApiKey, after: str = "") -> Iterator[ApiKey]:
    while page := store.list_keys(after, PAGE):
        yield from (key for key in page if is_within(key.scope, caller.scope))
        after = page[-1].key_id


def revoke_key(
    store: Store, key_id: str, caller: ApiKey = COMMAND_LINE, *, cascade: bool = False
) -> Revoked:
    """Revoke a key; with `cascade`, also every key that was created with it, directly or not.

    With `cascade`, the key itself may have been revoked before. Raises NotFound if no such key is
    in use or it is outside the caller's scope.
    """
    known = {key.key_id: key for key in _walk_keys(store, caller)}
    key = known.get(key_id)
    created = [each for each in _created_with(key_id, known.values()) if is_in_use(each)]
    if key is None or (key.revoked_at and not (cascade and created)):
        raise NotFound(f"no key {key_id} is in use")
    was_revoked = key.revoked_at is not None
    if not was_revoked:
        key = _revoke(store, key, caller)
    also_revoked = 0
    while cascade and created:
        for each in created:
            with suppress(NotFound):  # Another call has just revoked it.
                _revoke(store, each, caller)
                also_revoked += 1
        # One of them may have created another in the meantime.
        keys = _walk_keys(store, caller)
        created = [each for each in _created_with(key_id, keys) if is_in_use(each)]
    return Revoked(key, was_revoked, also_revoked, len(created))


def _revoke(store: Store, key: ApiKey, caller: ApiKey) -> ApiKey:
    """Revoke one key and return it. Raises NotFound if another call has just revoked it."""
    revoked_at = utc_now()
    with audited("key.revoke", caller, describe(key)):
        if not store.revoke_key(key.key_id, revoked_at):
            raise NotFound(f"no key {key.key_id} is in use")
    return replace(key, revoked_at=revoked_at)


def _created_with(key_id: str, keys: Iterable[ApiKey]) -> list[ApiKey]:
    """Return the keys that were created with a key, those created with these, and so on."""
    by_creator: dict[str | None, list[ApiKey]] = defaultdict(list)
    for key in keys:
        by_creator[key.created_by].append(key)
    found: list[ApiKey] = []
    creators = [key_id]
    while creators:
        created = by_creator.pop(creators.pop(), [])
        found += created
        creators += [key.key_id for key in created]
    return found


def _may_grant(caller: ApiKey, key: ApiKey) -> bool:
    """Return whether the caller's role, scope and lifetime cover those of `key`."""
    outlives = (key.expires_at or NEVER) > (caller.expires_at or NEVER)
    within = is_within(key.scope, caller.scope)
    return within and not outlives and ROLES[key.role] <= ROLES[caller.role]


def is_in_use(key: ApiKey) -> bool:
    """Return whether a key is neither revoked nor expired."""
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
    """Return a new key with this secret, which is not stored yet. Raises InvalidParameter."""
    now = utc_now()
    _check_texts(name, owner, scope)
    if role not in ROLES:
        _refuse("role", role, f"role must be one of {', '.join(ROLES)}, not {role!r}")
    if expires_at and not now < expires_at < NEVER:
        given = expires_at.isoformat()
        _refuse("expires_at", given, "a key must expire in the future, before 9999")
    expires_at = whole_milliseconds(expires_at) if expires_at else None
    return ApiKey(
        new_id(),
        name,
        role,
        scope,
        owner,
        digest_of(secret),
        now,
        expires_at=expires_at,
        created_by=created_by,
    )


def describe(key: ApiKey) -> dict[str, Any]:
    """Return the fields that describe a key in the audit log."""
    return {
        "key_id": key.key_id,
        "name": key.name,
        "role": key.role,
        "scope": key.scope,
        "owner": key.owner,
        "expires_at": utc_text(key.expires_at) if key.expires_at else None,
    }


def settings_key(secret: str) -> ApiKey:
    """Return the administrator's key in SCORELINE_ADMIN_KEY, which is not stored."""
    return replace(new_key(secret, *ADMINISTRATOR), key_id=SETTINGS_KEY_ID)


def _check_texts(name: str, owner: str, scope: str) -> None:
    for field, text in (("name", name), ("owner", owner)):
        if len(text) > MAX_NAME_CHARACTERS or not re.fullmatch(NAME, text):
            _refuse(
                field,
                text,
                f"the {field} of a key must have 1 to {MAX_NAME_CHARACTERS} characters, not all "
                "blank, and no control characters",
            )
    if any("\ud800" <= character <= "\udfff" for character in f"{name}{owner}{scope}"):
        _refuse("name", name, "name, owner and scope must be valid Unicode")
    if len(scope) > MAX_SCOPE_CHARACTERS or not re.fullmatch(SCOPE, scope):
        _refuse("scope", scope, f"scope must be entity/project, entity/* or *, not {scope!r}")


def _refuse(field: str, given: str, message: str) -> NoReturn:
    raise InvalidParameter(field, given, message, place="body")


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret; 256 random bits need no slower hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def utc_now() -> datetime:
    """Return the time now in UTC, in whole milliseconds, which every store can keep."""
    return whole_milliseconds(datetime.now(UTC))
