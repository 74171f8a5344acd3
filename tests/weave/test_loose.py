"""Feedback on calls outside of evaluations becomes scores without a run, whatever comes first."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest

from tests.processes import Service


def a_call(project: str, call_id: str, parent_id: str | None = None) -> tuple[str, Any]:
    """Return the request that sends a complete call."""
    call = {
        "project_id": f"acme/{project}",
        "id": call_id,
        "trace_id": "t",
        "parent_id": parent_id,
        "op_name": f"weave:///acme/{project}/op/{call_id}:d",
        "started_at": "2026-01-02T03:04:05Z",
        "ended_at": "2026-01-02T03:04:06Z",
        "output": 1,
    }
    return f"/v2/acme/{project}/calls/complete", {"batch": [call]}


def an_end(project: str, call_id: str) -> tuple[str, Any]:
    """Return the request that ends a call."""
    end = {"project_id": f"acme/{project}", "id": call_id, "ended_at": "2026-01-02T03:04:06Z"}
    return f"/v2/acme/{project}/call/end", {"end": end}


def feedback(project: str, call_id: str, value: Any = 0.5) -> tuple[str, Any]:
    """Return the request that sends the result of a scorer."""
    return "/feedback/create", {
        "project_id": f"acme/{project}",
        "weave_ref": f"weave:///acme/{project}/call/{call_id}",
        "feedback_type": "wandb.runnable.exact",
        "runnable_ref": f"weave:///acme/{project}/op/exact:d",
        "payload": {"output": value},
    }


def scores(service: Service, project: str) -> list[tuple[Any, ...]]:
    found = service.send("GET", f"/v2/acme/{project}/scores").body.splitlines()
    names = ("evaluation_run_id", "prediction_id", "value")
    return [tuple(json.loads(each)[name] for name in names) for each in found]


def send(service: Service, requests: list[tuple[str, Any]]) -> None:
    for path, body in requests:
        assert service.post(path, body).status == 200


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_feedback_waits_for_its_call_and_for_the_parent(
    service: Service, order: tuple[int, ...]
) -> None:
    project = uuid4().hex
    requests = [
        a_call(project, "root"),
        a_call(project, "child", "root"),
        feedback(project, "child"),
    ]
    for position in order:
        assert scores(service, project) == []
        send(service, [requests[position]])
    assert scores(service, project) == [(None, "child", 0.5)]


def test_feedback_on_a_call_that_has_only_ended_waits(any_service: Service) -> None:
    project = uuid4().hex
    send(any_service, [an_end(project, "root"), feedback(project, "root")])
    assert scores(any_service, project) == []
    send(any_service, [a_call(project, "root")])
    assert scores(any_service, project) == [(None, "root", 0.5)]
