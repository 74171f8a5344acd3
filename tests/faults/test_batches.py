"""kill -9 of the service under batches: each is stored whole, or not at all."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Self

import pytest

from tests.faults.load import PATH, PAUSE_SECONDS, TIMEOUT_SECONDS, Count, report
from tests.processes import Service, running

pytestmark = pytest.mark.faults

ROUNDS = 4
CLIENTS = 4
SIZE = 200
"""The number of scores in a batch."""


class Batches:
    """Clients that send batches; all scores of a batch name it as their prediction."""

    def __init__(self, service: Service, name: str) -> None:
        self.acknowledged: list[str] = []
        self._service = service
        self._noted: SimpleQueue[str] = SimpleQueue()
        self._stopping = threading.Event()
        self._clients = [
            threading.Thread(target=self._send, args=(f"{name}-{number}",), daemon=True)
            for number in range(CLIENTS)
        ]

    def __enter__(self) -> Self:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for client in self._clients:
            client.join(TIMEOUT_SECONDS)

    def wait_for(self, acknowledged: int) -> None:
        """Wait until that many batches are acknowledged."""
        for _ in range(acknowledged):
            self._noted.get(timeout=TIMEOUT_SECONDS)

    def _send(self, name: str) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            batch = f"{name}-{number}"
            scores = [{"prediction_id": batch, "scorer": "s", "value": n} for n in range(SIZE)]
            with suppress(OSError, http.client.HTTPException):
                if self._service.post(f"{PATH}/batch", {"scores": scores}).status == 200:
                    self.acknowledged.append(batch)
                    self._noted.put(batch)
                    continue
            self._stopping.wait(PAUSE_SECONDS)


def sizes(service: Service) -> Counter[str]:
    """Return how many scores of each batch are stored."""
    found: Counter[str] = Counter()
    after = "00000000-0000-7000-8000-000000000000"
    while lines := service.send("GET", f"{PATH}?limit=1000&after={after}").body.splitlines():
        scores = [json.loads(line) for line in lines]
        found.update(score["prediction_id"] for score in scores)
        after = scores[-1]["score_id"]
    return found


@pytest.mark.parametrize("engine", ["sqlite", "mongodb"])
def test_kill_9_under_batches_splits_and_loses_none(
    tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    store = request.getfixturevalue("mongodb_uri") if engine == "mongodb" else ""
    acknowledged: list[str] = []
    with running(tmp_path, store) as service:
        for number in range(ROUNDS):
            with Batches(service, f"round-{number}") as batches:
                batches.wait_for(random.randint(1, 10))
                service.kill()
            acknowledged += batches.acknowledged
            service.start_again()
        found = sizes(service)
    assert {batch: size for batch, size in found.items() if size != SIZE} == {}
    lost = len(set(acknowledged) - set(found))
    report(f"{engine}, {ROUNDS} times kill -9 under batches", Count(len(acknowledged), lost, 0))
