"""The id and the log line of a request, and a 500 that discloses nothing."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path

import pytest
from flask import Flask

from tests.processes import Service, command, running, wait_until_listening

SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}


def test_a_valid_request_id_is_used_and_returned(service: Service) -> None:
    answer = service.post("/v2/a/b/scores", SCORE, headers={"X-Request-Id": "run-7.a_b:c"})
    assert answer.headers["X-Request-Id"] == "run-7.a_b:c"


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, 'a"b', "é"])
def test_an_invalid_request_id_is_replaced(service: Service, given: str) -> None:
    first = service.send("GET", "/health/live", headers={"X-Request-Id": given})
    second = service.send("GET", "/nowhere", headers={"X-Request-Id": given})
    assert len(first.headers["X-Request-Id"]) == 32
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]


def test_one_json_line_is_logged_for_a_request(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        headers = {"X-Request-Id": "the-one"}
        service.post("/v2/a%20b/c/scores?secret=1", SCORE, headers=headers)
        service.send("GET", "/health/live", key=None)
    (line,) = [line for line in service.log_lines() if line["request_id"] == "the-one"]
    assert line.pop("time").endswith("Z")
    assert 0 < line.pop("milliseconds") < 10_000
    assert line == {
        "level": "info",
        "logger": "scoreline.requests",
        "message": "request",
        "request_id": "the-one",
        "method": "POST",
        "path": "/v2/a b/c/scores",
        "status": 200,
        "key_id": "admin",
    }
    (live,) = [line for line in service.log_lines() if line.get("path") == "/health/live"]
    assert live["key_id"] is None


def test_every_line_on_stdout_is_json(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.stop()
        process = subprocess.Popen(
            command("serve"),
            cwd=tmp_path,
            env=service.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        wait_until_listening(service.port, process)
        service.send("GET", "/health/live", key=None)
        process.terminate()
        lines = [json.loads(line) for line in process.communicate()[0].splitlines()]
    assert [line["path"] for line in lines if line["message"] == "request"] == ["/health/live"]


def test_an_unexpected_error_is_a_500_with_only_the_request_id(
    app: Flask, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(app.extensions["scoreline"].store, "ping", broken)
    with caplog.at_level(logging.ERROR, "scoreline"):
        answer = app.test_client().get("/health/ready", headers={"X-Request-Id": "broken-1"})
    assert answer.status_code == 500
    assert answer.get_json() == {"detail": "Internal Server Error", "request_id": "broken-1"}
    assert "a secret of the inside" in caplog.text
