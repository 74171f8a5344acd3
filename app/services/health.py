"""Readiness: check within a time limit whether the store answers."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from app.errors import StoreUnavailable
from app.stores.base import Store

LIMIT_SECONDS = 2.0


class Readiness:
    """Checks the store on its own thread, because a disk or a server may never answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "readiness")
        self._lock = threading.Lock()
        self._ping: Future[None] | None = None

    def check(self) -> None:
        """Return once the store answers. Raises StoreUnavailable, after LIMIT_SECONDS at most.

        Only one ping runs at a time, and concurrent callers share its result, so that probes of a
        store that hangs do not pile up.
        """
        with self._lock:
            if self._ping is None or self._ping.done():
                self._ping = self._thread.submit(self._store.ping)
            ping = self._ping
        try:
            ping.result(LIMIT_SECONDS)
        except TimeoutError:
            raise StoreUnavailable(f"no answer within {LIMIT_SECONDS:g} seconds") from None
