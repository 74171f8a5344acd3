"""Feedback whose call has not arrived is counted where one looks at its project."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.processes import Service


@pytest.fixture
def project() -> str:
    """Return the name of a new project."""
    return f"p{uuid4().hex}"


def judge(service: Service, project: str, call_id: str, kind: str = "wandb.runnable.S") -> None:
    body = {
        "project_id": f"acme/{project}",
        "id": f"of {call_id} {kind}",
        "weave_ref": f"weave:///acme/{project}/call/{call_id}",
        "feedback_type": kind,
        "payload": {"output": 1},
    }
    assert service.post("/feedback/create", body).status == 200


def call(service: Service, project: str, call_id: str, **fields: Any) -> None:
    moment = "2026-01-02T03:04:05Z"
    sent = {
        "project_id": f"acme/{project}",
        "id": call_id,
        "trace_id": "t",
        "op_name": "f",
        "started_at": moment,
        "ended_at": moment,
        "attributes": {},
        "inputs": {},
        **fields,
    }
    path = f"/v2/acme/{project}/calls/complete"
    assert service.post(path, {"batch": [sent]}).status == 200


def counted(service: Service, project: str) -> tuple[int, int]:
    """Return how much feedback waits in a project, and how many scores there are."""
    listed = service.send("GET", "/v1/projects?limit=1000").body.splitlines()
    (found,) = (each for each in map(json.loads, listed) if each["project"] == project)
    return found["waiting_feedback"], found["scores"]


def test_feedback_waits_for_its_call_and_its_parent(any_service: Service, project: str) -> None:
    judge(any_service, project, "child")
    judge(any_service, project, "child", "wandb.note.1")
    assert counted(any_service, project) == (1, 0)
    call(any_service, project, "child", parent_id="parent")
    assert counted(any_service, project) == (1, 0)
    judge(any_service, project, "child")
    assert counted(any_service, project) == (1, 0)
    call(any_service, project, "parent")
    assert counted(any_service, project) == (0, 1)
    judge(any_service, project, "child")
    assert counted(any_service, project) == (0, 1)


def test_feedback_on_a_prediction_waits_until_its_score_is_made(
    any_service: Service, project: str
) -> None:
    judge(any_service, project, "predict")
    call(any_service, project, "predict", parent_id="p&s")
    call(any_service, project, "p&s", parent_id="run", op_name="Evaluation.predict_and_score")
    assert counted(any_service, project) == (0, 1)


def test_of_feedback_that_meets_its_call_none_is_left_waiting(
    any_service: Service, project: str
) -> None:
    names = [f"c{number}" for number in range(12)]
    with ThreadPoolExecutor(8) as pool:
        works = [
            pool.submit(send, any_service, project, name)
            for name in names
            for send in (judge, call)
        ]
        for work in works:
            work.result()
    assert counted(any_service, project) == (0, len(names))


def test_feedback_that_is_deleted_waits_no_more(any_service: Service, project: str) -> None:
    judge(any_service, project, "c")
    judge(any_service, project, "d")
    query = {"$expr": {"$eq": [{"$getField": "id"}, {"$literal": "of c wandb.runnable.S"}]}}
    body = {"project_id": f"acme/{project}", "query": query}
    assert any_service.post("/feedback/purge", body).status == 200
    assert counted(any_service, project) == (1, 0)
