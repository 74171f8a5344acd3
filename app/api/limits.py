"""Limits: calls per API key, failures per address, long requests per process."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from functools import wraps
from ipaddress import IPv6Address, ip_network
from typing import Any

from flask import Flask, g, request

from app.api.contract import View, raises
from app.api.state import state
from app.errors import Busy, ClientGone, TooMany
from app.stores.base import ApiKey

FAILURES = (60, 60)
"""How many failures to authenticate an address may have, in how many seconds."""

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
    """Return what counts as one caller: an IPv4 address, or the /64 that an IPv6 address is in."""
    if ":" not in address:
        return address
    try:
        ipv6 = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address[:64]  # A proxy may say anything.
    mapped = ipv6.ipv4_mapped
    return str(mapped or ip_network((ipv6, IPV6_NETWORK), strict=False))


# Long requests: lists, exports, batches, imports, analyses, long polls and large bodies.

PLACE = "scoreline.place"
"""WSGI's environ holds here whose place among the long requests a request has taken."""


def limit_concurrency(view: View) -> View:
    """Let a view's calls take no more than the long requests' share of this process's threads.

    Stands right below `allow`: the key must be known, and the body must not be read before. The
    place is held until the answer is sent or its client is gone. Raises Busy.
    """

    @raises(Busy)
    @wraps(view)
    def limited(**rest: Any) -> Any:
        take_place()
        return view(**rest)

    return limited  # type: ignore[return-value]


def take_place() -> None:
    """Take a place among the long requests, unless this request has one. Raises Busy."""
    environ = request.environ
    if PLACE in environ:
        return
    key: ApiKey | None = g.get("api_key")
    name = key.key_id if key else ""
    state().long_requests.take(name)
    environ[PLACE] = name


def give_place_back(app: Flask, environ: dict[str, Any]) -> None:
    """Give back the place that a request of `app` holds, if it holds one."""
    name = environ.pop(PLACE, None)
    if name is not None:
        app.extensions["scoreline"].long_requests.give_back(name)


WAIT_SECONDS = 30.0
"""How long an analysis waits for the one before it."""

_analysis_lock = threading.Lock()


def one_at_a_time(view: View) -> View:
    """Run one call of these views at a time in this process, to bound processor and memory use.

    In parallel, none of them would finish sooner. Raises Busy and ClientGone.
    """

    @raises(Busy)
    @wraps(view)
    def waited(**rest: Any) -> Any:
        acquire(_analysis_lock, WAIT_SECONDS, "Another analysis takes too long, try again later")
        try:
            return view(**rest)
        finally:
            _analysis_lock.release()

    return waited  # type: ignore[return-value]


def acquire(lock: threading.Lock, seconds: float, message: str) -> None:
    """Acquire `lock`. Raises Busy with `message` after `seconds`, ClientGone when it is gone."""
    check, deadline = client_check(), time.monotonic() + seconds
    while not lock.acquire(timeout=min(seconds, CHECK_SECONDS)):
        if time.monotonic() >= deadline:
            raise Busy(message)
        check()


CHECK_SECONDS = 1.0
"""How long a request works before it looks for its client, and again after that."""


def client_check() -> Callable[[], None]:
    """Return a function that raises ClientGone when this request's client has disconnected.

    It is cheap enough to be called between any two steps: it looks at the socket once in
    CHECK_SECONDS. A client that has ended its side of the connection is taken for gone, as nginx
    does it; a short request never looks.
    """
    connection: socket.socket | None = request.environ.get("gunicorn.socket")
    looked = time.monotonic()

    def check() -> None:
        nonlocal looked
        now = time.monotonic()
        if connection is None or now - looked < CHECK_SECONDS:
            return
        looked = now
        if _is_closed(connection):
            raise ClientGone("the client has disconnected")

    return check


def _is_closed(connection: socket.socket) -> bool:
    """Whether a connection's other side has closed it; what it has sent is left unread."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if not poll.poll(0):
        return False
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
