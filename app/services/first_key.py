"""The first administrator's key: made once, by the very first start."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from app.errors import Conflict, StoreRefused
from app.services.audit import audited
from app.services.keys import ADMINISTRATOR, FIRST_START, describe, new_key, new_secret
from app.stores.base import Store


def ensure_admin_key(store: Store, path: Path) -> bool:
    """On the very first start, when the store has no administrator, make the key of one.

    It is in `path` (mode 0600), whole, before it is stored: a start that is broken off loses
    nothing, and of several at once all take the same. A key that is there already is taken over.
    Returns whether a key was stored. Raises StoreRefused when the file holds something else.
    """
    if any(key.role == "admin" for key in store.list_keys()):
        return False
    key = new_key(_first_secret(path), *ADMINISTRATOR)
    try:
        with audited("key.create", FIRST_START, describe(key)):
            store.add_key(key)
    except Conflict:
        return False  # Another start has just stored it.
    return True


def _first_secret(path: Path) -> str:
    """The key in `path`; where there is no file, a new one that appears whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as file:  # Mode 0600.
            file.write(f"{new_secret()}\n")
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):  # Another start was faster: its key it is.
                os.link(file.name, path)
    path.chmod(0o600)
    secret = path.read_bytes().decode("ascii", "replace").strip()
    if not re.fullmatch(r"sl_[A-Za-z0-9_-]{32,}", secret):
        raise StoreRefused(f"{path} holds no API key; remove it, and the next start makes one")
    return secret
