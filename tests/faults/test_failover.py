"""A replica set whose primary dies or steps down under load; needs a real `mongod` on PATH."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.load import Load, count, report
from tests.faults.replica_set import ReplicaSet, replica_set
from tests.processes import running

Fault = Callable[[ReplicaSet, Load], None]
MONGOD = shutil.which("mongod")
ROUNDS = 3

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(MONGOD is None, reason="no mongod on PATH to make a replica set of"),
]


def kill(members: ReplicaSet, load: Load) -> None:
    """Kill the primary, wait until another accepts writes, and restart the dead member."""
    port = members.kill_primary()
    load.wait_for(acknowledged=100)
    members.start_member(port)


def step_down(members: ReplicaSet, load: Load) -> None:
    """Make the primary step down, and wait until another accepts writes."""
    members.step_down()
    load.wait_for(acknowledged=100)


@pytest.mark.parametrize("fault", [kill, step_down])
def test_a_failover_loses_and_doubles_nothing(tmp_path: Path, fault: Fault) -> None:
    assert MONGOD
    with replica_set(MONGOD, tmp_path) as members, running(tmp_path, members.uri) as service:
        with Load(service) as load:
            for _ in range(ROUNDS):
                load.wait_for(acknowledged=random.randint(1, 500))
                fault(members, load)
            load.wait_for(acknowledged=100)
        report(f"replica set, {ROUNDS} times {fault.__name__} of its primary", count(service, load))
