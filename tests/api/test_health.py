"""Health, without a key."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.services.health import LIMIT_SECONDS, Readiness
from app.stores.sqlite.store import SqliteStore
from tests import mongodb
from tests.processes import Service, free_port, running


@pytest.mark.parametrize(("path", "status"), [("/health/live", "live"), ("/health/ready", "ready")])
def test_health_is_200_without_a_key(any_service: Service, path: str, status: str) -> None:
    answer = any_service.send("GET", path, key=None)
    assert (answer.status, answer.json) == (200, {"status": status})


def test_a_dead_mongodb_is_503_within_seconds(tmp_path: Path) -> None:
    uri = f"mongodb://127.0.0.1:{free_port()}/scoreline?serverSelectionTimeoutMS=300"
    with running(tmp_path, uri) as service:
        assert service.send("GET", "/health/live", key=None).status == 200
        for answer in (
            service.send("GET", "/health/ready", key=None),
            service.post("/v2/a/b/scores", {"prediction_id": "p", "scorer": "s", "value": 1}),
            service.send("POST", "/v2/a/b/scores", b"{}", key="sl_some-other-key"),
            service.send("GET", "/v2/a/b/scores"),
            service.send("GET", "/v2/a/b/scores/x"),
        ):
            assert (answer.status, answer.json) == (503, {"detail": "The store does not answer"})
            assert int(answer.headers["Retry-After"]) > 0
    requests = [line for line in service.log_lines() if line["message"] == "request"]
    assert max(line["milliseconds"] for line in requests) < 8_000


def test_the_version_is_served_without_a_key(any_service: Service) -> None:
    answer = any_service.send("GET", "/version", key=None)
    assert (answer.status, answer.json) == (200, {"version": version("scoreline"), "api": "v2"})


NOT_READY = (503, {"detail": "The store does not answer"})


def ready(service: Service) -> tuple[int, object]:
    answer = service.send("GET", "/health/ready", key=None)
    return answer.status, answer.json


def longest(service: Service) -> float:
    """Return how many seconds the slowest of several probes took."""
    lines = [line for line in service.log_lines() if line.get("path") == "/health/ready"]
    return float(max(line["milliseconds"] for line in lines)) / 1000


def test_an_embedded_store_that_hangs_is_not_ready_until_it_continues(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as service:
        assert ready(service)[0] == 200
        with (tmp_path / "scoreline.db-shm").open("r+b") as file:
            # SQLite's lock bytes of the readers (walformat, section 2.3): a reader waits for them.
            fcntl.lockf(file, fcntl.LOCK_EX, 5, 123)
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda _: ready(service), range(8)))
            assert answers == [NOT_READY] * 8
            assert service.send("GET", "/health/live", key=None).status == 200
        for _ in range(200):
            if ready(service)[0] == 200:
                break
        else:
            raise AssertionError("the store answers, and the service is not ready")
    assert longest(service) < LIMIT_SECONDS + 4


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process, and wait until all of its threads have stopped."""
    process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 60
    states = Path(f"/proc/{process.pid}/task").glob("*/stat")
    for state in states:
        while state.read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline


def test_a_mongodb_server_that_hangs_is_not_ready_until_it_continues(
    tmp_path: Path,
) -> None:
    if mongodb.choice() is None or os.environ.get("SCORELINE_TEST_MONGODB"):
        pytest.skip("no MongoDB server of the test's own that could be made to hang")
    port = free_port()
    server = mongodb.start_server(port, str(tmp_path))
    try:
        uri = mongodb.with_database(mongodb.server_uri(port), "scoreline")
        with running(tmp_path, uri) as service:
            assert ready(service)[0] == 200
            stop(server)
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda _: ready(service), range(4)))
            assert answers == [NOT_READY] * 4
            server.send_signal(signal.SIGCONT)
            deadline = time.monotonic() + 60
            while ready(service)[0] != 200:
                assert time.monotonic() < deadline
        assert longest(service) < LIMIT_SECONDS + 4
    finally:
        server.kill()
        server.wait()


def test_probes_of_a_store_that_hangs_share_one_ping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    answer = threading.Event()

    class Hanging(SqliteStore):
        def ping(self) -> None:
            asked.append(1)
            answer.wait(60)

    monkeypatch.setattr("app.services.health.LIMIT_SECONDS", 0.05)
    readiness = Readiness(Hanging(tmp_path / "none.db"))
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="no answer within"):
            readiness.check()
    answer.set()
    monkeypatch.setattr("app.services.health.LIMIT_SECONDS", 60)
    readiness.check()
    assert len(asked) <= 2  # The one that hung, and the last one where it was answered before.
