"""Definitions under /v2, compared with the recorded answers of Weave's own server."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.golden import golden_rows
from tests.processes import Service

PLACE = "/v2/acme/v2"
KINDS = ("ops", "datasets", "scorers", "models", "evaluations")
NOT_COMPARED = ("created_at", "evaluate_op", "predict_and_score_op", "summarize_op")
"""Fields that differ: Weave's server makes up other code for the ops of an evaluation."""


@pytest.fixture
def place() -> str:
    """Return entity and project of a new project."""
    return f"acme/d{uuid4().hex}"


def comparable(content: Any) -> Any:
    if isinstance(content, list):
        return [comparable(each) for each in content]
    return {name: each for name, each in content.items() if name not in NOT_COMPARED}


def test_definitions_answer_what_weaves_own_server_answers(
    any_service: Service, place: str
) -> None:
    renamed = {"acme/v2": place}
    for recorded in golden_rows("weave_definitions.jsonl"):
        text = json.dumps(recorded)
        for theirs, ours in renamed.items():
            text = text.replace(theirs, ours)
        row = json.loads(text)
        body = None if row["request"] is None else json.dumps(row["request"]).encode()
        answer = any_service.send(row["method"], row["path"], body)
        assert answer.status == row["status"], row
        if answer.status == 404:
            assert answer.json["reason"].split(" at ")[0] in row["response"]["reason"]
            continue
        is_list = isinstance(row["response"], list)
        lines = answer.body.splitlines()
        found: Any = [json.loads(line) for line in lines] if is_list else answer.json
        if row["method"] == "POST" and found["digest"] != row["response"]["digest"]:
            # Weave computes the digest of an object with references to others differently.
            assert recorded["path"].endswith(("/datasets", "/evaluations"))
            renamed[row["response"]["digest"]] = found["digest"]
            row = json.loads(json.dumps(row).replace(row["response"]["digest"], found["digest"]))
        assert comparable(found) == comparable(row["response"]), row


def test_what_the_sdk_publishes_is_a_definition_and_the_reverse(
    service: Service, place: str
) -> None:
    value = {"_class_name": "Mine", "_bases": ["Model", "Object", "BaseModel"], "temperature": 0.5}
    obj = {"project_id": place, "object_id": "mine", "val": value}
    digest = service.post("/obj/create", {"obj": obj}).json["digest"]
    model = service.send("GET", f"/v2/{place}/models/mine/versions/latest").json
    assert model["digest"] == digest
    assert model["attributes"] == {"temperature": 0.5}
    assert (model["name"], model["source_code"]) == ("mine", "")
    made = service.post(f"/v2/{place}/datasets", {"name": "Rows/Of it!", "rows": [{"q": 1}]}).json
    assert made["object_id"] == "rows_of_it"
    body = {"project_id": place, "object_id": "rows_of_it", "digest": made["digest"]}
    assert service.post("/obj/read", body).json["obj"]["base_object_class"] == "Dataset"


def test_an_object_of_another_kind_is_no_definition(service: Service, place: str) -> None:
    service.post(f"/v2/{place}/ops", {"name": "f", "source_code": "def f(): pass"})
    for kind in KINDS[1:]:
        assert service.send("GET", f"/v2/{place}/{kind}/f/versions/v0").status == 404
        assert service.send("DELETE", f"/v2/{place}/{kind}/f").status == 404
        assert service.send("GET", f"/v2/{place}/{kind}").body == b""
    assert service.send("GET", f"/v2/{place}/ops/f/versions/v0").json["code"] == "def f(): pass"
