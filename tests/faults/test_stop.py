"""SIGTERM under load: every request that was accepted is answered, and no connection is reset."""

from __future__ import annotations

import http.client
import random
from pathlib import Path

import pytest

from tests.faults.load import Load, count, post, read_back, report
from tests.processes import Service, running
from tests.test_start import wait_for_log

pytestmark = pytest.mark.faults

ROUNDS = 5
SENT = {"prediction_id": "idle", "scorer": "s", "value": 1}


def test_sigterm_under_load_answers_what_it_accepted_and_resets_no_connection(
    tmp_path: Path,
) -> None:
    loads = []
    with running(tmp_path) as service:
        for number in range(ROUNDS):
            with Load(service, f"load-{number}") as load:
                load.wait_for(acknowledged=random.randint(1, 500))
                assert service.stop() == 0
            loads.append(load)
            # A client that was told to close connects anew, and is refused: nobody listens.
            assert set(load.breaks) <= {"ConnectionRefusedError"}
            service.start_again()
        stored = {score["prediction_id"] for score in read_back(service)}
        # Nothing is stored whose answer did not arrive.
        assert stored == {sent["prediction_id"] for load in loads for _, sent in load.acknowledged}
        report(f"{ROUNDS} times SIGTERM", count(service, *loads))


def kept_alive(service: Service, name: str) -> http.client.HTTPConnection:
    """A connection whose first request is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    assert post(connection, SENT, service.key, name).status == 200
    return connection


def test_a_kept_alive_connection_is_closed_cleanly_between_requests(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        busy, *idle = [kept_alive(service, f"idle-{number}") for number in range(10)]
        service.process.terminate()
        wait_for_log(service, "Handling signal: term")
        last = post(busy, SENT, service.key, "last")
        assert (last.status, last.headers["Connection"]) == (200, "close")
        for connection in idle:
            assert connection.sock.recv(1) == b""  # A reset would raise an error.
            connection.close()
        assert service.process.wait(timeout=40) == 0
