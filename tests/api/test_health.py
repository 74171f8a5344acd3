"""Health, without a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import Service, free_port, running


@pytest.mark.parametrize(("path", "status"), [("/health/live", "live"), ("/health/ready", "ready")])
def test_health_is_200_without_a_key(any_service: Service, path: str, status: str) -> None:
    answer = any_service.send("GET", path, key=None)
    assert (answer.status, answer.json) == (200, {"status": status})


def test_a_dead_mongodb_is_503_in_seconds_and_not_a_hang(tmp_path: Path) -> None:
    uri = f"mongodb://127.0.0.1:{free_port()}/scoreline?serverSelectionTimeoutMS=300"
    with running(tmp_path, uri) as service:
        assert service.send("GET", "/health/live", key=None).status == 200
        for answer in (
            service.send("GET", "/health/ready", key=None),
            service.post("/v2/a/b/scores", {"prediction_id": "p", "scorer": "s", "value": 1}),
            service.send("POST", "/v2/a/b/scores", b"{}", key="sl_some-other-key"),
            service.send("GET", "/v2/a/b/scores"),
            service.send("GET", "/v2/a/b/scores/x"),
        ):
            assert (answer.status, answer.json) == (503, {"detail": "The store does not answer"})
            assert int(answer.headers["Retry-After"]) > 0
    requests = [line for line in service.log_lines() if line["message"] == "request"]
    assert max(line["milliseconds"] for line in requests) < 8_000
