"""Lists of errors are bounded, and state how many errors were left out."""

from __future__ import annotations

import json
import re
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from app.api import openapi
from app.api.inputs import MAX_ECHOED, MAX_ERRORS
from tests.processes import ADMIN_KEY, Answer, Service

SCORES = "/v2/acme/error-lists/scores"
GOOD = {"prediction_id": "p", "scorer": "s", "value": 1}
IMPORTED = {
    **GOOD,
    "score_id": "01972f6e-1b80-7000-8000-000000000001",
    "created_at": "2025-06-02T06:57:14.624Z",
}


def lines(service: Service, path: str, texts: list[str]) -> Answer:
    headers = {"Content-Type": "application/jsonl"}
    return service.send("POST", path, "\n".join(texts).encode(), headers)


def more(number: int) -> dict[str, Any]:
    message = f"{number} more error{'s' if number > 1 else ''}"
    return {"type": "too_many_errors", "loc": ["body"], "msg": message, "input": None}


@pytest.mark.parametrize("empty", [33, 34, 50, 10_000])
def test_a_list_ends_after_a_hundred_errors(service: Service, empty: int) -> None:
    answer = service.post(f"{SCORES}/batch", {"scores": [{}] * empty})
    detail = answer.json["detail"]
    assert answer.status == 422
    num_listed = min(3 * empty, MAX_ERRORS)
    places = [(number, name) for number in range(empty) for name in GOOD][:num_listed]
    assert [error["loc"] for error in detail[:num_listed]] == [
        ["body", "scores", number, name] for number, name in places
    ]
    assert detail[num_listed:] == ([more(3 * empty - num_listed)] if 3 * empty > num_listed else [])
    assert list(detail[-1]) == ["type", "loc", "msg", "input"]


def test_lines_are_bounded_too(service: Service) -> None:
    detail = lines(service, f"{SCORES}/batch", ["{"] * 101).json["detail"]
    assert len(detail) == MAX_ERRORS + 1
    assert detail[-1] == more(1)


def test_each_line_of_a_partial_batch_has_its_result(service: Service) -> None:
    texts = [json.dumps(GOOD), "{}"] * 150
    answer = lines(service, f"{SCORES}/batch?partial=true", texts)
    results = answer.json["results"]
    assert (answer.status, len(results)) == (200, 300)
    assert (answer.json["num_created"], answer.json["num_failed"]) == (150, 150)
    assert all("score_id" in result for result in results[::2])
    refused = results[1::2]
    assert all(
        [error["loc"][2] for error in result["detail"]] == list(GOOD) for result in refused[:100]
    )
    assert refused[100:] == [{"detail": [more(3)]}] * 50


def test_a_reused_key_counts_as_a_refused_line(service: Service) -> None:
    path = f"{SCORES}/batch?partial=true"
    keys = [f"reused-{number}" for number in range(101)]
    first = [{**GOOD, "idempotency_key": key} for key in keys]
    assert service.post(path, {"scores": first}).json["num_created"] == 101
    results = service.post(path, {"scores": [{**each, "value": 2} for each in first]}).json
    assert (results["num_created"], results["num_failed"]) == (0, 101)
    assert results["results"][99]["detail"][0]["type"] == "idempotency_key_reused"
    assert results["results"][100] == {"detail": [more(1)]}


def test_each_line_of_an_import_has_its_result(service: Service) -> None:
    answer = lines(service, f"{SCORES}/import", ["{}"] * 150 + [json.dumps(IMPORTED)])
    results = answer.json["results"]
    assert (answer.status, answer.json["num_failed"], len(results)) == (200, 150, 151)
    assert len(results[99]["detail"]) == 5
    assert results[100:150] == [{"detail": [more(5)]}] * 50
    assert results[150] == {"score_id": IMPORTED["score_id"]}


@pytest.mark.parametrize("path", ["", "/batch", "/batch?partial=true", "/import"])
def test_echoed_input_is_bounded(service: Service, path: str) -> None:
    large = json.dumps({"x": "y" * 2_000_000})
    texts = [large] * (3 if path else 1)
    answer = (
        lines(service, f"{SCORES}{path}", texts)
        if path
        else service.send("POST", SCORES, large.encode(), {"Content-Type": "application/json"})
    )
    assert answer.status in (200, 422)
    assert len(answer.body) < 2 * MAX_ECHOED
    left_out = sum(int(found) for found in re.findall(rb"([0-9]+) more error", answer.body))
    num_listed = answer.body.count(b'"type":"missing"')
    assert num_listed + left_out == len(texts) * (5 if path == "/import" else 3)


def test_the_first_error_is_never_cut(service: Service) -> None:
    body = {"prediction_id": "p", "scorer": "s", "x": "y" * (MAX_ECHOED + 1)}
    (error,) = service.post(SCORES, body).json["detail"]
    assert error["input"] == body


def test_errors_that_are_not_listed_take_no_memory(app: Flask) -> None:
    client = app.test_client()
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/jsonl"}
    data = b"\n".join([b'{"x":[[],[],[],[],[],[],[],[],[],[]]}'] * 10_000)
    client.post(f"{SCORES}/batch", data=data[:37], headers=headers)
    tracemalloc.start()
    answer = client.post(f"{SCORES}/batch?partial=true", data=data, headers=headers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.json["num_failed"] == 10_000  # type: ignore[index]
    assert peak < 25_000_000


def test_blank_lines_take_no_memory(service: Service) -> None:
    answer = lines(service, f"{SCORES}/batch", [""] * 4_000_000 + [json.dumps(GOOD)])
    assert (answer.status, answer.json["num_created"]) == (200, 1)


def test_the_openapi_document_is_made_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    at_once = threading.Barrier(8)
    document = openapi.document

    def counted(*arguments: Any) -> Any:
        made.append("document")
        return document(*arguments)

    def ask(_: int) -> bytes:
        at_once.wait(10)
        return bytes(app.test_client().get("/openapi.json").data)

    monkeypatch.setattr(openapi, "document", counted)
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert made == ["document"]
