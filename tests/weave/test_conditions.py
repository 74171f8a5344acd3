"""Conditions and sort orders of calls and feedback mean what they mean on Weave's own server."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.processes import Service

OUTPUTS: dict[str, Any] = {
    "whole": 1,
    "text": "1",
    "half": 2.5,
    "half-text": "2.5",
    "word": "abc",
    "true": True,
    "list": [1],
    "null": None,
    "absent": ...,
}
"""The field `output.a` of a call, by the call's id."""

A = {"$getField": "output.a"}
ALL = set(OUTPUTS)
NONE = {"null", "absent"}
NUMBERS = {"whole", "text", "half", "half-text"}


def lit(value: Any) -> dict[str, Any]:
    """Return a literal."""
    return {"$literal": value}


class Calls:
    """A project with a call for each of OUTPUTS."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.project_id = f"acme/p{uuid4().hex}"
        self.keys = {each: uuid4().hex for each in OUTPUTS}
        batch = [self._call(number, name) for number, name in enumerate(OUTPUTS)]
        self.post(f"/v2/{self.project_id}/calls/complete", {"batch": batch})

    def _call(self, number: int, name: str) -> dict[str, Any]:
        value = OUTPUTS[name]
        return {
            "project_id": self.project_id,
            "id": self.keys[name],
            "trace_id": f"trace-{number}",
            "parent_id": "parent" if name == "whole" else None,
            "op_name": "f",
            "thread_id": "t" if name == "whole" else None,
            "started_at": f"2026-01-01T00:00:0{number}Z",
            "ended_at": f"2026-01-01T00:00:0{number}Z",
            "attributes": {},
            "inputs": {},
            "output": {} if value is ... else {"a": value},
            "summary": {},
        }

    def post(self, path: str, content: dict[str, Any]) -> Any:
        """Return the answer to a request."""
        answer = self.service.post(path, content)
        assert answer.status == 200, answer.body
        return answer

    def react(self, name: str, *emojis: str) -> None:
        """Add reactions to a call."""
        for emoji in emojis:
            self.post(
                "/feedback/create",
                {
                    "project_id": self.project_id,
                    "weave_ref": f"weave:///{self.project_id}/call/{self.keys[name]}",
                    "feedback_type": "wandb.reaction.1",
                    "payload": {"emoji": emoji},
                },
            )

    def find(self, **request: Any) -> list[str]:
        """Return the names of the calls of a query."""
        answer = self.post("/calls/stream_query", {"project_id": self.project_id, **request})
        lines = answer.body.decode().splitlines()
        return [
            name for line in lines for name, key in self.keys.items() if f'"id":"{key}"' in line
        ]


@pytest.fixture(scope="module", params=["service", "mongodb_service"])
def calls(request: pytest.FixtureRequest) -> Calls:
    """Return a project with calls on each engine in turn."""
    return Calls(request.getfixturevalue(request.param))


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ({"$eq": [A, lit(1)]}, {"whole", "text"}),
        ({"$eq": [A, lit("1")]}, {"whole", "text"}),
        ({"$eq": [lit(2.5), A]}, {"half", "half-text"}),
        ({"$eq": [A, lit(True)]}, {"whole", "text", "true"}),
        ({"$eq": [A, lit("true")]}, {"true"}),
        ({"$eq": [A, lit("[1]")]}, {"list"}),
        ({"$eq": [A, lit("")]}, NONE),
        ({"$eq": [A, lit(None)]}, NONE),
        ({"$gt": [A, lit(1)]}, {"half", "half-text"}),
        ({"$gte": [A, lit(1)]}, NUMBERS),
        ({"$lt": [A, lit(2)]}, {"whole", "text"}),
        ({"$lt": [A, lit("1")]}, NONE),
        ({"$in": [A, [lit(1), lit(2.5)]]}, NUMBERS),
        ({"$in": [A, [lit("abc"), lit("")]]}, {"word", *NONE}),
        ({"$contains": {"input": A, "substr": lit("B"), "case_insensitive": True}}, {"word"}),
        ({"$not": [{"$eq": [A, lit("")]}]}, ALL - NONE),
        ({"$not": [{"$eq": [A, lit(1)]}]}, {"half", "half-text"}),
        ({"$not": [{"$gt": [A, lit(1)]}]}, {"whole", "text"}),
        ({"$not": [{"$in": [A, [lit(1)]]}]}, {"half", "half-text"}),
        ({"$gt": [{"$convert": {"input": A, "to": "double"}}, lit(0)]}, NUMBERS),
        ({"$gt": [{"$convert": {"input": A, "to": "int"}}, lit(0)]}, {"whole", "text"}),
        ({"$eq": [{"$getField": "parent_id"}, lit(None)]}, ALL - {"whole"}),
        ({"$eq": [{"$getField": "parent_id"}, lit("")]}, set()),
        ({"$not": [{"$eq": [{"$getField": "parent_id"}, lit("x")]}]}, {"whole"}),
        ({"$not": [{"$eq": [{"$getField": "op_name"}, lit(1)]}]}, set()),
    ],
)
def test_a_field_is_compared_as_what_the_literal_is(
    calls: Calls, condition: dict[str, Any], wanted: set[str]
) -> None:
    assert set(calls.find(query={"$expr": condition})) == wanted


def test_texts_that_are_numbers_are_sorted_as_numbers(calls: Calls) -> None:
    order = [
        {"field": "output.a", "direction": "desc"},
        {"field": "started_at", "direction": "asc"},
    ]
    in_order = ["half", "half-text", "whole", "text", "true", "word", "list", "null", "absent"]
    assert calls.find(sort_by=order) == in_order


def test_a_condition_looks_at_every_reaction(any_service: Service) -> None:
    calls = Calls(any_service)
    calls.react("whole", "👍", "🎉")
    calls.react("half", "👎")
    emoji = {"$getField": "feedback.[wandb.reaction.1].payload.emoji"}
    assert calls.find(query={"$expr": {"$eq": [emoji, lit("🎉")]}}) == ["whole"]
    assert calls.find(query={"$expr": {"$contains": {"input": emoji, "substr": lit("👎")}}}) == [
        "half"
    ]
    assert set(calls.find(query={"$expr": {"$eq": [emoji, lit(None)]}})) == ALL - {"whole", "half"}


def test_feedback_is_replaced_with_its_score(any_service: Service) -> None:
    calls = Calls(any_service)
    judged: dict[str, Any] = {
        "project_id": calls.project_id,
        "weave_ref": f"weave:///{calls.project_id}/call/{calls.keys['half']}",
        "feedback_type": "wandb.annotation.quality",
    }
    first = calls.post("/feedback/create", {**judged, "payload": {"value": 1}}).json
    replacing = {**judged, "payload": {"value": 2}, "feedback_id": first["id"]}
    second = calls.post("/feedback/replace", replacing).json
    assert second["payload"] == {"value": 2}
    query = {"project_id": calls.project_id, "fields": ["id", "payload.value", "payload.none"]}
    found = calls.post("/feedback/query", query).json["result"]
    assert found == [{"id": second["id"], "payload.value": "2", "payload.none": ""}]
    scores = any_service.send("GET", f"/v2/{calls.project_id}/scores").body.decode().splitlines()
    assert [json.loads(score)["value"] for score in scores] == [2]


def test_a_call_with_its_summary_has_its_end_and_its_name(calls: Calls) -> None:
    request = {"project_id": calls.project_id, "columns": ["summary"], "limit": 1}
    call = calls.post("/calls/stream_query", request).json
    assert call["ended_at"] == call["started_at"] == "2026-01-01T00:00:00.000000Z"
    assert call["output"] is None


def test_a_call_of_which_only_the_end_has_arrived_is_not_read(any_service: Service) -> None:
    calls = Calls(any_service)
    call_id = uuid4().hex
    end = {"project_id": calls.project_id, "id": call_id, "ended_at": "2026-01-01T00:00:00Z"}
    calls.post(f"/v2/{calls.project_id}/call/end", {"end": end})
    read = {"project_id": calls.project_id, "id": call_id}
    assert calls.post("/call/read", read).json == {"call": None}
    start = {**end, "trace_id": "t", "op_name": "f", "started_at": "2026-01-01T00:00:00Z"}
    calls.post(f"/v2/{calls.project_id}/call/start", {"start": start})
    assert calls.post("/call/read", read).json["call"]["ended_at"] == "2026-01-01T00:00:00.000000Z"


def test_an_empty_list_of_threads_or_turns_finds_nothing(calls: Calls) -> None:
    assert calls.find(filter={"thread_ids": []}) == calls.find(filter={"turn_ids": []}) == []
    assert calls.find(filter={"thread_ids": ["t"]}) == ["whole"]
    assert set(calls.find(filter={"call_ids": [], "op_names": [], "thread_ids": None})) == ALL


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("/calls/query_stats", {"limit": 0}),
        ("/calls/stream_query", {"query": {"$expr": {"$eq": [A, lit(1)]}, "limit": 1}}),
        ("/feedback/purge", {"query": {"$expr": {"$or": []}}}),
        ("/call/update", {"call_id": "c"}),
        ("/call/update", {"call_id": "c", "display_name": None}),
        ("/calls/stream_query", {"query": {"$expr": {"$and": []}}}),
        (
            "/calls/stream_query",
            {"query": {"$expr": {"$gt": [{"$getField": "started_at"}, lit("x")]}}},
        ),
        ("/feedback/query", {"query": {"$expr": {"$lt": [{"$getField": "created_at"}, lit("")]}}}),
    ],
)
def test_a_query_that_has_no_meaning_is_refused(
    service: Service, path: str, request_: dict[str, Any]
) -> None:
    assert service.post(path, {"project_id": "acme/none", **request_}).status == 422
