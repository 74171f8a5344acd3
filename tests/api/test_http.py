"""HTTP over raw sockets: bodies over the limit, expectations, keep-alive, pipelining."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.processes import Service, running

PATH = "/v2/acme/http/scores"
SCORE = json.dumps({"prediction_id": "p", "scorer": "s", "value": 1}).encode()
LENGTH = f"Content-Length: {len(SCORE)}"
CHUNKED = "Transfer-Encoding: chunked"
LIMIT = 100_000
OVER = {"detail": f"The body is over the limit of {LIMIT} bytes"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service of one worker that accepts bodies of up to LIMIT bytes."""
    settings = {"SCORELINE_MAX_BODY_BYTES": str(LIMIT), "WEB_CONCURRENCY": "1"}
    with running(tmp_path_factory.mktemp("small"), **settings) as started:
        yield started


def head(service: Service, *headers: str, path: str = PATH, version: str = "1.1") -> bytes:
    """Return the head of a POST with the administrator's key."""
    lines = [f"POST {path} HTTP/{version}", "Host: x", f"Authorization: Bearer {service.key}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=20)


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one response from a connection: status, headers in lower case, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(1)
        assert piece, f"the connection ended after {data!r}"
        data += piece
    status, *lines = data.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    body = b""
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(int(headers["content-length"]) - len(body))
    return int(status.split()[1]), headers, body


def exchange(service: Service, request: bytes) -> tuple[int, dict[str, str], bytes]:
    with connect(service) as connection:
        connection.sendall(request)
        return read_answer(connection)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_a_content_length_over_the_limit_is_413_before_the_body_is_sent(small: Service) -> None:
    status, headers, body = exchange(small, head(small, f"Content-Length: {10**12}"))
    assert (status, json.loads(body)) == (413, OVER)
    assert headers["content-type"] == "application/json"


def test_a_client_that_sends_a_large_body_still_reads_its_413(small: Service) -> None:
    body = b"x" * (40 * LIMIT)
    request = head(small, f"Content-Length: {len(body)}") + body
    assert exchange(small, request)[0] == 413


def test_a_chunked_body_over_the_limit_is_413_and_not_truncated(small: Service) -> None:
    padding = chunk(b" " * LIMIT) * 3
    request = head(small, CHUNKED) + chunk(SCORE) + padding + chunk(b"")
    status, _, body = exchange(small, request)
    assert (status, json.loads(body)) == (413, OVER)


def test_a_body_of_exactly_the_limit_is_accepted(small: Service) -> None:
    body = SCORE + b" " * (LIMIT - len(SCORE))
    assert exchange(small, head(small, f"Content-Length: {LIMIT}") + body)[0] == 200
    assert exchange(small, head(small, CHUNKED) + chunk(body) + chunk(b""))[0] == 200


def test_a_body_over_the_limit_takes_no_memory(small: Service) -> None:
    before = peak_kilobytes(small)
    with connect(small) as connection:
        connection.sendall(head(small, CHUNKED))
        for _ in range(60):
            connection.sendall(chunk(b" " * 1_000_000))
        connection.sendall(chunk(b""))
        assert read_answer(connection)[0] == 413
    assert peak_kilobytes(small) - before < 20_000


def test_large_bodies_at_the_same_time_are_read_one_after_another(tmp_path: Path) -> None:
    value = b"[" + b",".join([b"[]"] * 400_000) + b"]"
    body = b'{"prediction_id":"p","scorer":"s","value":' + value + b"}"
    settings = {"WEB_CONCURRENCY": "1", "SCORELINE_THREADS": "32"}
    with running(tmp_path, **settings) as service, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.send("POST", PATH, body), range(6)))
        assert [answer.status for answer in answers] == [200] * 6
        assert peak_kilobytes(service) < 200_000


def peak_kilobytes(service: Service) -> int:
    """Return the peak memory of the only worker of a service."""
    (worker,) = service.workers()
    status = Path(f"/proc/{worker}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def test_a_body_shorter_than_its_length_is_400(small: Service) -> None:
    with connect(small) as connection:
        connection.sendall(head(small, f"Content-Length: {len(SCORE) + 5}") + SCORE)
        connection.shutdown(socket.SHUT_WR)
        status, _, body = read_answer(connection)
    assert (status, json.loads(body)) == (
        400,
        {"detail": "The body is shorter than its Content-Length"},
    )


@pytest.mark.parametrize("head_", [CHUNKED, "Content-Length: 500"])
def test_a_client_that_disconnects_while_sending_is_not_logged_as_a_failure(
    tmp_path: Path, head_: str
) -> None:
    with running(tmp_path) as service:
        with connect(service) as connection:
            connection.sendall(head(service, head_) + b"30\r\nabc")
            connection.shutdown(socket.SHUT_WR)
            status, _, body = read_answer(connection)
        with connect(service) as connection:
            connection.sendall(head(service, head_) + b"30\r\nabc")
            reset = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        assert service.post(PATH, json.loads(SCORE)).status == 200
    assert (status, list(json.loads(body))) == (400, ["detail"])
    assert [line for line in service.log_lines() if line["level"] == "error"] == []


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"3\r\nabcdef\r\n0\r\n\r\n"])
def test_broken_chunks_are_400_in_json(service: Service, chunks: bytes) -> None:
    status, _, body = exchange(service, head(service, CHUNKED) + chunks)
    assert (status, json.loads(body)) == (400, {"detail": "There was an error parsing the body"})


def test_a_chunked_body_is_accepted(service: Service) -> None:
    request = head(service, CHUNKED) + chunk(SCORE[:10]) + chunk(SCORE[10:]) + chunk(b"")
    assert exchange(service, request)[0] == 200


def test_expect_100_continue_is_answered_before_the_body(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(head(service, LENGTH, "Expect: 100-continue"))
        assert read_answer(connection)[0] == 100
        connection.sendall(SCORE)
        assert read_answer(connection)[0] == 200


def test_http_1_0_is_answered_and_closed(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(head(service, LENGTH, version="1.0") + SCORE)
        assert read_answer(connection)[0] == 200
        assert connection.recv(1) == b""


def test_a_connection_is_kept_alive(service: Service) -> None:
    with connect(service) as connection:
        for _ in range(3):
            connection.sendall(head(service, LENGTH) + SCORE)
            assert read_answer(connection)[0] == 200


def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    good, bad = head(service, LENGTH) + SCORE, head(service, "Content-Length: 2") + b"{}"
    with connect(service) as connection:
        connection.sendall(good + bad + good)
        assert [read_answer(connection)[0] for _ in range(3)] == [200, 422, 200]


def test_a_request_without_a_key_leaves_the_connection_usable(service: Service) -> None:
    body = b"x" * 50_000
    refused = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with connect(service) as connection:
        connection.sendall(refused + body)
        assert read_answer(connection)[0] == 401
        connection.sendall(head(service, LENGTH) + SCORE)
        assert read_answer(connection)[0] == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /health/live HTTP/1.1\r\nHost x\r\n\r\n", 400),
        (b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ],
)
def test_broken_http_is_refused_by_gunicorn(service: Service, request_: bytes, status: int) -> None:
    found, headers, body = exchange(service, request_)
    assert (found, headers["connection"]) == (status, "close")
    assert b"Traceback" not in body


def test_the_first_of_two_content_types_is_used(service: Service) -> None:
    types = ["Content-Type: text/plain", "Content-Type: application/json"]
    assert exchange(service, head(service, LENGTH, *types) + SCORE)[0] == 422
    assert exchange(service, head(service, LENGTH, *types[::-1]) + SCORE)[0] == 200


def test_unknown_and_duplicate_parameters_and_headers_do_no_harm(service: Service) -> None:
    headers = ["X-Unknown: 1", "X-Unknown: 2", "X_Odd: 1", "Accept: a/b", "Accept: text/html"]
    headers += ["SCRIPT_NAME: /v2", "PATH_INFO: /", "X-Forwarded-Proto: https"]
    headers += ["X-Forwarded-Protocol: http", "X-Forwarded-For: 1.2.3.4", "Forwarded: for=x"]
    path = f"{PATH}?x=1&x=2&prediction_id=z&%00=%ff&;;&="
    assert exchange(service, head(service, LENGTH, *headers, path=path) + SCORE)[0] == 200


def test_entity_and_project_may_be_long_up_to_the_request_line(service: Service) -> None:
    longest = "e" * 4_000
    request = head(service, LENGTH, path=f"/v2/{longest}/{longest}/scores") + SCORE
    assert exchange(service, request)[0] == 200
