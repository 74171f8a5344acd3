"""Clients that are slow, idle or many: others are answered meanwhile."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.api.test_http import PATH, SCORE, connect, exchange, head, read_answer
from tests.processes import Service, running

THREADS = 4
CONNECTIONS = 60
MORE_THAN_THREADS = 3 * THREADS
LIST = "/v2/acme/long/scores"
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
        for part in (complete(few)[:20], large):
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


def deaf(service: Service, request: bytes) -> socket.socket:
    """A client that sends a request and reads nothing.

    Its segments are small, as in most networks: on loopback the system takes megabytes for it.
    """
    connection = socket.socket()
    connection.settimeout(60)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    connection.connect(("127.0.0.1", service.port))
    connection.sendall(request)
    return connection


def rest_of(connection: socket.socket) -> bytes:
    """What a client that was deaf has still to read, until the service closes."""
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def test_strangers_that_do_not_read_their_answers_take_no_thread(few: Service) -> None:
    asset = "/docs/swagger-ui-bundle.js"
    wanted = few.send("GET", asset).body
    request = f"GET {asset} HTTP/1.1\r\nHost: x\r\n"
    with ExitStack() as stack:
        for ending in ("", "Connection: close\r\n"):
            slow = [
                stack.enter_context(deaf(few, f"{request}{ending}\r\n".encode()))
                for _ in range(MORE_THAN_THREADS)
            ]
            for _ in range(3):
                assert_answers(few)
        for connection in slow:  # They are waited for all the same.
            assert rest_of(connection).endswith(b"\r\n\r\n" + wanted)


def test_strangers_that_send_request_after_request_and_read_nothing_take_no_thread(
    few: Service,
) -> None:
    many = b"POST /v2/a/b/scores HTTP/1.1\r\nHost: x\r\n%b\r\n{}"
    with ExitStack() as stack:
        for wish in (b"Content-Length: 2\r\n", b"Content-Length: 2\r\nExpect: 100-continue\r\n"):
            for _ in range(MORE_THAN_THREADS):
                connection = stack.enter_context(deaf(few, many % wish))
                connection.setblocking(False)
                with suppress(BlockingIOError, ConnectionError):
                    while connection.send((many % wish) * 100):
                        pass
            assert_answers(few)


@pytest.fixture(scope="module")
def long_list(few: Service) -> bytes:
    """A request for a list that is far more than the systems on both sides take unread."""
    value = {"prediction_id": "p", "scorer": "s", "value": "x" * 100_000}
    assert few.post(f"{LIST}/batch", {"scores": [value] * 70}).status == 200
    return (
        f"GET {LIST} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {few.key}\r\n\r\n"
    ).encode()


def test_clients_that_do_not_read_their_lists_keep_no_more_than_half_of_the_threads(
    few: Service, long_list: bytes
) -> None:
    with ExitStack() as stack:
        for _ in range(MORE_THAN_THREADS):
            stack.enter_context(deaf(few, long_list))
        for _ in range(3):
            assert_answers(few)


def test_a_client_that_reads_its_list_slowly_gets_all_of_it(few: Service, long_list: bytes) -> None:
    lines = few.send("GET", LIST).body
    with deaf(few, long_list) as slow:
        assert_answers(few)
        _, _, chunks = rest_of(slow).partition(b"\r\n\r\n")
    assert chunks.endswith(b"\r\n0\r\n\r\n")
    assert chunks.count(b'"score_id"') == lines.count(b'"score_id"')


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
