"""Log lines are JSON with the request's id, and a reader that stalls blocks nothing."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app.logs import AUDIT, MAX_LINES, JsonFormatter, LineHandler, fields, request_id
from tests.processes import (
    ADMIN_KEY,
    Service,
    command,
    environment,
    free_port,
    wait_until_listening,
)


def line(message: str, exc_info: Any = None, **own: Any) -> dict[str, Any]:
    record = logging.getLogger("x").makeRecord(
        "scoreline.x", logging.INFO, "file", 1, message, (), exc_info, None, fields(**own)
    )
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return dict(json.loads(text))


def test_a_line_has_time_level_logger_message_and_request_id() -> None:
    token = request_id.set("r-1")
    found = line("two\nlines", status=200)
    request_id.reset(token)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "info",
        "logger": "scoreline.x",
        "message": "two\nlines",
        "request_id": "r-1",
        "status": 200,
    }


def test_an_exception_is_logged_completely_on_one_line() -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        found = line("failed", exc_info=sys.exc_info())
    assert "RuntimeError: broken" in found["exception"]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return both ends of a pipe, which only the test reads."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def handler_of(file: int) -> LineHandler:
    handler = LineHandler(file)
    handler.setFormatter(JsonFormatter())
    return handler


def log_lines(handler: LineHandler, count: int, name: str = "scoreline.x") -> None:
    for number in range(count):
        attributes = {"name": name, "levelname": "INFO", "msg": f"line {number}"}
        handler.emit(logging.makeLogRecord(attributes))


def test_unread_lines_block_nothing_and_dropped_lines_are_counted(
    pipe: tuple[int, int],
) -> None:
    handler = handler_of(pipe[1])
    count = MAX_LINES + 20_000  # More than the queue and the pipe hold.
    log_lines(handler, count)
    with os.fdopen(pipe[0], closefd=False) as reader:
        numbers: list[int] = []
        num_dropped = 0
        while len(numbers) + num_dropped < count:
            line = json.loads(reader.readline())
            match = re.match(r"(\d+) log lines were dropped, 0 of them", line["message"])
            if match:
                assert line["level"] == "error"
                num_dropped += int(match[1])
            else:
                numbers.append(int(line["message"].removeprefix("line ")))
    assert num_dropped > 0
    assert numbers == sorted(set(numbers))
    handler.close()


def test_audit_lines_are_kept_when_others_are_dropped(pipe: tuple[int, int]) -> None:
    handler = handler_of(pipe[1])
    log_lines(handler, MAX_LINES + 20_000)
    log_lines(handler, 5, AUDIT)
    with os.fdopen(pipe[0], closefd=False) as reader:
        audited: list[Any] = []
        while len(audited) < 5:
            audited += [line for line in [json.loads(reader.readline())] if line["logger"] == AUDIT]
    assert [line["message"] for line in audited] == [f"line {n}" for n in range(5)]
    handler.close()


def test_an_audit_line_is_written_before_the_call_continues(pipe: tuple[int, int]) -> None:
    handler = handler_of(pipe[1])
    os.set_blocking(pipe[0], False)
    log_lines(handler, 1, AUDIT)
    assert json.loads(os.read(pipe[0], 10_000))["logger"] == AUDIT
    handler.close()


def test_a_flush_writes_everything_before_it_returns(pipe: tuple[int, int]) -> None:
    handler = handler_of(pipe[1])
    log_lines(handler, 100)
    handler.flush()
    assert len(os.read(pipe[0], 60_000).splitlines()) == 100
    handler.close()


def test_a_closed_reader_does_no_harm(pipe: tuple[int, int]) -> None:
    handler = handler_of(pipe[1])
    os.close(pipe[0])
    log_lines(handler, 3)
    log_lines(handler, 1, AUDIT)
    handler.flush()
    handler.close()


def test_a_forked_process_writes_its_own_lines_once(pipe: tuple[int, int]) -> None:
    program = """
import logging, os
from app.logs import configure_logging
configure_logging("info")
log = logging.getLogger("scoreline.x")
log.info("before")
if not os.fork():
    log.info("child")
    logging.shutdown()
    os._exit(0)
os.wait()
log.info("after")
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    messages = [json.loads(line)["message"] for line in done.stdout.splitlines()]
    assert sorted(messages) == ["after", "before", "child"]


def test_a_service_whose_log_is_not_read_still_serves_and_stops(tmp_path: Path) -> None:
    port = free_port()
    environ = environment(
        PORT=str(port),
        SCORELINE_STORE=f"sqlite:///{tmp_path}/scoreline.db",
        SCORELINE_ADMIN_KEY=ADMIN_KEY,
    )
    process = subprocess.Popen(
        command("serve"),
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)  # A few lines fill it.
    service = Service(port, process, tmp_path / "none")
    try:
        wait_until_listening(port, process)
        for _ in range(100):
            score = service.post(
                "/v2/a/b/scores", {"prediction_id": "p", "scorer": "s", "value": 1}
            )
            assert score.status == 200
        for path in ("/health/live", "/health/ready"):
            assert service.send("GET", path).status == 200
        ids = f"score_ids={score.json['score_id']}"
        assert service.send("DELETE", f"/v2/a/b/scores?{ids}").json == {"num_deleted": 1}
        os.kill(process.pid, signal.SIGHUP)
        before = set(service.workers())
        while before & set(service.workers()):
            threading.Event().wait(0.05)
        assert service.send("GET", "/health/ready").status == 200
        assert service.stop() == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
