"""Find API keys by their secrets, and record when they are used."""

from __future__ import annotations

import atexit
import hmac
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime

from app.errors import ScorelineError
from app.services.keys import digest_of, is_in_use, settings_key, utc_now
from app.stores.base import Store
from app.stores.model import ApiKey

log = logging.getLogger("scoreline.keys")

FRESH_SECONDS = 0.5
"""How long a process caches a key; a revoked key stops working within this time."""

MAX_KNOWN_KEYS = 10_000

WRITE_USES_SECONDS = 60.0
"""How long a process waits between two writes of key uses."""


class KeyRing:
    """Finds keys in use, and caches those of the store for FRESH_SECONDS."""

    def __init__(
        self,
        store: Store,
        admin_secret: str = "",
        note_use: Callable[[str], None] = lambda _key_id: None,
    ) -> None:
        self._store = store
        self._note_use = note_use
        self._admin = settings_key(admin_secret) if admin_secret else None
        self._known: dict[str, tuple[float, ApiKey]] = {}
        self._lock = threading.Lock()

    def find(self, secret: str) -> ApiKey | None:
        """Return the key in use with this secret, or None; all wrong secrets cost the same work."""
        digest = digest_of(secret)
        if self._admin and hmac.compare_digest(self._admin.key_hash, digest):
            return self._admin
        key = self._look_up(digest)
        if not secret or key is None or not hmac.compare_digest(key.key_hash, digest):
            return None
        return key

    def _look_up(self, digest: str) -> ApiKey | None:
        """Return the key in use with this hash, or None. Only keys in use are cached."""
        now = time.monotonic()
        known = self._known.get(digest)
        if known and now - known[0] < FRESH_SECONDS and is_in_use(known[1]):
            return known[1]
        key = self._store.find_key(digest)
        if key is None or not is_in_use(key):
            return None
        self._remember(digest, now, key)
        self._note_use(key.key_id)
        return key

    def _remember(self, digest: str, now: float, key: ApiKey) -> None:
        with self._lock:
            if len(self._known) >= MAX_KNOWN_KEYS:
                self._known.clear()
            self._known[digest] = (now, key)


class KeyUses:
    """Records in memory when keys are used, and writes that to the store once a minute at most.

    Each process writes on a thread that starts with its first use, so it works before and after a
    fork. A clean exit writes what is pending; a kill loses the last minute.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._begin()

    def _begin(self) -> None:
        """Start empty: what a parent process has recorded, the parent itself writes."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._noted: dict[str, datetime] = {}
        self._any = threading.Event()
        self._writer: threading.Thread | None = None

    def note(self, key_id: str) -> None:
        """Record that this key is used now, without a call to the store."""
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            self._noted[key_id] = utc_now()
            if self._writer is None:
                self._start()
        self._any.set()

    def _start(self) -> None:
        self._writer = threading.Thread(target=self._keep_writing, name="key-uses", daemon=True)
        self._writer.start()
        atexit.register(self.write)

    def _keep_writing(self) -> None:
        while self._any.wait():
            self.write()
            time.sleep(WRITE_USES_SECONDS)

    def write(self) -> None:
        """Write all recorded uses to the store, and keep them if it does not answer."""
        if self._process != os.getpid():
            return  # A child that exits without a use of its own has nothing to write.
        with self._lock:
            noted, self._noted = self._noted, {}
            self._any.clear()
        if not noted:
            return
        try:
            self._store.note_key_uses(noted)
        except ScorelineError as error:
            log.warning("the last use of %d keys is not written yet: %s", len(noted), error)
            with self._lock:
                self._noted = {**noted, **self._noted}
            self._any.set()
