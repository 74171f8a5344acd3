"""Who is given up: nobody without need, and the slowest first."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from gunicorn.config import Config

from app.server.connections import BODY_SECONDS, HEAD_SECONDS, Connection
from app.server.patience import READ_SECONDS, give_up_late, give_up_slowest

NOW = 1000.0


@pytest.fixture
def connections() -> Iterator[list[Connection]]:
    """Five connections; a thread waits for each of the last four to read, the longer the later."""
    pairs = [socket.socketpair() for _ in range(5)]
    made = [Connection(ours, "", "") for ours, _ in pairs]
    for number, connection in enumerate(made):
        connection.waits_since = NOW - number * 2 * READ_SECONDS if number else None
    yield made
    for pair in pairs:
        for end in pair:
            end.close()


@pytest.mark.parametrize(
    ("most", "given_up"),
    [(4, []), (3, [4]), (2, [3, 4]), (1, [2, 3, 4])],
)
def test_where_too_many_threads_wait_the_slowest_readers_are_given_up(
    connections: list[Connection], most: int, given_up: list[int]
) -> None:
    give_up_slowest(connections, most, NOW)
    assert [each for each, connection in enumerate(connections) if connection.is_late] == given_up
    for number in given_up:
        with pytest.raises(BrokenPipeError):
            connections[number].sock.send(b"x")


def test_who_reads_anything_within_a_second_is_not_given_up(connections: list[Connection]) -> None:
    for connection in connections:
        connection.waits_since = NOW - READ_SECONDS / 2
    give_up_slowest(connections, 1, NOW)
    assert not any(connection.is_late for connection in connections)


@pytest.fixture
def cfg() -> Config:
    """Gunicorn's own settings."""
    return Config()


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        (b"POST /v2/a/b/sc", HEAD_SECONDS),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", HEAD_SECONDS + BODY_SECONDS),
    ],
    ids=["head", "body"],
)
def test_a_head_and_then_a_small_body_have_their_time_and_no_more(
    sent: bytes, seconds: float, cfg: Config
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours, ("127.0.0.1", 1), ("127.0.0.1", 2))
        before = time.monotonic()
        theirs.sendall(sent)
        connection.receive()
        after = time.monotonic()
        assert connection.take_request(cfg) is None
        connection.rest(cfg.keepalive)
        give_up_late([connection], before + seconds)
        assert not connection.is_late
        give_up_late([connection], after + seconds + 0.001)
        assert connection.is_late
