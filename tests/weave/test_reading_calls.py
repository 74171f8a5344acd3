"""Calls and feedback are read back as Weave's own server answers."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from app.errors import InvalidParameter
from app.services.lists import no_client_check
from app.weave import queries
from tests.golden import golden_rows
from tests.processes import Service
from tests.weave.test_recordings import RECORDED, requests_of, send

NOT_COMPARED = {"wb_user_id", "total_storage_size_bytes"}
"""What Scoreline answers otherwise: the owner of the key, and no sizes."""

EVALUATE = "weave:///acme/eval/op/Evaluation.evaluate:*"


class Project:
    """A new project, which is named as the recorded one in requests and answers."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.project_id = f"acme/p{uuid4().hex}"

    def ask(self, path: str, request: dict[str, Any]) -> Any:
        """Return the answer to a request, with the name of the recorded project in it."""
        sent = json.dumps({"project_id": RECORDED, **request})
        answer = self.service.post(path, json.loads(sent.replace(RECORDED, self.project_id)))
        assert answer.status == 200, answer.body
        text = answer.body.decode().replace(self.project_id, RECORDED)
        if path == "/calls/stream_query":
            return [json.loads(line) for line in text.splitlines()]
        return json.loads(text)

    def ids(self, **request: Any) -> list[str]:
        """Return the ids of the calls of a query."""
        return [call["id"] for call in self.ask("/calls/stream_query", request)]


@pytest.fixture(scope="module", params=["service", "mongodb_service"])
def recorded(request: pytest.FixtureRequest) -> Project:
    """Return a project with recorded calls on each engine in turn."""
    project = Project(request.getfixturevalue(request.param))
    for recording in ("evaluation-0.54.0", "logger-0.54.0"):
        for path, body in requests_of(recording, project.project_id.partition("/")[2]):
            send(project.service, path, body)
    return project


def comparable(value: Any) -> Any:
    """Return a value without what is not compared."""
    if isinstance(value, list):
        return [comparable(each) for each in value]
    if not isinstance(value, dict):
        return value
    left_out = {*NOT_COMPARED, *({"created_at"} if "feedback_type" in value else ())}
    return {name: comparable(each) for name, each in value.items() if name not in left_out}


def outcome(path: str, answer: Any, wanted: dict[str, Any]) -> Any:
    """Return the part of an answer that the golden file has."""
    if path == "/calls/stream_query":
        answer = {"calls": answer, "ids": [call["id"] for call in answer]}
    elif path == "/feedback/query":
        ids = [each.get("id") for each in answer["result"]]
        answer = {**answer, "ids": ids}
    return {name: comparable(answer[name]) for name in wanted if name not in NOT_COMPARED}


@pytest.mark.parametrize("row", golden_rows("weave-reads.jsonl"))
def test_answers_are_those_of_weaves_server(recorded: Project, row: dict[str, Any]) -> None:
    answer = recorded.ask(row["path"], row["request"])
    wanted = {name: comparable(each) for name, each in row["answer"].items()}
    assert outcome(row["path"], answer, wanted) == {
        name: each for name, each in wanted.items() if name not in NOT_COMPARED
    }


def test_an_sdk_that_refuses_unknown_fields_of_feedback_gets_none_at_its_default(
    recorded: Project,
) -> None:
    headers = {"User-Agent": "python-httpx/0.28.1", "X-Weave-Retry-Id": "1"}
    query = {"project_id": recorded.project_id, "limit": 1}
    answer = recorded.service.post("/feedback/query", query, headers=headers)
    (found,) = answer.json["result"]
    known = {"project_id", "wb_user_id", "creator", "created_at", "payload", "call_ref"}
    known |= {"id", "weave_ref", "feedback_type", "runnable_ref"}
    assert found.keys() == known


def test_a_page_is_a_part_of_the_whole(recorded: Project) -> None:
    whole = recorded.ids()
    pages = [recorded.ids(limit=40, offset=offset) for offset in range(0, len(whole), 40)]
    assert [each for page in pages for each in page] == whole
    assert recorded.ask("/calls/query_stats", {})["count"] == len(whole) == len(set(whole))


def test_every_call_of_a_long_answer_has_its_feedback(recorded: Project) -> None:
    calls = recorded.ask("/calls/stream_query", {"include_feedback": True})
    found = [each["id"] for call in calls for each in call["summary"]["weave"].get("feedback", ())]
    sent = recorded.ask("/feedback/query", {})["result"]
    assert sorted(found) == sorted(each["id"] for each in sent)


def test_columns_that_are_not_wanted_are_empty(recorded: Project) -> None:
    request = {"filter": {"op_names": [EVALUATE]}, "limit": 1}
    (whole,) = recorded.ask("/calls/stream_query", request)
    (call,) = recorded.ask("/calls/stream_query", {**request, "columns": ["inputs.self"]})
    assert call["inputs"] == whole["inputs"]
    assert (call["attributes"], call["output"], call["ended_at"]) == ({}, None, None)
    assert call["summary"] == {"weave": whole["summary"]["weave"]}


def test_a_reference_is_replaced_by_its_object(any_service: Service) -> None:
    project = Project(any_service)
    value = {"_type": "M", "factor": 4}
    obj = {"project_id": RECORDED, "object_id": "M", "val": value}
    ref = f"weave:///{RECORDED}/object/M:{project.ask('/obj/create', {'obj': obj})['digest']}"
    call = {
        "project_id": RECORDED,
        "id": "expanded",
        "trace_id": "expanded",
        "op_name": "f",
        "started_at": "2020-01-01T00:00:00Z",
        "inputs": {"self": ref, "other": f"{ref}x"},
    }
    project.ask("/call/upsert_batch", {"batch": [{"mode": "start", "req": {"start": call}}]})
    query = {"$expr": {"$eq": [{"$getField": "inputs.self.factor"}, {"$literal": 4}]}}
    request: dict[str, Any] = {
        "query": query,
        "expand_columns": ["inputs.self", "inputs.other", "output.none"],
    }
    (found,) = project.ask("/calls/stream_query", request)
    assert found["inputs"] == {"self": {**value, "_ref": ref}, "other": f"{ref}x"}
    request["return_expanded_column_values"] = False
    (found,) = project.ask("/calls/stream_query", request)
    assert found["inputs"]["self"] == ref


def field(name: str) -> dict[str, Any]:
    return {"$eq": [{"$getField": name}, {"$literal": 1}]}


@pytest.mark.parametrize(
    ("path", "request_", "loc"),
    [
        ("/calls/stream_query", {"query": {"$expr": field("nothing")}}, "query"),
        ("/calls/stream_query", {"query": {"$expr": field("id.x")}}, "query"),
        ("/calls/stream_query", {"query": {"$expr": field("feedback.x")}}, "query"),
        ("/calls/stream_query", {"query": {"$expr": field("summary.weave.x")}}, "query"),
        ("/calls/stream_query", {"query": {"$expr": {"$where": 1}}}, "query"),
        ("/calls/stream_query", {"query": {}}, "query"),
        ("/calls/stream_query", {"sort_by": [{"field": "id", "direction": "up"}]}, "sort_by"),
        ("/calls/stream_query", {"sort_by": [{"field": "x", "direction": "asc"}]}, "query"),
        ("/calls/stream_query", {"filter": {"call_ids": [1]}}, "filter"),
        ("/calls/stream_query", {"filter": []}, "filter"),
        ("/calls/query_stats", {"query": {"$expr": {"$eq": [1]}}}, "query"),
        ("/feedback/query", {"query": {"$expr": field("nothing")}}, "query"),
        ("/feedback/query", {"fields": ["nothing"]}, "query"),
        ("/call/read", {}, "id"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused(
    service: Service, path: str, request_: dict[str, Any], loc: str
) -> None:
    answer = service.post(path, {"project_id": "acme/none", **request_})
    assert answer.status == 422
    assert json.loads(answer.body)["detail"][0]["loc"][:2] == ["body", loc]


@pytest.mark.parametrize("operator", ["$eq", "$in"])
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/calls/stream_query", "started_at"),
        ("/feedback/query", "created_at"),
        ("/cost/query", "effective_date"),
    ],
)
def test_a_deep_operand_is_refused(service: Service, path: str, name: str, operator: str) -> None:
    operand: Any = []
    for _ in range(900):
        operand = [operand]
    query = {"$expr": {operator: [{"$getField": name}, operand]}}
    answer = service.post(path, {"project_id": "acme/none", "query": query})
    assert (answer.status, answer.json["detail"][0]["loc"]) == (422, ["body", "query"])


def test_a_query_looks_at_a_bounded_number_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(queries.LIMITS, "documents", 2)
    counts = queries.Counts(no_client_check)
    counts.add(documents=2, characters=1)
    with pytest.raises(InvalidParameter, match="over 2 documents"):
        counts.add(documents=1)


@pytest.mark.parametrize("name", ["id", "trace_id", "parent_id", "op_name"])
def test_a_lone_surrogate_in_a_condition_finds_nothing(any_service: Service, name: str) -> None:
    equal = {"$eq": [{"$getField": name}, {"$literal": "\ud800"}]}
    request = {"query": {"$expr": equal}}
    assert Project(any_service).ids(**request) == []


@pytest.mark.parametrize("name", ["id", "weave_ref", "feedback_type"])
def test_a_lone_surrogate_in_a_condition_finds_no_feedback(any_service: Service, name: str) -> None:
    literal = "weave:///acme/eval/call/\ud800"
    request = {"query": {"$expr": {"$eq": [{"$getField": name}, {"$literal": literal}]}}}
    assert Project(any_service).ask("/feedback/query", request)["result"] == []
