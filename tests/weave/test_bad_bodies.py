"""Bodies that cannot be read are refused, and one odd value costs nothing else of its batch."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.processes import Service

OUTER = (
    '{"id": "%s", "parent_id": "run", "op_name": "Evaluation.predict_and_score",'
    ' "started_at": "2026-01-02T00:00:00Z", "ended_at": "2026-01-02T00:00:01Z", %s}'
)
NUMBER = "9" * 5_000
DEEP = "[" * 950 + "]" * 950
ODD = {
    "a number beyond doubles": '"output": {"scores": {"s": 1e999}}',
    "a number of too many digits": f'"output": {{"scores": {{"s": {NUMBER}}}}}',
    "a deep value": f'"output": {{"scores": {{"s": {DEEP}}}}}',
    "a deep input": f'"inputs": {{"example": {DEEP}}}',
    "an odd exception": r'"exception": "{\"type\": \"E\", \"message\": \"\\ud800\"}"',
    "a deep exception": f'"exception": "{"[" * 5_000}"',
    "the first of all times": '"started_at": "0001-01-01T00:00:00+14:00"',
    "the last of all times": '"started_at": "9999-12-31T23:59:59-14:00"',
    "no time": '"started_at": "yesterday"',
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_value_costs_nothing_else_of_its_batch(service: Service, odd: str) -> None:
    project = uuid4().hex
    calls = [OUTER % ("odd", ODD[odd]), OUTER % ("plain", '"output": {"scores": {"s": 1}}')]
    body = f'{{"batch": [{", ".join(calls)}]}}'.encode()
    assert service.send("POST", f"/v2/acme/{project}/calls/complete", body).status == 200
    listed = service.send("GET", f"/v2/acme/{project}/scores").body.splitlines()
    values = {each["prediction_id"]: each["value"] for each in map(json.loads, listed)}
    assert values.pop("plain") == 1
    assert values in ({}, {"odd": None})


@pytest.mark.parametrize("value", ["1e999", NUMBER, DEEP])
def test_feedback_with_an_odd_value_is_answered(service: Service, value: str) -> None:
    body = (
        f'{{"project_id": "acme/{uuid4().hex}", "weave_ref": "weave:///acme/x/call/c",'
        f' "feedback_type": "wandb.runnable.s", "payload": {{"output": {value}}}}}'
    )
    answer = service.send("POST", "/feedback/create", body.encode())
    assert answer.status == 200
    assert answer.json["payload"] in ({}, {"output": None})


ROUTES = (
    *("/v2/acme/x/calls/complete", "/v2/acme/x/call/start", "/v2/acme/x/call/end"),
    *("/call/upsert_batch", "/feedback/create", "/feedback/batch/create", "/graphql"),
    *("/obj/create", "/table/create", "/table/create_from_digests", "/table/update"),
    "/file/create",
)
BAD = (
    *(b"", b"null", b"[]", b"{", b'{"batch": 1}', b'{"batch": [1]}', b'{"start": 1}'),
    *(b'{"end": {}}', b'{"obj": 1}', b'{"obj": null}', b'{"table": []}', b'{"batch": [NaN]}'),
    *(b'{"batch": ["\xff"]}', b'{"batch": [' + b"[" * 3_000 + b"]" * 3_000 + b"]}"),
    b'{"batch": [{"mode": "stop", "req": {}, "id": 1}]}',
)


@pytest.mark.parametrize("path", ROUTES)
def test_bodies_of_another_shape_are_refused(service: Service, path: str) -> None:
    for body in BAD:
        answer = service.send("POST", path, body)
        assert answer.status in (400, 422), body
        assert answer.json["detail"]


MISFITS: dict[str, list[dict[str, Any]]] = {
    "a row that is no object": [{"append": {"row": "text"}}],
    "an insert of no object": [{"insert": {"index": 0, "row": [1]}}],
    "an index beyond 64 bits": [{"insert": {"index": 2**70, "row": {}}}],
    "a pop beyond 64 bits": [{"pop": {"index": 2**70}}],
    "a pop of nothing": [{"pop": {"index": 1}}],
    "a pop before the first": [{"pop": {"index": -1}}],
    "an insert behind the end": [{"insert": {"index": 2, "row": {}}}],
    "an insert before the first": [{"insert": {"index": -1, "row": {}}}],
    "an index that is no number": [{"pop": {"index": "0"}}],
    "an update of nothing": [{}],
    "too many inserts": [{"insert": {"index": 0, "row": {}}}] * 1_001,
}


@pytest.mark.parametrize("updates", MISFITS.values(), ids=list(MISFITS))
def test_an_update_that_does_not_fit_a_table_is_refused(
    service: Service, updates: list[dict[str, Any]]
) -> None:
    place = {"project_id": f"acme/{uuid4().hex}"}
    made = service.post("/table/create", {"table": {**place, "rows": [{"a": 1}]}}).json
    body = {**place, "base_digest": made["digest"], "updates": updates}
    answer = service.post("/table/update", body)
    assert (answer.status, answer.json["detail"][0]["loc"]) == (422, ["body", "updates"])


@pytest.mark.parametrize(
    "path",
    ["/table/query", "/objs/query", "/calls/stream_query", "/feedback/query", "/cost/query"],
)
def test_sort_orders_of_another_shape_are_refused(service: Service, path: str) -> None:
    body = {"project_id": f"acme/{uuid4().hex}", "digest": "d"}
    order = {"field": "created_at", "direction": "asc"}
    for sort_by, loc in (
        ([None], ["body", "sort_by", 0]),
        ([order] * 11, ["body", "sort_by"]),
    ):
        answer = service.post(path, {**body, "sort_by": sort_by})
        assert (answer.status, answer.json["detail"][0]["loc"]) == (422, loc)
