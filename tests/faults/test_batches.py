"""kill -9 of the service under batches and imports: each is stored whole, or not at all."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

import pytest
from uuid_utils import uuid7

from app.ids import id_time, utc_text
from tests.faults.load import PATH, PAUSE_SECONDS, PROJECT, TIMEOUT_SECONDS, Count, report
from tests.processes import Answer, Service, running

pytestmark = pytest.mark.faults

ROUNDS = 4
CLIENTS = 4
SIZE = 200
"""The number of scores in a batch."""
IMPORTED = 20
"""The number of scores in an import; each has two unique keys, and MongoDB stores those too."""

Send = Callable[[Service, str], Answer]
"""A function that sends the batch with a name."""

engines = pytest.mark.parametrize("engine", ["sqlite", "mongodb"])


class Batches:
    """Clients that send batches, which have names of their own."""

    def __init__(self, service: Service, name: str, send: Send) -> None:
        self.acknowledged: list[str] = []
        self._service = service
        self._send_batch = send
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
            with suppress(OSError, http.client.HTTPException):
                if self._send_batch(self._service, batch).status == 200:
                    self.acknowledged.append(batch)
                    self._noted.put(batch)
                    continue
            self._stopping.wait(PAUSE_SECONDS)


def send_scores(service: Service, batch: str) -> Answer:
    """Send scores, of which all name their batch as their prediction."""
    scores = [{"prediction_id": batch, "scorer": "s", "value": n} for n in range(SIZE)]
    return service.post(f"{PATH}/batch", {"scores": scores})


class Imports:
    """Imports of a run with a prediction and scores; the run's id is the name of the import."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}

    def send(self, service: Service, name: str) -> Answer:
        """Send an import with a key, the first time or again."""
        body = self.bodies.setdefault(name, self._body(name))
        headers = {"Idempotency-Key": name}
        return service.send("POST", f"/v2/{PROJECT}/import", body, headers)

    @staticmethod
    def _body(name: str) -> bytes:
        def line(kind: str, **fields: Any) -> dict[str, Any]:
            made = str(uuid7())
            at = utc_text(id_time(made))
            named = {"score_id": made} if kind == "score" else {}
            return {"kind": kind, "evaluation_run_id": name, "created_at": at, **named, **fields}

        scores = [line("score", prediction_id=name, scorer="s", value=n) for n in range(IMPORTED)]
        run = line("evaluation_run", evaluation="e", model="m")
        prediction = line("prediction", prediction_id=name, model="m", inputs={}, output=1)
        return b"\n".join(json.dumps(each).encode() for each in (*scores, prediction, run))


def sizes(service: Service) -> Counter[str]:
    """Return how many scores of each batch are stored."""
    found: Counter[str] = Counter()
    after = "00000000-0000-7000-8000-000000000000"
    while lines := service.send("GET", f"{PATH}?limit=1000&after={after}").body.splitlines():
        scores = [json.loads(line) for line in lines]
        found.update(score["prediction_id"] for score in scores)
        after = scores[-1]["score_id"]
    return found


def exported(service: Service) -> Counter[str]:
    """Return how many lines of each run an export has."""
    lines = service.send("GET", f"/v2/{PROJECT}/export").body.splitlines()
    return Counter(json.loads(line)["evaluation_run_id"] for line in lines)


def kill_under(service: Service, send: Send) -> list[str]:
    """Kill a service under batches, several times; return those that were acknowledged."""
    acknowledged: list[str] = []
    for number in range(ROUNDS):
        with Batches(service, f"round-{number}", send) as batches:
            batches.wait_for(random.randint(1, 10))
            service.kill()
        acknowledged += batches.acknowledged
        service.start_again()
    return acknowledged


@engines
def test_kill_9_under_batches_splits_and_loses_none(
    tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    store = request.getfixturevalue("mongodb_uri") if engine == "mongodb" else ""
    with running(tmp_path, store) as service:
        acknowledged = kill_under(service, send_scores)
        found = sizes(service)
    assert {batch: size for batch, size in found.items() if size != SIZE} == {}
    lost = len(set(acknowledged) - set(found))
    report(f"{engine}, {ROUNDS} times kill -9 under batches", Count(len(acknowledged), lost, 0))


@engines
def test_kill_9_under_imports_splits_none_and_a_retry_doubles_none(
    tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    store = request.getfixturevalue("mongodb_uri") if engine == "mongodb" else ""
    imports, size = Imports(), IMPORTED + 2
    with running(tmp_path, store) as service:
        acknowledged = kill_under(service, imports.send)
        found = exported(service)
        for name in imports.bodies:
            while (retried := imports.send(service, name)).status == 503:
                pass  # MongoDB has not yet given up a transaction of the killed service.
            assert (retried.status, retried.json["num_created"]) == (200, size)
            assert ("Idempotent-Replayed" in retried.headers) is (name in found)
        assert exported(service) == dict.fromkeys(imports.bodies, size)
    assert {name: count for name, count in found.items() if count != size} == {}
    lost = len(set(acknowledged) - set(found))
    report(f"{engine}, {ROUNDS} times kill -9 under imports", Count(len(acknowledged), lost, 0))
