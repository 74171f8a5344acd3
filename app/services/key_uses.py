"""When API keys were last used: noted in memory, written to the store once a minute at most."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from datetime import datetime

from app.errors import ScorelineError
from app.services.keys import utc_now
from app.stores.base import Store

log = logging.getLogger("scoreline.keys")

PAUSE_SECONDS = 60.0
"""How long a process waits after it has told the store of uses, before it tells of others."""


class KeyUses:
    """Takes note of uses, and writes them on a thread of its own.

    The thread starts with the first use that a process notes, so that a fork before is harmless
    and one after begins anew. An end of the process in order writes what is noted; a kill loses
    the last minute.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._begin()

    def _begin(self) -> None:
        """Forget what a parent process noted: that is its own to write."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._noted: dict[str, datetime] = {}
        self._any = threading.Event()
        self._writer: threading.Thread | None = None

    def note(self, key_id: str) -> None:
        """Remember that this key is used now; nothing is asked of the store."""
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
            time.sleep(PAUSE_SECONDS)

    def write(self) -> None:
        """Tell the store of every use that is noted; one that it does not take stays noted."""
        if self._process != os.getpid():
            return  # A child that ends has noted nothing.
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
