"""A store that stalls: writes are refused in time."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.faults.load import PATH, Load, count, report
from tests.processes import running

pytestmark = pytest.mark.faults

ROUNDS = 2
BUSY = "The store cannot keep up"


def test_writes_are_503_while_another_process_holds_the_lock(tmp_path: Path) -> None:
    with running(tmp_path) as service, Load(service) as load:
        for _ in range(ROUNDS):
            load.wait_for(acknowledged=200)
            score_id, _ = load.acknowledged[0]
            # As a process that is suspended in the middle of its write holds it.
            with (tmp_path / "scoreline.db.lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                load.wait_for(refused=100)
                assert service.send("GET", f"{PATH}/{score_id}").status == 200
                assert service.send("GET", "/health/live").status == 200
                assert service.send("GET", "/health/ready").status == 503
        load.wait_for(acknowledged=200)
        assert set(load.refusals) == {BUSY}
        report(f"store stalled {ROUNDS} times", count(service, load))
