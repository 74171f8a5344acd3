"""Follow the changes of a project over HTTP: cursors, waits, and what ends a wait."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.processes import Answer, Service, running

SCORES = "/v2/acme/changes/scores"
SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Service]:
    """Run one worker with four threads, where a key may have one long request."""
    with running(tmp_path, WEB_CONCURRENCY="1", SCORELINE_THREADS="4") as service:
        yield service


def changes(service: Service, query: str) -> tuple[list[str], str]:
    """Return the ids of the scores after a cursor, and the next cursor."""
    answer = service.send("GET", f"{SCORES}/changes?{query}")
    assert answer.status == 200, answer.body
    ids = [json.loads(line)["score_id"] for line in answer.body.splitlines()]
    return ids, answer.headers["Scoreline-Cursor"]


def poll(service: Service) -> socket.socket:
    """Start a wait of 30 seconds for a score, and return when the service waits."""
    head = f"GET {SCORES}/changes?wait=30 HTTP/1.1\r\nHost: x\r\n"
    for _ in range(100):
        connection = socket.create_connection(("127.0.0.1", service.port), timeout=60)
        connection.sendall(f"{head}Authorization: Bearer {service.key}\r\n\r\n".encode())
        statuses: list[int] = []
        while not select.select([connection], [], [], 0)[0]:
            statuses.append(service.send("GET", f"{SCORES}?limit=1").status)
            if statuses[-5:] == [503] * 5:
                return connection
        # Another long request was faster, and this one was refused.
        connection.close()
    raise AssertionError("the service never waits")


def until(service: Service, status: int) -> Answer:
    """Repeat a long request until it gets `status`, for 20 seconds at most."""
    for _ in range(400):
        if (answer := service.send("GET", f"{SCORES}?limit=1")).status == status:
            return answer
        threading.Event().wait(0.05)
    raise AssertionError(f"no answer was {status}")


def test_every_score_is_read_once_and_in_order(service: Service) -> None:
    _, cursor = changes(service, "")
    added = [service.post(SCORES, SCORE).json["score_id"] for _ in range(5)]
    seen: list[str] = []
    while page := changes(service, f"cursor={cursor}&limit=2"):
        ids, cursor = page
        if not ids:
            break
        assert len(ids) <= 2
        seen += ids
    assert seen == added
    assert changes(service, "cursor=start")[0][-5:] == added


def test_a_wait_ends_with_the_first_score(service: Service) -> None:
    _, cursor = changes(service, "")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(changes, service, f"cursor={cursor}&wait=30")
        added = service.post(SCORES, SCORE).json["score_id"]
        assert waiting.result(60)[0] == [added]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("cursor=nonsense", 422),
        ("cursor=0123456789abcdef-1", 410),
        ("wait=31", 422),
        ("wait=-1", 422),
        ("limit=0", 422),
        ("limit=1001", 422),
        ("after=x", 422),
    ],
)
def test_a_wrong_cursor_or_wait_is_refused(service: Service, query: str, status: int) -> None:
    assert service.send("GET", f"{SCORES}/changes?{query}").status == status


def test_a_stop_ends_a_wait_with_an_answer(lone: Service) -> None:
    with poll(lone) as connection:
        lone.process.terminate()
        assert lone.process.wait(timeout=20) == 0  # The wait itself would take 30 seconds.
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"Scoreline-Cursor: " in answer


def test_a_wait_ends_when_its_client_is_gone(lone: Service) -> None:
    poll(lone).close()
    assert until(lone, 200).body == b""
