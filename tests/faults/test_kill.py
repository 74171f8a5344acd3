"""kill -9 under load: of every process of the service, and of MongoDB's server."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests import mongodb
from tests.faults.load import Load, count, report
from tests.processes import free_port, running

pytestmark = pytest.mark.faults

ROUNDS = 20
SERVER_ROUNDS = 5


def test_kill_9_of_every_process_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as service, Load(service) as load:
        for _ in range(ROUNDS):
            load.wait_for(acknowledged=random.randint(1, 500))
            service.kill()
            service.start_again()
            assert count(service, load).clean
        load.wait_for(acknowledged=1)
        report(f"embedded store, {ROUNDS} times kill -9", count(service, load))


@pytest.mark.skipif(mongodb.choice() is None, reason=mongodb.NONE)
@pytest.mark.skipif(
    "SCORELINE_TEST_MONGODB" in os.environ, reason="that server is not ours to kill"
)
def test_kill_9_of_mongodbs_server_loses_and_doubles_nothing(tmp_path: Path) -> None:
    port = free_port()
    server = mongodb.start_server(port, str(tmp_path))
    try:
        with running(tmp_path, mongodb.server_uri(port)) as service:
            with Load(service) as load:
                for _ in range(SERVER_ROUNDS):
                    load.wait_for(acknowledged=random.randint(1, 300))
                    server.kill()
                    server.wait()
                    load.wait_for(refused=1)
                    server = mongodb.start_server(port, str(tmp_path))
                load.wait_for(acknowledged=1)
            report(f"MongoDB's server, {SERVER_ROUNDS} times kill -9", count(service, load))
    finally:
        server.kill()
        server.wait()
