"""Deleting runs, predictions, calls and feedback takes along what Weave's SDK has sent of them."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.processes import Service
from tests.weave.test_recordings import requests_of, scores_of, send


@pytest.fixture
def project() -> str:
    """Return the name of a new project."""
    return f"p{uuid4().hex}"


def replay(service: Service, project: str) -> None:
    for path, body in requests_of("evaluation-0.54.0", project):
        send(service, path, body)


def ids(service: Service, path: str, name: str) -> list[str]:
    """Return an id of each document of a list."""
    listed = service.send("GET", path).body.splitlines()
    return [json.loads(line)[name] for line in listed]


def delete(service: Service, path: str, **query: Any) -> dict[str, Any]:
    text = "&".join(f"{name}={value}" for name, values in query.items() for value in values)
    answer = service.send("DELETE", f"{path}?{text}")
    assert answer.status == 200
    deleted: dict[str, Any] = answer.json
    return deleted


def test_a_deleted_run_or_prediction_comes_back_when_its_calls_are_sent_again(
    any_service: Service, project: str
) -> None:
    replay(any_service, project)
    before, path = scores_of(any_service, project), f"/v2/acme/{project}"
    predictions = ids(any_service, f"{path}/predictions", "prediction_id")
    delete(any_service, f"{path}/predictions", prediction_ids=predictions)
    assert scores_of(any_service, project) == []
    replay(any_service, project)
    assert scores_of(any_service, project) == before
    runs = ids(any_service, f"{path}/evaluation_runs", "evaluation_run_id")
    delete(any_service, f"{path}/evaluation_runs", evaluation_run_ids=runs)
    assert scores_of(any_service, project) == []
    replay(any_service, project)
    assert scores_of(any_service, project) == before
