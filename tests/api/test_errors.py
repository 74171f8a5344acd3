"""Every error of the service has one status and one shape."""

from __future__ import annotations

import inspect

import pytest
from flask import Flask

from app import errors
from app.api.errors import STATUSES
from tests.processes import Service


def test_every_error_that_can_reach_http_has_a_status() -> None:
    tree = {
        member
        for _, member in inspect.getmembers(errors, inspect.isclass)
        if issubclass(member, errors.ScorelineError) and member is not errors.ScorelineError
    }
    # A summary that meets it reads the scores in another way.
    assert set(STATUSES) == tree - {errors.Repeated}


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (errors.Conflict("taken"), 409, "taken"),
        (errors.TooLarge("too large"), 413, "too large"),
        (errors.StoreUnavailable("host db-7 is down"), 503, "The store does not answer"),
        (errors.StoreFull("/secret/path"), 503, "The store is full"),
        (errors.StoreDamaged("/secret/path"), 503, "The store is damaged"),
        (errors.StoreRefused("/secret/path"), 503, "The store cannot be used"),
    ],
)
def test_an_error_of_a_store_becomes_its_status(
    app: Flask, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, detail: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(app.extensions["scoreline"].store, "ping", fail)
    answer = app.test_client().get("/health/ready")
    assert (answer.status_code, answer.get_json()) == (status, {"detail": detail})
    assert answer.headers.get("Retry-After") == ("1" if status == 503 else None)


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/nowhere", 404, "Not Found"),
        ("POST", "/", 404, "Not Found"),
        ("POST", "//v2/a/b/scores", 404, "Not Found"),
        ("PUT", "/v2/a/b/scores", 405, "Method Not Allowed"),
        ("DELETE", "/v2/a/b/scores/x", 405, "Method Not Allowed"),
        ("OPTIONS", "/v2/a/b/scores", 405, "Method Not Allowed"),
        ("GET", "/v2/a/b/scores/batch", 405, "Method Not Allowed"),
        ("POST", "/health/live", 405, "Method Not Allowed"),
    ],
)
def test_a_wrong_path_or_method_is_json(
    service: Service, method: str, path: str, status: int, detail: str
) -> None:
    answer = service.send(method, path, key=None)
    assert (answer.status, answer.json) == (status, {"detail": detail})
    assert answer.headers["Content-Type"] == "application/json"
    assert (answer.headers["Allow"] is not None) == (status == 405)


@pytest.mark.parametrize(
    ("name", "methods"),
    [("batch", {"POST"}), ("batches", {"GET", "HEAD"}), ("xbatch", {"GET", "HEAD"})],
)
def test_a_path_segment_that_is_not_a_score_id_is_404(
    service: Service, name: str, methods: set[str]
) -> None:
    allowed = service.send("OPTIONS", f"/v2/a/b/scores/{name}").headers["Allow"]
    assert set(allowed.split(", ")) == methods
