"""Limits: calls per API key, failures per address, long requests per process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from ipaddress import IPv6Address, ip_network
from typing import Any

from flask import request

from app.api.contract import View, raises
from app.api.state import state
from app.errors import Busy, TooMany
from app.stores.base import ApiKey

FAILURES = (60, 60)
"""So many failures to authenticate, in so many seconds, are told at once."""

IPV6_NETWORK = 64
"""Bits of an IPv6 address that count: the rest is free for its owner to choose (RFC 6177)."""


def limit(key: ApiKey) -> None:
    """Count one call of `key`, whatever becomes of it. Raises TooMany when it has had its share."""
    calls = state().calls
    if calls is None:
        return
    wait = calls.take(key.key_id)
    if wait:
        raise TooMany("Too many requests with this API key", wait)


def limit_failures() -> None:
    """Count one failure to authenticate of the caller's address. Raises TooMany.

    The key was checked before: a valid one is answered, whatever else comes from its address.
    """
    wait = state().failures.take(network(request.remote_addr or ""))
    if wait:
        raise TooMany("Too many failures to authenticate from this address", wait)


def network(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 that an IPv6 address is in."""
    if ":" not in address:
        return address
    try:
        ipv6 = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address[:64]  # A proxy may say anything.
    mapped = ipv6.ipv4_mapped
    return str(mapped or ip_network((ipv6, IPV6_NETWORK), strict=False))


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
