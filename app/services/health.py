"""Readiness: whether the store answers, known within a time limit whatever the store does."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from app.errors import StoreUnavailable
from app.stores.base import Store

LIMIT_SECONDS = 2.0


class Readiness:
    """Asks the store from a thread of its own, because a disk or a server may never answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "readiness")
        self._lock = threading.Lock()
        self._asked: Future[None] | None = None

    def check(self) -> None:
        """Return when the store answers. Raises StoreUnavailable, after LIMIT_SECONDS at most.

        There is one question at a time: who asks while it is open waits for the same answer, so
        that probes of a store that hangs do not pile up.
        """
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = self._thread.submit(self._ask)
            asked = self._asked
        try:
            asked.result(LIMIT_SECONDS)
        except TimeoutError:
            raise StoreUnavailable(f"no answer within {LIMIT_SECONDS:g} seconds") from None

    def _ask(self) -> None:
        self._store.ping()
