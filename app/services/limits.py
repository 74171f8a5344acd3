"""Limits by name: rates, counted here or where processes share them, and concurrency."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import Any, Protocol

from app.errors import Busy, StoreRefused

log = logging.getLogger("scoreline.limits")

MOST_NAMES = 10_000
"""Buckets that one process keeps; when there are more, all are full again."""

AWAY_SECONDS = 30.0
"""How long a shared store that did not answer is left alone."""

_TIMEOUTS: dict[str, dict[str, Any]] = {
    "redis": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
    "memcached": {"timeout": 0.5, "connect_timeout": 0.5},
}
"""A request waits for its count, so the store must answer soon, in each client's words."""


class Limit(Protocol):
    """So many in so many seconds, for each name."""

    def take(self, name: str) -> float:
        """Take one for `name`; 0.0, or how many seconds until there is one to take."""


class Buckets:
    """Token buckets in this process: each holds `amount`, and refills evenly in `seconds`.

    A bucket is one number, the moment at which it is full again (the generic cell rate algorithm).
    """

    def __init__(self, amount: int, seconds: int) -> None:
        self._one = seconds * 10**9 // amount
        self._fill = self._one * amount
        self._full_at: dict[str, int] = {}
        self._lock = threading.Lock()

    def take(self, name: str) -> float:
        """Take one for `name`; 0.0, or how many seconds until there is one to take."""
        now = time.monotonic_ns()
        with self._lock:
            full_at = max(self._full_at.get(name, 0), now) + self._one
            if full_at - now > self._fill:
                return (full_at - now - self._fill) / 10**9
            if len(self._full_at) >= MOST_NAMES:
                self._full_at.clear()
            self._full_at[name] = full_at
        return 0.0


class SharedLimit:
    """A count in a store that every process shares, by the package `limits`.

    While that store does not answer, each process counts alone, as if there were none.
    """

    def __init__(self, amount: int, seconds: int, url: str) -> None:
        """Raises StoreRefused when the store's driver is not installed."""
        # Slow to import, and for this alone.
        from limits import RateLimitItemPerSecond
        from limits.errors import ConfigurationError, StorageError
        from limits.storage import storage_from_string
        from limits.strategies import SlidingWindowCounterRateLimiter

        timeouts = next(given for name, given in _TIMEOUTS.items() if url.startswith(name))
        try:
            storage = storage_from_string(url, wrap_exceptions=True, **timeouts)
        except ConfigurationError as error:
            raise StoreRefused(f"SCORELINE_RATE_LIMIT_STORE cannot be used: {error}") from None
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._rate = RateLimitItemPerSecond(amount, seconds, "scoreline")
        self._away = (StorageError, OSError)
        self._away_until = 0.0
        self._alone = Buckets(amount, seconds)

    def take(self, name: str) -> float:
        """Take one for `name`; 0.0, or how many seconds until there is one to take."""
        if time.monotonic() < self._away_until:
            return self._alone.take(name)
        try:
            return self._ask(name)
        except self._away as error:
            if time.monotonic() >= self._away_until:
                log.warning("each worker counts alone, the rate limit's store is away: %s", error)
            self._away_until = time.monotonic() + AWAY_SECONDS
            return self._alone.take(name)

    def _ask(self, name: str) -> float:
        if self._limiter.hit(self._rate, name):
            return 0.0
        free_at = self._limiter.get_window_stats(self._rate, name).reset_time
        return max(free_at - time.time(), 0.001)


def open_limit(rate: tuple[int, int] | None, store: str) -> Limit | None:
    """The limit of `rate` (amount, seconds), counted in `store` unless that is empty.

    Raises StoreRefused.
    """
    if rate is None:
        return None
    return SharedLimit(*rate, store) if store else Buckets(*rate)


class ConcurrencyLimit:
    """How many long requests may run at the same time in a process of so many threads.

    They take half of the threads, and those of one name half of that, but always one.
    """

    def __init__(self, threads: int) -> None:
        self.most = max(1, threads // 2)
        self.most_of_one = max(1, self.most // 2)
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, name: str) -> None:
        """Take a place for `name`. Raises Busy when it has its share, or all are taken."""
        with self._lock:
            if self._running[name] >= self.most_of_one:
                raise Busy("Too many long requests of this API key are running, try again later")
            if self._running.total() >= self.most:
                raise Busy("Too many long requests are running, try again later")
            self._running[name] += 1

    def give_back(self, name: str) -> None:
        """Give a place back that `take` gave `name`."""
        with self._lock:
            self._running[name] -= 1
            if not self._running[name]:
                del self._running[name]
