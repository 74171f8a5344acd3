"""Limits per name: rates, counted in this process or in a shared store, and concurrency."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from importlib.util import find_spec
from typing import Any, Protocol

from app.errors import Busy, StoreRefused

log = logging.getLogger("scoreline.limits")

MAX_NAMES = 10_000
"""How many buckets one process keeps; if there are more, all are dropped and start full again."""

AWAY_SECONDS = 30.0
"""How long a shared store is not used after it did not answer."""

_TIMEOUTS: dict[str, dict[str, Any]] = {
    "redis": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
    "memcached": {"timeout": 0.5, "connect_timeout": 0.5},
}
"""Timeouts by kind of store, named as its client names them; short, because requests wait."""

_CLIENTS = {"redis": "redis", "memcached": "pymemcache"}
"""The module of the client by kind of store; the extra of Scoreline has the name of the kind."""


class Limit(Protocol):
    """A rate limit for each name."""

    def take(self, name: str) -> float:
        """Take one call for `name`; return 0.0, or how many seconds until one is available."""


class Buckets:
    """Token buckets in this process, each of `amount` tokens, which refill evenly in `seconds`.

    A bucket is one number, the time when it is full again (the generic cell rate algorithm).
    """

    def __init__(self, amount: int, seconds: int) -> None:
        self._one = seconds * 10**9 // amount
        self._fill = self._one * amount
        self._full_at: dict[str, int] = {}
        self._lock = threading.Lock()

    def take(self, name: str) -> float:
        """Take one call for `name`; return 0.0, or how many seconds until one is available."""
        now = time.monotonic_ns()
        with self._lock:
            full_at = max(self._full_at.get(name, 0), now) + self._one
            if full_at - now > self._fill:
                return (full_at - now - self._fill) / 10**9
            if len(self._full_at) >= MAX_NAMES:
                self._full_at.clear()
            self._full_at[name] = full_at
        return 0.0


class SharedLimit:
    """A rate limit that all processes share, counted in a store by the package `limits`.

    While that store does not answer, each process counts on its own.
    """

    def __init__(self, amount: int, seconds: int, url: str) -> None:
        """Open the store at `url`. Raises StoreRefused if its driver is not installed."""
        # Slow to import, and only needed here.
        from limits import RateLimitItemPerSecond
        from limits.errors import ConfigurationError, StorageError
        from limits.storage import storage_from_string
        from limits.strategies import SlidingWindowCounterRateLimiter

        kind = next(name for name in _TIMEOUTS if url.startswith(name))
        try:
            storage = storage_from_string(url, wrap_exceptions=True, **_TIMEOUTS[kind])
        except ConfigurationError as error:
            advice = "" if find_spec(_CLIENTS[kind]) else f"; run pip install 'scoreline[{kind}]'"
            message = f"SCORELINE_RATE_LIMIT_STORE cannot be used: {error}{advice}"
            raise StoreRefused(message) from None
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._rate = RateLimitItemPerSecond(amount, seconds, "scoreline")
        self._away = (StorageError, OSError)
        self._away_until = 0.0
        self._alone = Buckets(amount, seconds)

    def take(self, name: str) -> float:
        """Take one call for `name`; return 0.0, or how many seconds until one is available."""
        if time.monotonic() < self._away_until:
            return self._alone.take(name)
        try:
            return self._ask(name)
        except self._away as error:
            if time.monotonic() >= self._away_until:
                log.warning("each worker counts alone, the rate limit's store fails: %s", error)
            self._away_until = time.monotonic() + AWAY_SECONDS
            return self._alone.take(name)

    def _ask(self, name: str) -> float:
        if self._limiter.hit(self._rate, name):
            return 0.0
        free_at = self._limiter.get_window_stats(self._rate, name).reset_time
        return max(free_at - time.time(), 0.001)


def open_limit(rate: tuple[int, int] | None, store: str) -> Limit | None:
    """Return the limit of `rate` (amount, seconds), counted in `store` or, without it, in memory.

    Raises StoreRefused.
    """
    if rate is None:
        return None
    return SharedLimit(*rate, store) if store else Buckets(*rate)


class ConcurrencyLimit:
    """A bound on the long requests that run at the same time in a process of `threads` threads.

    They may use half of the threads, and those of one name half of that, but always at least one.
    """

    def __init__(self, threads: int) -> None:
        self.max_running = max(1, threads // 2)
        self.max_per_name = max(1, self.max_running // 2)
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    def acquire(self, name: str) -> None:
        """Count a request of `name` as running. Raises Busy if too many are running."""
        with self._lock:
            if self._running[name] >= self.max_per_name:
                raise Busy("Too many long requests of this API key are running, try again later")
            if self._running.total() >= self.max_running:
                raise Busy("Too many long requests are running, try again later")
            self._running[name] += 1

    def release(self, name: str) -> None:
        """End a request of `name` that `acquire` counted."""
        with self._lock:
            self._running[name] -= 1
            if not self._running[name]:
                del self._running[name]
