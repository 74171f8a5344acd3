"""Requests with large bodies, which wait for a thread that may be spared to read them."""

from __future__ import annotations

import threading
from collections import deque

from app.server.connections import Connection
from app.server.requests import ScorelineRequest

MOST_WAITING = 100
"""How many large bodies may wait for a thread that reads them."""

Waiting = tuple[Connection, ScorelineRequest]


class LargeRequests:
    """A queue for threads, of which at most so many read large bodies at the same time."""

    def __init__(self, most_threads: int) -> None:
        self._most_threads = most_threads
        self._threads = 0
        self._waiting: deque[Waiting] = deque()
        self._lock = threading.Lock()

    @property
    def is_full(self) -> bool:
        """Whether no other may wait."""
        return len(self._waiting) >= MOST_WAITING

    def join(self, connection: Connection, request: ScorelineRequest) -> bool:
        """Queue up; whether this thread is to take what waits, until there is no `following`."""
        with self._lock:
            self._waiting.append((connection, request))
            takes = self._threads < self._most_threads
            self._threads += takes
            return takes

    def following(self) -> Waiting | None:
        """The next that waits; None lets the thread go."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None
