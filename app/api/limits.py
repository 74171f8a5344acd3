"""Limits: calls per API key, failed authentications per address, long requests per process."""

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
from app.api.parsing import SharedLock
from app.api.state import state
from app.errors import Busy, ClientGone, TooMany
from app.stores.model import ApiKey

FAILURES = (60, 60)
"""How many failed authentications are allowed per address, and in how many seconds."""

IPV6_NETWORK = 64
"""How many bits of an IPv6 address identify a caller; the rest is the owner's choice (RFC 6177)."""


def limit(key: ApiKey) -> None:
    """Count one call of `key`, whatever its outcome. Raises TooMany over the limit."""
    calls = state().calls
    if calls is None:
        return
    wait = calls.take(key.key_id)
    if wait:
        raise TooMany("Too many requests with this API key", wait)


def limit_failures() -> None:
    """Count one failed authentication for the caller's address. Raises TooMany over the limit.

    This is called after the key was checked, so a valid key is never limited by its address.
    """
    wait = state().failures.take(network(request.remote_addr or ""))
    if wait:
        raise TooMany("Too many failures to authenticate from this address", wait)


def network(address: str) -> str:
    """Return what identifies a caller: an IPv4 address, or the /64 network of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        ipv6 = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address[:64]  # A proxy may send anything.
    mapped = ipv6.ipv4_mapped
    return str(mapped or ip_network((ipv6, IPV6_NETWORK), strict=False))


# Long requests: lists, exports, batches, imports, analyses, long polls and large bodies.

LONG_REQUEST = "scoreline.long_request"
"""The key of WSGI's environ that holds the name under which a request counts as a long one."""


def limit_concurrency(view: View) -> View:
    """Count a view's calls as long requests, which may only use a share of the threads.

    Goes directly below `allow`: the key must be known, and the body must not have been read. A
    request counts until its response is sent or its client is gone. Raises Busy.
    """

    @raises(Busy)
    @wraps(view)
    def limited(**rest: Any) -> Any:
        begin_long_request()
        return view(**rest)

    return limited  # type: ignore[return-value]


def begin_long_request() -> None:
    """Count this request as a long one, once. Raises Busy if too many are running."""
    environ = request.environ
    if LONG_REQUEST in environ:
        return
    key: ApiKey | None = g.get("api_key")
    name = key.key_id if key else ""
    state().long_requests.acquire(name)
    environ[LONG_REQUEST] = name


def end_long_request(app: Flask, environ: dict[str, Any]) -> None:
    """Stop counting a request of `app` as a long one, if it was."""
    name = environ.pop(LONG_REQUEST, None)
    if name is not None:
        app.extensions["scoreline"].long_requests.release(name)


WAIT_SECONDS = 30.0
"""How long an analysis waits for the previous one."""

_analysis_lock = threading.Lock()


def one_at_a_time(view: View) -> View:
    """Run one call at a time of all such views in this process, to bound CPU and memory use.

    In parallel, they would not finish sooner. Raises Busy and ClientGone.
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


def acquire(lock: threading.Lock | SharedLock, seconds: float, message: str) -> None:
    """Acquire `lock`. Raises Busy with `message` after `seconds`, and ClientGone."""
    check, deadline = client_check(), time.monotonic() + seconds
    while not lock.acquire(timeout=min(seconds, CHECK_SECONDS)):
        if time.monotonic() >= deadline:
            raise Busy(message)
        check()


CHECK_SECONDS = 1.0
"""How often a long request checks whether its client is still connected."""


def client_check() -> Callable[[], None]:
    """Return a function that raises ClientGone if this request's client has disconnected.

    The function can be called between any two steps of the work: it checks the socket at most once
    every CHECK_SECONDS. A client that has shut down its side of the connection counts as gone, as
    in nginx.
    """
    connection: socket.socket | None = request.environ.get("gunicorn.socket")
    checked = time.monotonic()

    def check() -> None:
        nonlocal checked
        now = time.monotonic()
        if connection is None or now - checked < CHECK_SECONDS:
            return
        checked = now
        if _is_closed(connection):
            raise ClientGone("the client has disconnected")

    return check


def _is_closed(connection: socket.socket) -> bool:
    """Return whether the peer has closed a connection; unread data stays unread."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if not poll.poll(0):
        return False
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
