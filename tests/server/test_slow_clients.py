"""Clients that are slow, idle or many: others are answered meanwhile."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.api.test_http import PATH, SCORE, connect, exchange, head, read_answer
from tests.processes import Service, running

THREADS = 4
CONNECTIONS = 60
MORE_THAN_THREADS = 3 * THREADS
LARGE = 200_000
"""A body that is not put together as it comes."""


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of one worker with few threads and room for few connections."""
    settings = {
        "WEB_CONCURRENCY": "1",
        "SCORELINE_THREADS": str(THREADS),
        "GUNICORN_CMD_ARGS": f"--worker-connections {CONNECTIONS}",
    }
    with running(tmp_path_factory.mktemp("few"), **settings) as started:
        yield started


def complete(service: Service) -> bytes:
    return head(service, f"Content-Length: {len(SCORE)}") + SCORE


def assert_answers(service: Service) -> None:
    """Fail unless small and large requests of others are answered."""
    for body in (SCORE, SCORE + b" " * LARGE):
        assert exchange(service, head(service, f"Content-Length: {len(body)}") + body)[0] == 200


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(lambda service: complete(service)[:20], id="amid the head"),
        pytest.param(lambda service: complete(service)[:-5], id="amid a small body"),
    ],
)
def test_clients_that_stop_sending_take_no_thread(few: Service, part: object) -> None:
    assert callable(part)
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(few)) for _ in range(MORE_THAN_THREADS)]
        for connection in slow:
            connection.sendall(part(few))
        assert_answers(few)
        for connection in slow:  # They are waited for all the same.
            connection.sendall(complete(few)[len(part(few)) :])
            assert read_answer(connection)[0] == 200


def test_a_request_that_comes_a_byte_at_a_time_is_answered(few: Service) -> None:
    with connect(few) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in complete(few):
            connection.sendall(bytes([byte]))
        assert read_answer(connection)[0] == 200


def test_large_bodies_that_stop_coming_take_no_more_than_half_of_the_threads(
    few: Service,
) -> None:
    body = SCORE + b" " * LARGE
    request = head(few, f"Content-Length: {len(body)}") + body
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(few)) for _ in range(MORE_THAN_THREADS)]
        for connection in slow:
            connection.sendall(request[:-5])
        for _ in range(3):
            assert few.post(PATH, json.loads(SCORE)).status == 200
        for connection in slow:
            connection.sendall(request[-5:])
        for connection in slow:
            assert read_answer(connection)[0] == 200


def test_a_request_that_is_not_whole_in_time_is_408(few: Service) -> None:
    large = head(few, "Content-Length: 200000") + SCORE
    with ExitStack() as stack:
        for part in (complete(few)[:20], complete(few)[:-5], large):
            connection = stack.enter_context(connect(few))
            connection.settimeout(60)
            connection.sendall(part)
            stack.callback(assert_is_refused, connection)


def assert_is_refused(connection: socket.socket) -> None:
    status, headers, body = read_answer(connection)
    assert status == 408
    assert headers["content-type"] == "application/json"
    assert list(json.loads(body)) == ["detail"]
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""


def test_more_idle_connections_than_there_is_room_for_keep_nobody_out(few: Service) -> None:
    with ExitStack() as stack:
        for _ in range(3 * CONNECTIONS):
            stack.enter_context(connect(few))
        assert_answers(few)
        used = stack.enter_context(connect(few))
        for _ in range(3 * CONNECTIONS):
            stack.enter_context(connect(few))
            used.sendall(complete(few))
            assert read_answer(used)[0] == 200  # Who is served is not given up for who is idle.


def test_a_client_that_does_not_read_its_answer_takes_one_thread_for_a_while(
    tmp_path: Path,
) -> None:
    with running(tmp_path, WEB_CONCURRENCY="1", SCORELINE_THREADS="2") as service:
        value = {"prediction_id": "p", "scorer": "s", "value": "x" * 100_000}
        service.post(f"{PATH}/batch", {"scores": [value] * 70})
        with connect(service) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.key}\r\n\r\n"
            deaf.sendall(line.encode())
            assert deaf.recv(1) == b"H"
            for _ in range(3):
                assert service.post(PATH, json.loads(SCORE)).status == 200


def test_a_connection_that_is_closed_by_its_client_is_forgotten(few: Service) -> None:
    (worker,) = few.workers()
    files = Path(f"/proc/{worker}/fd")
    before = len(list(files.iterdir()))
    for _ in range(30):
        with connect(few) as connection:
            connection.sendall(complete(few))
            assert read_answer(connection)[0] == 200
    few.send("GET", "/health/live")
    assert len(list(files.iterdir())) < before + 10
