"""Many large bodies at once take a bounded amount of memory, and do not stop the service."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import Service, running

pytestmark = pytest.mark.attack

SIZE = 31 * 1024 * 1024
MOST_MEBIBYTES = 1_800
"""What one dense body takes, and the text of another one in each process."""

BEGINNINGS = {
    "/obj/create": b'{"obj":{"project_id":"acme/h","object_id":"o","val":[',
    "/table/create": b'{"table":{"project_id":"acme/h","rows":[',
    "/v2/acme/h/calls/complete": b'{"batch":[',
    "/feedback/batch/create": b'{"batch":[',
}
PIECES = (b"[],", b"{},", b'"ab",', b'{"a":1},', b'["a",["b",["c"]]],', b'"' + b"x" * 9_999 + b'",')


def bodies() -> Iterator[tuple[str, bytes]]:
    """Yield 32 bodies with their paths: many values, deep ones, and large texts."""
    for path, beginning in BEGINNINGS.items():
        for piece in PIECES:
            times = (SIZE - 100) // len(piece)
            yield path, beginning + piece * times + b"null]" + b"}" * (beginning.count(b"{"))
        yield path, beginning + b"[" * (SIZE - 100)
        yield path, beginning + b'{"a":' * (SIZE // 5 - 100)


@contextmanager
def watched(service: Service) -> Iterator[list[int]]:
    """Measure the memory of all workers together; the list has the peak in MiB."""
    peak, ended = [0], threading.Event()

    def measure() -> None:
        while not ended.wait(0.05):
            texts = [Path(f"/proc/{each}/status").read_text() for each in service.workers()]
            sizes = [int(text.split("VmRSS:")[1].split()[0]) for text in texts]
            peak[0] = max(peak[0], sum(sizes) // 1024)

    thread = threading.Thread(target=measure)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def send(service: Service, path: str, body: bytes) -> tuple[int, str | None]:
    """Return status and `Retry-After` of a POST, for which a loaded machine may take long."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=300)
    try:
        connection.request("POST", path, body, {"Authorization": f"Bearer {service.key}"})
        response = connection.getresponse()
        response.read()
        return response.status, response.headers["Retry-After"]
    finally:
        connection.close()


def test_hostile_bodies_at_once_take_bounded_memory(tmp_path: Path) -> None:
    with running(tmp_path) as service, ThreadPoolExecutor(32) as pool:
        with watched(service) as peak:
            answers = list(pool.map(lambda each: send(service, *each), bodies()))
        assert {status for status, _ in answers} <= {200, 400, 413, 422, 503}
        assert {retry for status, retry in answers if status == 503} <= {"5"}
        assert peak[0] < MOST_MEBIBYTES
        assert [line for line in service.log_lines() if line["level"] == "critical"] == []
