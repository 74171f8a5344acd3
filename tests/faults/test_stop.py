"""SIGTERM under load: every accepted request is answered, and no connection is reset."""

from __future__ import annotations

import http.client
import random
from pathlib import Path

import pytest

from tests.faults.load import (
    Acknowledged,
    Load,
    content,
    count,
    count_of,
    post,
    read_back,
    report,
)
from tests.processes import Service, running

pytestmark = pytest.mark.faults

ROUNDS = 5


def test_sigterm_under_load_answers_accepted_requests_and_resets_no_connection(
    tmp_path: Path,
) -> None:
    loads = []
    with running(tmp_path) as service:
        for number in range(ROUNDS):
            with Load(service, f"load-{number}") as load:
                load.wait_for(acknowledged=random.randint(1, 500))
                assert service.stop() == 0
            loads.append(load)
            # After `Connection: close`, a client connects again and is refused.
            assert set(load.breaks) <= {"ConnectionRefusedError"}
            service.start_again()
        stored = {score["prediction_id"] for score in read_back(service)}
        # Nothing is stored whose answer did not arrive.
        assert stored == {sent["prediction_id"] for load in loads for _, sent in load.acknowledged}
        report(f"{ROUNDS} times SIGTERM", count(service, *loads))


def send(service: Service, connection: http.client.HTTPConnection, name: str) -> Acknowledged:
    """Make a call on a kept-alive connection, and check that it returns a score."""
    sent = content(name)
    answer = post(connection, sent, service.key, name)
    assert answer.status == 200
    assert (answer.headers["Connection"] == "close") is (name == "last")
    return answer.json["score_id"], sent


def test_a_kept_alive_connection_is_closed_cleanly_between_requests(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        connections = [
            http.client.HTTPConnection("127.0.0.1", service.port, timeout=30) for _ in range(10)
        ]
        made = [send(service, each, f"idle-{place}") for place, each in enumerate(connections)]
        busy, *idle = connections
        service.process.terminate()
        service.wait_for_log("Handling signal: term")
        made.append(send(service, busy, "last"))
        for connection in idle:
            assert connection.sock.recv(1) == b""  # A reset would raise an error.
            connection.close()
        assert service.process.wait(timeout=40) == 0
        service.start_again()
        report("SIGTERM between requests", count_of(service, made))
