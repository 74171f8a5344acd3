"""Calls of any size that fits in a body are kept, and read back as they were sent."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.processes import Service

TEXT = "".join(f"{n:07} " for n in range(2_500_000)) + 'é😀"\n'
"""A text of 20 MB."""

SCORER = "weave:///acme/{}/op/exact:d"


@pytest.fixture
def project(any_service: Service) -> str:
    """Return a new project's name on each engine in turn."""
    return f"large-{uuid4().hex}"


def a_call(project: str, call_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "project_id": f"acme/{project}",
        "id": call_id,
        "trace_id": "t",
        "op_name": "f",
        "started_at": "2026-01-02T03:04:05Z",
        "ended_at": "2026-01-02T03:04:06Z",
        "attributes": {},
        "inputs": {},
        "output": None,
        "summary": {},
        **fields,
    }


def send(service: Service, project: str, *calls: dict[str, Any]) -> None:
    answer = service.post(f"/v2/acme/{project}/calls/complete", {"batch": calls})
    assert answer.status == 200, answer.body[:500]


def read(service: Service, project: str) -> list[dict[str, Any]]:
    answer = service.post("/calls/stream_query", {"project_id": f"acme/{project}"})
    assert answer.status == 200
    return [json.loads(line) for line in answer.body.splitlines()]


def test_a_prediction_and_its_score_may_be_as_large(any_service: Service, project: str) -> None:
    half = TEXT[: len(TEXT) // 2] * 2
    ref = "weave:///acme/{}/op/Evaluation.{}:d"
    run = a_call(project, "r", op_name=ref.format(project, "evaluate"))
    outer = a_call(
        project,
        "p",
        parent_id="r",
        op_name=ref.format(project, "predict_and_score"),
        inputs={"example": {"q": 1}},
        output={"output": None, "scores": {}},
    )
    scorer = a_call(project, "s", parent_id="p", op_name=SCORER.format(project), output=TEXT)
    scorer["started_at"] = scorer["ended_at"]  # After the model.
    send(any_service, project, run, outer, a_call(project, "m", parent_id="p", output=half))
    send(any_service, project, scorer)
    answer = any_service.send("GET", f"/v2/acme/{project}/predictions")
    (prediction,) = [json.loads(line) for line in answer.body.splitlines()]
    assert prediction["output"] == half
    answer = any_service.send("GET", f"/v2/acme/{project}/scores")
    (score,) = [json.loads(line) for line in answer.body.splitlines()]
    assert score["value"] == TEXT


def test_a_call_of_twenty_megabytes_is_read_back(any_service: Service, project: str) -> None:
    send(any_service, project, a_call(project, "c", output=TEXT), a_call(project, "d"))
    first, second = read(any_service, project)
    assert first["output"] == TEXT
    assert second["id"] == "d"
