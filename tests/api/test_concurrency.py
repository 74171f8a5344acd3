"""Long requests use only a share of the threads, and are counted until they end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask import Flask

from app.api import limits
from app.errors import Busy, ClientGone
from app.services.limits import ConcurrencyLimit
from tests.api.test_auth import create
from tests.processes import ADMIN_KEY, Answer, Service, running

PATH = "/v2/acme/long/scores"
SCORE = {"prediction_id": "p", "scorer": "s", "value": 1, "evaluation_run_id": "r"}
LARGE = {**SCORE, "value": "x" * 100_000}
SECONDS = 30.0


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run one worker with eight threads: four for long requests, two of them per key."""
    settings = {"WEB_CONCURRENCY": "1", "SCORELINE_THREADS": "8"}
    with running(tmp_path_factory.mktemp("narrow"), **settings) as service:
        for part in ("a", "b"):
            large = [{**LARGE, "prediction_id": f"{part}{number}"} for number in range(80)]
            assert service.post(f"{PATH}/batch", {"scores": large}).status == 200
        yield service


@pytest.fixture
def keys(narrow: Service) -> list[str]:
    """Return three keys that may read and write everywhere."""
    return [create(narrow, "write", "*")[1] for _ in range(3)]


def begin(service: Service, method: str, path: str, key: str, *headers: str) -> socket.socket:
    """Send the head of a request, on a connection with a small receive buffer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(SECONDS)
    connection.connect(("127.0.0.1", service.port))
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", *headers]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


def read_slowly(service: Service, path: str, key: str) -> socket.socket:
    """Read only the status line of a long response."""
    connection = begin(service, "GET", path, key)
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def head_of(service: Service, path: str) -> bytes:
    """Read the head of a response, and wait until its connection is closed."""
    with begin(service, "GET", path, ADMIN_KEY, "Connection: close") as connection:
        return b"".join(iter(lambda: connection.recv(4096), b"")).partition(b"\r\n\r\n")[0]


def until_accepted(service: Service, path: str, key: str) -> Answer:
    """Repeat a request until it is not refused as busy."""
    deadline = time.monotonic() + SECONDS
    while (answer := service.send("GET", path, key=key)).status == 503:
        assert time.monotonic() < deadline, "the requests before never ended"
    return answer


def assert_refused(answer: Answer) -> None:
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.json["detail"].startswith("Too many long requests")


def assert_short_requests_are_answered(service: Service, key: str) -> None:
    for path in ("/health/live", "/health/ready", "/openapi.json", "/version"):
        assert service.send("GET", path, key=None).status == 200
    assert service.send("GET", "/metrics").status == 200
    score_id = service.post(PATH, SCORE, key=key).json["score_id"]
    assert service.send("GET", f"{PATH}/{score_id}", key=key).status == 200
    assert service.send("DELETE", f"{PATH}?score_ids={score_id}", key=ADMIN_KEY).status == 200


@pytest.mark.parametrize("route", ["", "/export", "/export?format=csv"])
def test_slow_readers_of_one_key_leave_room_for_others(
    narrow: Service, keys: list[str], route: str
) -> None:
    one, other, _ = keys
    with ExitStack() as readers:
        for _ in range(2):
            readers.enter_context(read_slowly(narrow, f"{PATH}{route}", one))
        for long in ("", "/summary", "/export", "/gate?run=r&scorer=s&min=0"):
            assert_refused(narrow.send("GET", f"{PATH}{long}", key=one))
        for documents in ("predictions", "evaluation_runs"):
            path = PATH.replace("scores", documents)
            assert_refused(narrow.send("GET", path, key=one))
        for own in ("projects", "acme/long/runs", "acme/long/scorers", "acme/long/deletions"):
            assert_refused(narrow.send("GET", f"/v1/{own}", key=one))
        assert_refused(narrow.post(f"{PATH}/batch", {"scores": [SCORE]}, key=one))
        assert_short_requests_are_answered(narrow, one)
        assert narrow.send("GET", f"{PATH}/summary?prediction_id=none", key=other).status == 200
    assert until_accepted(narrow, f"{PATH}?limit=1", one).status == 200


def test_slow_readers_of_many_keys_leave_threads_for_short_requests(
    narrow: Service, keys: list[str]
) -> None:
    with ExitStack() as readers:
        for key in keys[:2] * 2:
            readers.enter_context(read_slowly(narrow, PATH, key))
        assert_refused(narrow.send("GET", f"{PATH}?limit=1", key=keys[2]))
        assert_short_requests_are_answered(narrow, keys[2])
    assert until_accepted(narrow, f"{PATH}?limit=1", keys[2]).status == 200


@pytest.mark.parametrize("route", ["/batch", "/import", ""])
def test_slow_senders_of_large_bodies_are_long_requests(
    narrow: Service, keys: list[str], route: str
) -> None:
    one = keys[0]
    size = 300_000
    with ExitStack() as senders:
        deadline = time.monotonic() + SECONDS
        # The GET may be accepted before a sender, which is then refused: add another.
        while b" 503 " not in head_of(narrow, f"{PATH}?limit=1"):
            assert time.monotonic() < deadline, "the senders did not count as long requests"
            length = f"Content-Length: {size}"
            sender = begin(narrow, "POST", f"{PATH}{route}", ADMIN_KEY, length)
            senders.enter_context(sender)
        assert_refused(narrow.post(PATH, {**SCORE, "value": "x" * size}))
        assert_short_requests_are_answered(narrow, one)
    assert until_accepted(narrow, f"{PATH}?limit=1", ADMIN_KEY).status == 200


def test_no_response_counts_as_running_after_its_end(narrow: Service, keys: list[str]) -> None:
    one = keys[0]
    refused = [
        ("GET", f"{PATH}?limit=x", 422),
        ("GET", f"{PATH}/summary?group_by=colour", 422),
        ("GET", f"{PATH}/export?format=jsonl&columns=a", 422),
        ("GET", f"{PATH}/compare?baseline=none&candidate=r", 404),
        ("POST", f"{PATH}/batch", 422),
        ("HEAD", PATH, 200),
        ("GET", f"{PATH}?limit=1", 200),
        ("GET", f"{PATH}/summary", 200),
    ]
    for method, path, status in refused * 3:
        deadline = time.monotonic() + SECONDS
        # A request stops counting just after its response is sent.
        while (found := narrow.send(method, path, key=one).status) == 503:
            assert time.monotonic() < deadline, path
        assert found == status, path


def test_a_long_request_ends_when_the_application_fails(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    state = app.extensions["scoreline"]
    app.after_request(fail)
    monkeypatch.setattr(state.store, "list_score_ids", fail)
    client = app.test_client()
    for _ in range(3 * state.long_requests.max_running):
        client.get(PATH, headers={"Authorization": f"Bearer {ADMIN_KEY}"}).close()
    assert not state.long_requests._running


def test_one_thread_takes_long_requests_too(tmp_path: Path) -> None:
    with running(tmp_path, WEB_CONCURRENCY="1", SCORELINE_THREADS="1") as service:
        assert service.post(f"{PATH}/batch", {"scores": [SCORE]}).status == 200
        assert service.send("GET", PATH).status == 200


@pytest.mark.parametrize(
    ("threads", "most", "most_of_one"), [(1, 1, 1), (2, 1, 1), (4, 2, 1), (16, 8, 4), (64, 32, 16)]
)
def test_long_requests_take_half_of_the_threads_and_a_key_half_of_that(
    threads: int, most: int, most_of_one: int
) -> None:
    limit = ConcurrencyLimit(threads)
    for _ in range(most_of_one):
        limit.acquire("one")
    with pytest.raises(Busy):
        limit.acquire("one")
    for number in range(most - most_of_one):
        limit.acquire(f"other {number}")
    with pytest.raises(Busy):
        limit.acquire("next")
    limit.release("one")
    limit.acquire("next")


# Analyses


def test_analyses_run_one_at_a_time(app: Flask) -> None:
    at_once, most = 0, 0

    @limits.one_at_a_time
    def analysis() -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        threading.Event().wait(0.01)
        at_once -= 1
        return "figures"

    def call(_: int) -> str:
        with app.test_request_context():
            return analysis()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(8))) == ["figures"] * 8
    assert most == 1


def test_a_failed_analysis_lets_the_next_one_run(app: Flask) -> None:
    @limits.one_at_a_time
    def analysis(divisor: int) -> float:
        return 1 / divisor

    with app.test_request_context():
        with pytest.raises(ZeroDivisionError):
            analysis(divisor=0)
        assert analysis(divisor=1) == 1


def test_waiting_for_a_lock_ends_with_busy(app: Flask) -> None:
    with limits._analysis_lock, app.test_request_context(), pytest.raises(Busy, match="too long"):
        limits.acquire(limits._analysis_lock, 0.05, "takes too long")


def test_waiting_for_a_lock_ends_when_the_client_disconnects(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHECK_SECONDS", 0.0)
    client, server = socket.socketpair()
    with server, app.test_request_context(environ_overrides={"gunicorn.socket": server}):
        check = limits.client_check()
        check()
        client.send(b"G")  # The next request, which is pipelined: the client is there.
        check()
        server.recv(1)
        client.close()
        with pytest.raises(ClientGone):
            check()
        with limits._analysis_lock, pytest.raises(ClientGone):
            limits.acquire(limits._analysis_lock, SECONDS, "takes too long")


@pytest.mark.parametrize(
    "route",
    [
        f"{PATH}/summary",
        f"{PATH}/summary?group_by=scorer",
        f"{PATH}/compare?baseline=r&candidate=r",
        f"{PATH}/gate?run=r&scorer=s&min=0",
        f"{PATH}/export?format=csv",
        PATH,
        "/v2/acme/long/export",
        "/v1/projects",
        "/v1/acme/long/runs?model=none",
        "/v1/acme/long/predictions?run=r",
    ],
)
def test_work_for_a_client_that_has_gone_ends(
    app: Flask, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    monkeypatch.setattr(limits, "CHECK_SECONDS", 0.0)
    asked = app.test_client()
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    assert asked.post(PATH, json=SCORE, headers=headers).status_code == 200
    client, server = socket.socketpair()
    gone = {"gunicorn.socket": server}
    with server, client:
        answer = asked.get(route, headers=headers, environ_overrides=gone)
        assert answer.status_code == 200
        client.close()
        answer = asked.get(route, headers=headers, environ_overrides=gone)
        assert answer.status_code == 499
