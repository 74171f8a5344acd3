"""Allow only connections to loopback, with an audit hook of Python."""

from __future__ import annotations

import functools
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
# Python's audit events for connections, sending and look-ups, and the position of the address.
EVENTS = {
    "socket.connect": 1,  # connect and connect_ex
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
}
_watches: list[list[str]] = []


class Foreign(AssertionError):
    """A connection to another machine. It is no OSError, which a client would handle."""


def _host(address: Any) -> str | None:
    """Return the host of an address, or None for a local socket."""
    host = address[0] if isinstance(address, tuple) else address
    return host.decode() if isinstance(host, bytes) else host


def _see(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches or event not in EVENTS:
        return
    if isinstance(arguments[0], socket.socket) and arguments[0].family == socket.AF_UNIX:
        return
    host = _host(arguments[EVENTS[event]])
    if host is not None and host not in LOOPBACK:
        for tried in _watches:
            tried.append(f"{event} {host}")
        raise Foreign(f"{event} {host}")


@functools.cache
def _install() -> None:
    """Install the audit hook once; it cannot be removed, and does nothing outside of blocks.

    Unlike a patched `socket.socket.connect`, it also sees calls through earlier references.
    """
    sys.addaudithook(_see)


@contextmanager
def loopback_only() -> Iterator[list[str]]:
    """Refuse all other addresses during the block, in all threads; yield the list of attempts."""
    _install()
    tried: list[str] = []
    _watches.append(tried)
    try:
        yield tried
    finally:
        _watches[:] = [watch for watch in _watches if watch is not tried]
