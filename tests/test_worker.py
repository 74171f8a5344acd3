"""The worker with clients that are silent, stall or disconnect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config

from app.worker import ScorelineRequest
from tests.api.test_http import LENGTH, PATH, SCORE, connect, head, read_answer
from tests.processes import Service, running

THREADS = 4


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service of one worker with few threads."""
    settings = {"WEB_CONCURRENCY": "1", "SCORELINE_THREADS": str(THREADS)}
    with running(tmp_path_factory.mktemp("few"), **settings) as started:
        yield started


def assert_answers(service: Service) -> None:
    assert service.send("GET", "/health/ready").status == 200
    assert service.send("POST", PATH, SCORE).status == 200


def test_more_silent_connections_than_threads_do_not_block_others(few: Service) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(few)) for _ in range(10 * THREADS)]
        assert_answers(few)
        for connection in silent:
            connection.sendall(head(few, LENGTH) + SCORE)
            assert read_answer(connection)[0] == 200
        assert_answers(few)


def test_a_stalled_client_is_dropped_and_others_are_served_meanwhile(few: Service) -> None:
    with connect(few) as in_head, connect(few) as in_body:
        in_head.sendall(head(few, LENGTH)[:20])
        in_body.sendall(head(few, LENGTH) + SCORE[:-5])
        assert_answers(few)
        assert read_answer(in_body)[0] == 408
        assert in_head.recv(1) == b""
    assert [line for line in few.log_lines() if line["level"] == "error"] == []


def test_a_connection_closed_by_its_client_is_released(few: Service) -> None:
    assert_answers(few)  # There is a worker now.
    (worker,) = few.workers()
    files = Path(f"/proc/{worker}/fd")
    before = len(list(files.iterdir()))
    for _ in range(30):
        with connect(few) as connection:
            connection.sendall(head(few, LENGTH) + SCORE)
            assert read_answer(connection)[0] == 200
    assert_answers(few)
    assert len(list(files.iterdir())) < before + 10


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("", True),  # A Unix socket, which only a program of this machine can connect to.
        (("127.0.0.1", 5), True),
        (("10.0.0.1", 5), False),
        (("::1", 5, 0, 0), True),
    ],
)
def test_who_may_say_that_the_client_used_https(peer: Any, trusted: bool) -> None:
    request = ScorelineRequest.__new__(ScorelineRequest)
    request.cfg, request.peer_addr = Config(), peer
    assert request._peer_is_trusted_proxy() is trusted
