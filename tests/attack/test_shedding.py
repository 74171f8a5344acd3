"""A program is never refused an object, a table or a file, however busy the service is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.attack.test_large_bodies import send
from tests.processes import Service, running

pytestmark = pytest.mark.attack

CREATES = 300
LOADS = 64
CALL = {"trace_id": "t", "op_name": "f", "inputs": {"q": "x" * 300}}
BATCH = json.dumps({"batch": [{"id": f"c{number}", **CALL} for number in range(8_000)]}).encode()
QUERY = b'{"project_id": "acme/h"}'
LOAD = (("/v2/acme/h/calls/complete", BATCH), ("/calls/stream_query", QUERY))


def creates(number: int) -> tuple[str, bytes]:
    """Return path and body of an object or a table; every tenth one is a large body."""
    value = {"number": number, "text": "x" * (1_000 if number % 10 else 400_000)}
    if number % 2:
        table = {"project_id": "acme/h", "rows": [value]}
        return "/table/create", json.dumps({"table": table}).encode()
    made = {"project_id": "acme/h", "object_id": f"o{number}", "val": value}
    return "/obj/create", json.dumps({"obj": made}).encode()


@contextmanager
def loaded(service: Service) -> Iterator[set[tuple[int, str | None]]]:
    """Keep the service busy during the block; the set has the answers to this load."""
    answers: set[tuple[int, str | None]] = set()
    ended = threading.Event()

    def load(number: int) -> None:
        while not ended.is_set():
            status, retry_after = answer = send(service, *LOAD[number % len(LOAD)])
            answers.add(answer)
            if status != 200 and ended.wait(int(retry_after or 0) / 20):
                return

    with ThreadPoolExecutor(LOADS) as pool:
        for number in range(LOADS):
            pool.submit(load, number)
        try:
            yield answers
        finally:
            ended.set()


def test_no_object_and_no_table_is_refused_while_other_load_is_shed(tmp_path: Path) -> None:
    limits = {"SCORELINE_THREADS": "4", "SCORELINE_RATE_LIMIT": "120/minute"}
    with running(tmp_path, WEB_CONCURRENCY="1", **limits) as service:
        with loaded(service) as shed, ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda number: send(service, *creates(number)), range(CREATES)))
        assert set(made) == {(200, None)}
        assert {retry_after for status, retry_after in shed if status == 503} == {"5"}
        assert 429 in {status for status, _ in shed}
        assert {status for status, _ in shed} <= {200, 429, 503}
