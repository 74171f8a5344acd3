"""Turns: questions that take long are answered one at a time in each process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from app.api.answers import raises
from app.api.contract import View
from app.errors import Busy

PLACES = 8
"""How many questions are answered or wait, so that threads are left for what takes no time."""

SECONDS = 30.0


class Turns:
    """One at a time, and few that wait for it."""

    def __init__(self, places: int = PLACES, seconds: float = SECONDS) -> None:
        self._places = threading.BoundedSemaphore(places)
        self._turn = threading.Lock()
        self._seconds = seconds

    def take(self, call: Callable[[], Any]) -> Any:
        """What `call` returns, in its turn. Raises Busy when that does not come."""
        if not self._places.acquire(blocking=False):
            raise Busy("too many questions wait for their turn")
        try:
            if not self._turn.acquire(timeout=self._seconds):
                raise Busy("a question waited too long for its turn")
            try:
                return call()
            finally:
                self._turn.release()
        finally:
            self._places.release()


_questions = Turns()


def in_turn(view: View) -> View:
    """Answer a view's calls one after another: they take a processor, and a comparison memory.

    In one process they would not be answered any sooner side by side.
    """

    @raises(Busy)
    @wraps(view)
    def waited(**rest: Any) -> Any:
        return _questions.take(lambda: view(**rest))

    return waited  # type: ignore[return-value]
