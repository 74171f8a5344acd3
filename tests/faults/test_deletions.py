"""kill -9 while a run is deleted: it is whole or hidden, and the next start finishes it."""

from __future__ import annotations

import http.client
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app.stores import open_store
from app.stores.base import ScoreQuery
from tests.processes import Service, running

pytestmark = pytest.mark.faults

PROJECT = ("acme", "demo")
PATH = "/".join(("/v2", *PROJECT, "scores"))
DELETIONS = "/".join(("/v1", *PROJECT, "deletions"))
SCORES = 10_000
ROUNDS = 4
SECONDS = 180.0


def fill(service: Service, run: str) -> None:
    score = {"prediction_id": "p", "scorer": "s", "value": 1, "evaluation_run_id": run}
    deadline = time.monotonic() + SECONDS
    for number in range(SCORES // 1_000):
        batch, key = {"scores": [score] * 1_000}, {"Idempotency-Key": f"{run}-{number}"}
        while service.post(f"{PATH}/batch", batch, headers=key).status != 200:
            # A server of MongoDB keeps the locks of a killed process for a while.
            assert time.monotonic() < deadline


def count(service: Service, run: str) -> int:
    """Return how many scores of a run a list has."""
    answer = service.send("GET", f"{PATH}?evaluation_run_id={run}")
    assert answer.status == 200
    return answer.body.count(b"\n")


def deletions(service: Service) -> list[dict[str, Any]]:
    return list(service.send("GET", DELETIONS).json["deletions"])


def kill_in_the_middle(service: Service, run: str, seconds: float) -> None:
    """Delete a run, and kill every process so many seconds later."""

    def delete() -> None:
        with suppress(OSError, http.client.HTTPException):  # The service is killed.
            service.send("DELETE", f"/v1/acme/demo/runs?run={run}")

    thread = threading.Thread(target=delete)
    thread.start()
    time.sleep(seconds)
    service.kill()
    thread.join()


def wait_until_finished(service: Service) -> None:
    deadline = time.monotonic() + SECONDS
    while any(each["state"] == "pending" for each in deletions(service)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def check_kills(service: Service, store_url: str) -> None:
    hidden = 0
    for number in range(ROUNDS):
        run = f"run-{number}"
        fill(service, run)
        kill_in_the_middle(service, run, 0.02 + number * 0.1)
        service.start_again()
        left = count(service, run)
        assert left in (0, SCORES)
        hidden += left == 0
        new = {"prediction_id": "p", "scorer": "s", "value": 1, "evaluation_run_id": run}
        assert service.post(PATH, new).status == 200
        assert count(service, run) == left + 1
        wait_until_finished(service)
        assert count(service, run) == left + 1
    assert hidden
    assert all(each["num_cleared"] == each["num_scores"] for each in deletions(service))
    opened = open_store(store_url)
    ids = opened.list_score_ids(ScoreQuery(*PROJECT, limit=ROUNDS * SCORES))
    opened.close()
    assert len(ids) == ROUNDS + (ROUNDS - hidden) * SCORES


def test_kill_9_in_a_deletion_on_the_embedded_store(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        check_kills(service, f"sqlite:///{tmp_path}/scoreline.db")


@pytest.mark.skipif(
    shutil.which("mongod") is None and "SCORELINE_TEST_MONGODB" not in os.environ,
    reason="it needs MongoDB itself: SecantusDB may refuse batches for minutes under this load",
)
def test_kill_9_in_a_deletion_on_mongodb(mongodb_uri: str, tmp_path: Path) -> None:
    with running(tmp_path, mongodb_uri) as service:
        check_kills(service, mongodb_uri)
