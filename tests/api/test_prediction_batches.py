"""Batches of predictions: all or none, or with `partial` the valid ones; a retry stores nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.test_documents import EXTENSIONS, PREDICTION, create, lines, listed, read
from tests.api.test_documents import project as project  # noqa: PLC0414 - a fixture.
from tests.api.test_resource import JSONL
from tests.processes import Answer, Service


def send(
    service: Service, project: str, items: Sequence[Any], query: str = "", **headers: str
) -> Answer:
    """Send a batch of JSON lines."""
    body = b"\n".join(json.dumps(item).encode() for item in items)
    path = f"{project}/predictions/batch{query}"
    return service.send("POST", path, body, {**JSONL, **headers})


def made(**fields: Any) -> dict[str, Any]:
    return {**PREDICTION, **fields}


def errors(answer: Answer) -> list[tuple[list[Any], str]]:
    return [(each["loc"], each["type"]) for each in answer.json["detail"]]


def test_a_batch_is_stored_in_the_order_sent(any_service: Service, project: str) -> None:
    items = [made(**EXTENSIONS["predictions"]), made(prediction_id="x/1"), made(output=None)]
    for answer in (
        any_service.post(f"{project}/predictions/batch", {"predictions": items[:2]}),
        send(any_service, project, items[2:]),
    ):
        assert answer.status == 200, answer.body
        assert list(answer.json) == ["prediction_ids", "num_created"]
    ids = listed(any_service, project, "predictions")
    assert (len(ids), ids[1]) == (3, "x/1")
    assert answer.json == {"prediction_ids": [ids[2]], "num_created": 1}
    first = read(any_service, project, "predictions", ids[0])
    assert {name: first[name] for name in items[0]} == items[0]


def test_one_wrong_prediction_prevents_the_whole_batch(any_service: Service, project: str) -> None:
    create(any_service, project, "predictions", prediction_id="taken")
    invalid = send(any_service, project, [made(), {"model": 1}, made(trial=-1)])
    assert (invalid.status, errors(invalid)) == (
        422,
        [
            (["body", 1, "model"], "string_type"),
            (["body", 1, "inputs"], "missing"),
            (["body", 1, "output"], "missing"),
            (["body", 2, "trial"], "greater_than_equal"),
        ],
    )
    items = [made(), made(prediction_id="taken"), made(prediction_id="x"), made(prediction_id="x")]
    taken = any_service.post(f"{project}/predictions/batch", {"predictions": items})
    assert (taken.status, errors(taken)) == (
        422,
        [(["body", "predictions", n, "prediction_id"], "prediction_id_taken") for n in (1, 3)],
    )
    assert listed(any_service, project, "predictions") == ["taken"]


def test_a_partial_batch_stores_the_valid_ones(any_service: Service, project: str) -> None:
    create(any_service, project, "predictions", prediction_id="taken")
    items = [made(prediction_id="a"), {}, made(prediction_id="taken"), made(prediction_id="b")]
    answer = send(any_service, project, items, "?partial=true")
    assert answer.status == 200
    counts = dict(answer.json)
    results = counts.pop("results")
    assert counts == {"num_created": 2, "num_replayed": 0, "num_failed": 2}
    assert [result.get("prediction_id") for result in results] == ["a", None, None, "b"]
    assert results[2] == {
        "detail": [
            {
                "type": "prediction_id_taken",
                "loc": ["body", 2, "prediction_id"],
                "msg": "Another prediction has this prediction_id",
                "input": "taken",
            }
        ]
    }
    assert listed(any_service, project, "predictions") == ["taken", "a", "b"]


@pytest.mark.parametrize("header", ["Idempotency-Key", "X-Weave-Retry-Id"])
@pytest.mark.parametrize("query", ["", "?partial=true"])
def test_a_repeated_batch_gets_the_same_ids(
    any_service: Service, project: str, query: str, header: str
) -> None:
    items = [made(), made(), made(prediction_id="x")]
    first = send(any_service, project, items, query, **{header: "k"})
    again = send(any_service, project, items, query, **{header: "k"})
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    if query:
        assert again.json == {**first.json, "num_replayed": 3}
    else:
        assert again.body == first.body
    for other in ([*items, made()], items[:2], [*items[:2], made(prediction_id="y")]):
        refused = send(any_service, project, other, query, **{header: "k"})
        assert (refused.status, errors(refused)) == (
            422,
            [(["header", header.lower()], "idempotency_key_reused")],
        )
    assert len(listed(any_service, project, "predictions")) == 3


def test_a_prediction_of_a_batch_may_have_its_own_key(any_service: Service, project: str) -> None:
    items = [made(idempotency_key="a"), made(idempotency_key="b")]
    first = send(any_service, project, items).json["prediction_ids"]
    single = any_service.post(
        f"{project}/predictions", PREDICTION, headers={"Idempotency-Key": "a"}
    )
    assert single.json["prediction_id"] == first[0]
    partial = send(
        any_service, project, [items[1], made(idempotency_key="a", output=3), made()], "?partial=1"
    )
    results = partial.json["results"]
    assert results[0] == {"prediction_id": first[1]}
    (error,) = results[1]["detail"]
    assert (error["type"], error["loc"]) == (
        "idempotency_key_reused",
        ["body", 1, "idempotency_key"],
    )
    assert (partial.json["num_created"], partial.json["num_replayed"]) == (2, 1)
    whole = send(any_service, project, [made(idempotency_key="a", output=3), made()])
    assert errors(whole) == [(["body", 0, "idempotency_key"], "idempotency_key_reused")]
    assert len(listed(any_service, project, "predictions")) == 3


def test_of_many_equal_batches_at_once_one_is_stored(any_service: Service, project: str) -> None:
    items = [made(output=number) for number in range(200)]

    def call(_: int) -> Answer:
        # One key may not have 8 batches under way: as a client, ask again until it may.
        while (
            answer := send(any_service, project, items, **{"Idempotency-Key": "k"})
        ).status == 503:
            pass
        return answer

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(8)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    outputs = [line["output"] for line in lines(any_service.send("GET", f"{project}/predictions"))]
    assert outputs == list(range(200))


def test_a_batch_is_bounded_and_checked(service: Service, project: str) -> None:
    path = f"{project}/predictions/batch"
    many = send(service, project, [{}] * 10_001)
    assert (many.status, many.json["detail"][0]["type"]) == (422, "too_long")
    for body, loc, kind in (
        ({}, ["body", "predictions"], "missing"),
        ({"predictions": 1}, ["body", "predictions"], "list_type"),
        ([], ["body"], "model_attributes_type"),
    ):
        answer = service.post(path, body)
        assert (answer.status, errors(answer)) == (422, [(loc, kind)])
    endless = service.send("POST", path, b'{"predictions": NaN}')
    assert errors(endless) == [(["body", "predictions"], "finite_number")]
    unknown = send(service, project, [made()], "?unknown=1")
    assert (unknown.status, errors(unknown)) == (422, [(["query", "unknown"], "extra_forbidden")])
    ignored = send(service, project, [made(a=1), made(b=2, a=3)])
    assert ignored.headers["Scoreline-Ignored"] == "a,b"
    assert send(service, project, []).json == {"prediction_ids": [], "num_created": 0}
    assert len(listed(service, project, "predictions")) == 2


def test_a_batch_counts_as_created_predictions(service: Service, project: str) -> None:
    def created() -> float:
        text = service.send("GET", "/metrics").body.decode()
        name = 'scoreline_documents_created_total{kind="predictions"} '
        return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(name))

    before = created()
    send(service, project, [made(), made()])
    send(service, project, [made(), {}], "?partial=true")
    assert created() == before + 3
