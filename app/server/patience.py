"""Who is given up: clients that are late, that keep threads from others, or are one too many."""

from __future__ import annotations

from collections.abc import Iterable

from app.server.connections import LINGER_SECONDS, Connection

READ_SECONDS = 1.0
"""How long a client may take for a part of a list before it may have to make way for others."""


def give_up_late(connections: Iterable[Connection], now: float) -> None:
    """Give up those whose time is over."""
    for connection in connections:
        if connection.deadline is not None and connection.deadline < now:
            connection.give_up()


def give_up_slowest(connections: Iterable[Connection], most: int, now: float) -> None:
    """Give up who reads slowest, where threads wait for more clients than `most`."""
    waits = [(each.waits_since, each) for each in connections]
    since = sorted((since, id(each), each) for since, each in waits if since is not None)
    for began, _, connection in since[:-most]:
        if began < now - READ_SECONDS:
            connection.give_up()


def give_up_longest_owed(connections: Iterable[Connection]) -> None:
    """Give up the one that has been owed something for longest."""
    owed = [each for each in connections if each.deadline is not None]
    if owed:
        min(owed, key=lambda connection: connection.deadline or 0.0).give_up()


def wait_shortly(connections: Iterable[Connection], now: float) -> None:
    """At the end of a worker: wait no longer than shortly for requests that are not whole."""
    for connection in connections:
        if connection.deadline is not None and not connection.answer:
            connection.deadline = min(connection.deadline, now + LINGER_SECONDS)
