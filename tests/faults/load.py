"""Clients that send scores until each is acknowledged, and a count of what is stored."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.processes import Answer, Service

CONNECTIONS = 32
PROJECT = "acme/faults"
PATH = f"/v2/{PROJECT}/scores"
PAUSE_SECONDS = 0.02
TIMEOUT_SECONDS = 120.0


Acknowledged = tuple[str, dict[str, Any]]
"""A score id, and the content that was sent."""


@dataclass(frozen=True)
class Count:
    """How many scores a fault has lost or doubled."""

    acknowledged: int
    lost: int
    doubled: int

    @property
    def clean(self) -> bool:
        """Whether no score is lost or doubled."""
        return not (self.lost or self.doubled)

    def __str__(self) -> str:
        return f"acknowledged {self.acknowledged}, lost {self.lost}, doubled {self.doubled}"


class Load:
    """Clients that each send one score after the other, on kept-alive connections of their own.

    Every score has its own content and idempotency key. A call that fails, by a broken connection
    or a 503, is repeated with the same key until it is acknowledged or the load ends. Calls are
    named by the load's name and a number. `calls` limits their number; `port` is where they go,
    by default the service's.
    """

    def __init__(
        self,
        service: Service,
        name: str = "call",
        *,
        port: int | None = None,
        calls: int | None = None,
    ) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.refusals: Counter[str] = Counter()
        """503 responses by their detail."""
        self.breaks: Counter[str] = Counter()
        """Attempts without a response, by error."""
        self.unexpected: list[Answer] = []
        self._name = name
        self._key = service.key
        self._port = port or service.port
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._calls = iter(range(calls) if calls else itertools.count())
        self._clients = [
            threading.Thread(target=self._send_scores, daemon=True) for _ in range(CONNECTIONS)
        ]

    def __enter__(self) -> Self:
        for client in self._clients:
            client.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        for client in self._clients:
            client.join(TIMEOUT_SECONDS)
        assert error or not self.unexpected, self.unexpected[:3]

    def wait_for(self, *, acknowledged: int = 0, refused: int = 0) -> None:
        """Wait until that many more calls are acknowledged and attempts are refused."""
        acknowledged += len(self.acknowledged)
        refused += self.refusals.total()

        def reached() -> bool:
            enough = len(self.acknowledged) >= acknowledged and self.refusals.total() >= refused
            return enough or bool(self.unexpected)

        with self._changed:
            found = self._changed.wait_for(reached, TIMEOUT_SECONDS)
        assert found, (len(self.acknowledged), self.refusals, self.breaks)

    def finish(self) -> None:
        """Wait until all `calls` are acknowledged."""
        for client in self._clients:
            client.join(TIMEOUT_SECONDS)
        unfinished = sum(client.is_alive() for client in self._clients)
        assert not unfinished, (len(self.acknowledged), self.refusals, self.breaks)

    def _send_scores(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        for number in self._calls:
            name = f"{self._name}-{number}"
            while not (self._attempt(connection, name) or self._stopping.is_set()):
                self._stopping.wait(PAUSE_SECONDS)
            if self._stopping.is_set():
                break
        connection.close()

    def _attempt(self, connection: http.client.HTTPConnection, name: str) -> bool:
        """Send the call `name` once, and return whether it is done."""
        sent = content(name)
        try:
            answer = post(connection, sent, self._key, name)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._note(self.breaks, type(error).__name__)
            return False
        if answer.status == 503 and answer.headers["Content-Type"] == "application/json":
            self._note(self.refusals, answer.json["detail"])
            return False
        with self._changed:
            if answer.status == 200:
                self.acknowledged.append((answer.json["score_id"], sent))
            else:
                self.unexpected.append(answer)
            self._changed.notify_all()
        return True

    def _note(self, counter: Counter[str], text: str) -> None:
        with self._changed:
            counter[text] += 1
            self._changed.notify_all()


def content(name: str) -> dict[str, Any]:
    """Return the content of the call `name`."""
    return {"prediction_id": name, "scorer": "s", "value": {"of": name, "is": [1, 1.0, None]}}


def post(
    connection: http.client.HTTPConnection, sent: dict[str, Any], key: str, name: str
) -> Answer:
    """Send one call on a connection, with `name` as its idempotency key."""
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "Idempotency-Key": name,
    }
    connection.request("POST", PATH, json.dumps(sent), headers)
    response = connection.getresponse()
    if response.length is None:
        # http.client does not notice that a head has been cut off.
        raise http.client.IncompleteRead(b"")
    return Answer(response.status, response.headers, response.read())


def read_back(service: Service) -> list[dict[str, Any]]:
    """Read all scores of the project from the API."""
    answer = service.send("GET", PATH)
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def count(service: Service, *loads: Load) -> Count:
    """Compare the acknowledged scores of several loads with the stored ones."""
    return count_of(service, [each for load in loads for each in load.acknowledged])


def count_of(service: Service, acknowledged: Sequence[Acknowledged]) -> Count:
    """Compare the acknowledged scores with the stored ones."""
    stored = read_back(service)
    by_id = {score["score_id"]: score for score in stored}
    lost = sum(not holds(by_id.get(score_id), sent) for score_id, sent in acknowledged)
    calls = {score["prediction_id"] for score in stored}
    return Count(len(acknowledged), lost, len(stored) - len(calls))


def holds(score: dict[str, Any] | None, sent: dict[str, Any]) -> bool:
    """Return whether a stored score equals what was sent; as text, because 1 == 1.0 in Python."""
    if score is None:
        return False
    return json.dumps({name: score[name] for name in sent}) == json.dumps(sent)


def report(fault: str, found: Count) -> None:
    """Print how many scores a fault has lost or doubled, and fail if there are any."""
    print(f"\n{fault}: {found}")
    assert found.acknowledged
    assert found.clean
