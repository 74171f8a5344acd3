"""Lone surrogates, as of a text that was cut within an emoji, cost nothing that was sent.

Values keep them. In names, ids, references and errors, U+FFFD is in their place.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.processes import Service

LONE, KEPT = "a\ud83d", "a\ufffd"
PAIR = "a😀"
TIMES = {"started_at": "2026-01-02T00:00:00Z", "ended_at": "2026-01-02T00:00:01Z"}


@pytest.fixture
def project() -> str:
    """Return the name of a new project."""
    return f"p{uuid4().hex}"


def send(service: Service, path: str, body: Any) -> Any:
    answer = service.post(path, body)  # `json.dumps` escapes surrogates, as the SDK does.
    assert answer.status == 200, answer.body
    return answer.json


def listed(service: Service, path: str) -> list[Any]:
    return [json.loads(line) for line in service.send("GET", path).body.splitlines()]


def evaluation(project: str) -> list[dict[str, Any]]:
    """Return the calls of an evaluation, with a lone surrogate wherever there is text."""
    place = {"project_id": f"acme/{project}", "trace_id": LONE, **TIMES}
    run = {
        "id": f"run {LONE}",
        "op_name": "Evaluation.evaluate",
        "display_name": LONE,
        "inputs": {"self": LONE, "model": LONE},
        "attributes": {LONE: LONE},
    }
    outer = {
        "id": f"outer {LONE}",
        "parent_id": run["id"],
        "op_name": "Evaluation.predict_and_score",
        "inputs": {"model": LONE, "example": {LONE: LONE, "\\ud83d": PAIR}},
        "output": {"output": LONE, "scores": {LONE: {LONE: LONE}}},
    }
    failed = {"id": "failed", "parent_id": outer["id"], "op_name": "s", "exception": LONE}
    model = {"id": "model", "parent_id": outer["id"], "op_name": LONE, "output": LONE}
    plain = {"id": "plain", "op_name": "f", "output": 1}
    return [{**place, **call} for call in (run, outer, model, failed, plain)]


def test_calls_and_feedback_are_kept_with_their_batch(any_service: Service, project: str) -> None:
    calls, base = evaluation(project), f"/v2/acme/{project}"
    send(any_service, f"{base}/calls/complete", {"batch": calls})
    feedback = {
        "project_id": f"acme/{project}",
        "weave_ref": f"weave:///acme/{project}/call/{calls[1]['id']}",
        "feedback_type": f"wandb.annotation.{LONE}",
        "creator": LONE,
        "payload": {"value": LONE},
    }
    sent = {**feedback, "id": LONE}
    (answer,) = send(any_service, "/feedback/batch/create", {"batch": [sent]})["res"]
    assert (answer["id"], answer["payload"]) == (KEPT, {"value": LONE})
    send(any_service, "/feedback/create", sent)
    (run,) = listed(any_service, f"{base}/evaluation_runs")
    assert (run["evaluation_run_id"], run["name"]) == (f"run {KEPT}", KEPT)
    assert (run["model"], run["attributes"]) == (KEPT, {LONE: LONE})
    (prediction,) = listed(any_service, f"{base}/predictions")
    assert prediction["inputs"] == {LONE: LONE, "\\ud83d": PAIR}
    assert (prediction["output"], prediction["model"]) == (LONE, KEPT)
    scores = {
        (each["scorer"], each.get("annotator")): each
        for each in listed(any_service, f"{base}/scores")
    }
    assert scores[KEPT, None]["value"] == {LONE: LONE}
    assert scores[KEPT, KEPT]["value"] == LONE
    assert scores["s", None]["error"] == KEPT
    read = {"project_id": f"acme/{project}", "id": "plain"}
    assert send(any_service, "/call/read", read)["call"]["output"] == 1
    assert any_service.send("GET", f"{base}/scores/summary?group_by=scorer").status == 200


def test_starts_and_ends_are_kept(any_service: Service, project: str) -> None:
    start = {"project_id": f"acme/{project}", "id": LONE, "trace_id": "t", "op_name": LONE, **TIMES}
    end = {**start, "output": LONE, "display_name": None}
    steps = {
        "batch": [{"mode": "start", "req": {"start": start}}, {"mode": "end", "req": {"end": end}}]
    }
    assert send(any_service, "/call/upsert_batch", steps)["res"] == [
        {"id": KEPT, "trace_id": "t"},
        {},
    ]
    started = send(any_service, f"/v2/acme/{project}/call/start", {"start": start})
    assert started["id"] == KEPT
    send(any_service, f"/v2/acme/{project}/call/end", {"end": end})
    renamed = {"project_id": f"acme/{project}", "call_id": KEPT, "display_name": "Mine"}
    send(any_service, "/call/update", renamed)
    read = {"project_id": f"acme/{project}", "id": KEPT}
    call = send(any_service, "/call/read", read)["call"]
    assert (call["output"], call["display_name"]) == (LONE, "Mine")


def test_an_object_is_never_refused(any_service: Service, project: str) -> None:
    value = {"_class_name": LONE, "_bases": [LONE, "Object", "BaseModel"], LONE: LONE}
    place = {"project_id": f"acme/{project}"}
    sent = {**place, "object_id": LONE, "val": value}
    made = send(any_service, "/obj/create", {"obj": sent})
    assert made["object_id"] == KEPT
    assert send(any_service, "/obj/create", {"obj": sent}) == made
    found = {**place, "object_id": KEPT, "digest": made["digest"]}
    assert send(any_service, "/obj/read", found)["obj"]["val"] == value
    table = {"table": {**place, "rows": [{LONE: LONE}]}}
    digest = send(any_service, "/table/create", table)["digest"]
    rows = send(any_service, "/table/query", {**place, "digest": digest})["rows"]
    assert [each["val"] for each in rows] == [{LONE: LONE}]


def test_what_has_such_a_reference_or_digest_is_read_back(
    any_service: Service, project: str
) -> None:
    place = {"project_id": f"acme/{project}"}
    values = {
        "f": {"_type": "CustomWeaveType", "weave_type": {"type": "Op"}, "files": {"obj.py": LONE}},
        "m": {"_class_name": "Model", "_bases": ["Object", "BaseModel"], "files": {"obj.py": LONE}},
    }
    for name, value in values.items():
        sent = {**place, "object_id": name, "val": value}
        send(any_service, "/obj/create", {"obj": sent})
    base = f"/v2/acme/{project}"
    assert [each["code"] for each in listed(any_service, f"{base}/ops")] == [""]
    assert [each["source_code"] for each in listed(any_service, f"{base}/models")] == [""]
    ref = f"weave:///acme/{project}/object/{LONE}:{LONE}"
    _, outer, *_ = evaluation(project)
    outer["inputs"]["example"] = {"object": f"{ref}/attr/x", "row": f"{ref}/attr/rows/id/{LONE}"}
    outer["output"] = {"output": ref, "scores": {}}
    send(any_service, f"{base}/calls/complete", {"batch": [outer]})
    (prediction,) = listed(any_service, f"{base}/predictions")
    assert prediction["inputs"] == outer["inputs"]["example"]
    query = {**place, "expand_columns": ["inputs.example.object", "output.output"]}
    (line,) = any_service.post("/calls/stream_query", query).body.splitlines()
    assert json.loads(line)["output"] == outer["output"]


NAMED: dict[str, dict[str, Any]] = {
    "/table/create_from_digests": {"row_digests": [LONE]},
    "/table/update": {"base_digest": LONE, "updates": []},
    "/call/update": {"call_id": LONE, "display_name": "x"},
    "/calls/delete": {"call_ids": [LONE]},
    "/obj/read": {"object_id": LONE, "digest": LONE},
    "/obj/delete": {"object_id": LONE},
    "/table/query": {"digest": LONE},
    "/file/content": {"digest": LONE},
    "/refs/read_batch": {"refs": [f"weave:///acme/x/object/{LONE}:d"]},
    "/call/read": {"id": LONE},
}


@pytest.mark.parametrize("path", NAMED)
def test_what_names_something_else_is_refused(any_service: Service, path: str) -> None:
    answer = any_service.post(path, {"project_id": "acme/x", **NAMED[path]})
    assert answer.status == 422
    assert answer.json["detail"]


@pytest.mark.parametrize("path", ["/feedback/create", "/obj/create", "/call/upsert_batch"])
def test_a_project_with_such_a_name_is_refused(service: Service, path: str) -> None:
    item: dict[str, Any] = {"project_id": f"acme/{LONE}", "weave_ref": "w", "feedback_type": "t"}
    step = {"mode": "start", "req": {"start": item}}
    body = {**item, "batch": [step], "obj": {**item, "object_id": "o", "val": 1}}
    assert service.post(path, body).status in (400, 422)
