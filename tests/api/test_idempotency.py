"""Idempotency keys: a retry never makes a second score."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from app.services import scores as service
from tests.api.test_auth import create as create_key
from tests.processes import ADMIN_KEY, Answer, Service

SCORE = {"prediction_id": "p", "scorer": "s", "value": {"a": [1, 1.0]}}
REPLAYED = "Idempotent-Replayed"
_projects = iter(range(10**9))


@pytest.fixture
def scores() -> str:
    """Return the path of a new, empty project."""
    return f"/v2/acme/idempotency-{next(_projects)}/scores"


def ids(service: Service, path: str) -> list[str]:
    return [json.loads(line)["score_id"] for line in service.send("GET", path).body.splitlines()]


def replayed(answer: Answer) -> bool:
    return answer.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("header", ["Idempotency-Key", "X-Weave-Retry-Id"])
def test_the_same_key_and_body_replays_the_first_response(
    any_service: Service, scores: str, header: str
) -> None:
    first, *again = [any_service.post(scores, SCORE, headers={header: "k-1"}) for _ in range(3)]
    assert (first.status, replayed(first)) == (200, False)
    assert [(each.status, each.body, replayed(each)) for each in again] == [
        (200, first.body, True)
    ] * 2
    assert ids(any_service, scores) == [first.json["score_id"]]


def test_the_same_key_with_another_body_is_422(any_service: Service, scores: str) -> None:
    headers = {"Idempotency-Key": "k-1"}
    any_service.post(scores, SCORE, headers=headers)
    for other in ({**SCORE, "value": {"a": [1, 1]}}, {**SCORE, "prediction_id": "q"}):
        answer = any_service.post(scores, other, headers=headers)
        assert answer.status == 422
        assert answer.json["detail"] == [
            {
                "type": "idempotency_key_reused",
                "loc": ["header", "idempotency-key"],
                "msg": "This idempotency key was sent before with other content",
                "input": "k-1",
            }
        ]
    assert len(ids(any_service, scores)) == 1


def test_a_key_applies_to_its_own_project(any_service: Service, scores: str) -> None:
    headers = {"Idempotency-Key": "k-1"}
    elsewhere = scores.replace("acme", "else")
    first = any_service.post(scores, SCORE, headers=headers)
    second = any_service.post(elsewhere, {**SCORE, "value": 2}, headers=headers)
    assert (first.status, second.status, replayed(second)) == (200, 200, False)


def test_without_a_key_every_call_is_a_new_score(any_service: Service, scores: str) -> None:
    for _ in range(3):
        assert not replayed(any_service.post(scores, SCORE))
    assert len(ids(any_service, scores)) == 3


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "é", "tab\there"])
def test_a_malformed_key_is_422(service: Service, scores: str, key: str) -> None:
    for header in ("Idempotency-Key", "X-Weave-Retry-Id"):
        answer = service.post(scores, SCORE, headers={header: key})
        assert answer.status == 422
        assert answer.json["detail"][0]["loc"] == ["header", header.lower()]
    assert ids(service, scores) == []


def test_a_key_of_255_characters_is_valid(service: Service, scores: str) -> None:
    headers = {"Idempotency-Key": "~" * 255}
    assert service.post(scores, SCORE, headers=headers).status == 200


def test_a_key_can_be_used_again_after_its_score_is_deleted(
    any_service: Service, scores: str
) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = any_service.post(scores, SCORE, headers=headers).json["score_id"]
    any_service.send("DELETE", f"{scores}?score_ids={first}")
    assert any_service.post(scores, SCORE, headers=headers).json["score_id"] != first


def test_64_concurrent_calls_with_one_key_create_one_score(
    any_service: Service, scores: str
) -> None:
    def call(_: int) -> Answer:
        return any_service.post(scores, SCORE, headers={"Idempotency-Key": "race"})

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(call, range(64)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert sum(not replayed(answer) for answer in answers) == 1
    assert len(ids(any_service, scores)) == 1


# Batches


def batch(
    service: Service, scores: str, items: list[Any], key: str | None = None, query: str = ""
) -> Answer:
    headers = {"Idempotency-Key": key} if key else {}
    return service.post(f"{scores}/batch{query}", {"scores": items}, headers=headers)


def values(count: int) -> list[dict[str, Any]]:
    return [{**SCORE, "value": number} for number in range(count)]


def test_a_key_covers_the_whole_batch(any_service: Service, scores: str) -> None:
    first, again = (batch(any_service, scores, values(30), "b-1") for _ in range(2))
    assert (first.status, replayed(first)) == (200, False)
    assert (again.status, again.body, replayed(again)) == (200, first.body, True)
    assert ids(any_service, scores) == first.json["score_ids"]
    for other in (values(29), values(31), values(30)[::-1], [*values(29), SCORE]):
        answer = batch(any_service, scores, other, "b-1")
        assert answer.status == 422
        assert answer.json["detail"][0]["type"] == "idempotency_key_reused"
    assert len(ids(any_service, scores)) == 30


def test_a_batch_may_hold_the_same_score_twice(any_service: Service, scores: str) -> None:
    assert batch(any_service, scores, [SCORE] * 5, "b-1").json["num_created"] == 5
    assert len(ids(any_service, scores)) == 5


def test_a_score_of_a_batch_may_have_its_own_key(any_service: Service, scores: str) -> None:
    single = any_service.post(scores, SCORE, headers={"Idempotency-Key": "i-1"}).json["score_id"]
    items = [{**SCORE, "idempotency_key": key} for key in ("i-1", "i-2", "i-2")] + [SCORE]
    answer = batch(any_service, scores, items)
    found = answer.json["score_ids"]
    assert (found[0], found[1]) == (single, found[2])
    assert len(set(found)) == 3
    assert sorted(ids(any_service, scores)) == sorted(set(found))


def test_a_reused_key_in_a_batch_fails_all_or_with_partial_only_itself(
    any_service: Service, scores: str
) -> None:
    any_service.post(scores, SCORE, headers={"Idempotency-Key": "i-1"})
    items = [SCORE, {**SCORE, "value": 7, "idempotency_key": "i-1"}]
    refused = batch(any_service, scores, items)
    (error,) = refused.json["detail"]
    assert refused.status == 422
    assert (error["type"], error["loc"], error["input"]) == (
        "idempotency_key_reused",
        ["body", "scores", 1, "idempotency_key"],
        "i-1",
    )
    assert len(ids(any_service, scores)) == 1
    partial = batch(any_service, scores, items, query="?partial=true").json
    assert (partial["num_created"], partial["num_failed"]) == (1, 1)
    assert partial["results"][1] == {"detail": [error]}


def test_a_partial_batch_under_the_key_of_another_stores_nothing(
    any_service: Service, scores: str
) -> None:
    batch(any_service, scores, values(2), "k")
    longer = any_service.post(
        f"{scores}/batch?partial=true", {"scores": values(3)}, headers={"Idempotency-Key": "k"}
    )
    assert (longer.status, longer.json["detail"][0]["type"]) == (422, "idempotency_key_reused")
    assert len(ids(any_service, scores)) == 2


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, 7])
def test_a_malformed_key_in_a_batch_is_refused(service: Service, scores: str, key: Any) -> None:
    answer = batch(service, scores, [{**SCORE, "idempotency_key": key}])
    assert answer.json["detail"][0]["loc"] == ["body", "scores", 0, "idempotency_key"]


def test_16_concurrent_batches_with_one_key_are_stored_once(
    any_service: Service, scores: str
) -> None:
    def call(_: int) -> Answer:
        # One key may not have 16 batches under way: as a client, ask again until it may.
        while (answer := batch(any_service, scores, values(20), "race")).status == 503:
            pass
        return answer

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(call, range(16)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert len(ids(any_service, scores)) == 20


# Weave's client 0.54 sends no key, only how often it has tried.


def attempt(service: Service, scores: str, count: int, key: str = "", **changes: Any) -> Answer:
    headers = {"X-Stainless-Retry-Count": str(count)}
    return service.post(scores, {**SCORE, **changes}, headers=headers, key=key)


def test_a_repeated_call_without_a_key_replays_the_call_before(
    any_service: Service, scores: str
) -> None:
    first = attempt(any_service, scores, 0)
    for count in (1, 2):
        again = attempt(any_service, scores, count)
        assert (again.body, replayed(again)) == (first.body, True)
    assert len(ids(any_service, scores)) == 1


def test_a_repeated_call_whose_first_attempt_was_lost_is_stored(
    any_service: Service, scores: str
) -> None:
    lost = attempt(any_service, scores, 1)
    again = attempt(any_service, scores, 2)
    assert (replayed(lost), replayed(again), again.body) == (False, True, lost.body)


def test_a_first_attempt_is_always_a_new_score(any_service: Service, scores: str) -> None:
    first, second = attempt(any_service, scores, 0), attempt(any_service, scores, 0)
    assert first.body != second.body
    assert attempt(any_service, scores, 1).body == second.body


def test_other_content_another_key_or_another_project_is_not_a_retry(
    any_service: Service, scores: str
) -> None:
    _, other_key = create_key(any_service, "create", "acme/*")
    attempt(any_service, scores, 0)
    assert not replayed(attempt(any_service, scores, 1, value={"a": [1, 1]}))
    assert not replayed(attempt(any_service, scores, 1, evaluation_run_id="r"))
    assert not replayed(attempt(any_service, scores, 1, key=other_key))
    assert not replayed(attempt(any_service, f"{scores[:-7]}-2/scores", 1))


def test_a_retry_id_next_to_a_retry_count_is_ignored(any_service: Service, scores: str) -> None:
    """Weave's client 0.54 sends the retry id of an earlier batch of calls with later scores."""
    stale = {"X-Weave-Retry-Id": "of-a-batch-before", "X-Stainless-Retry-Count": "0"}
    answers = [
        any_service.post(scores, {**SCORE, "value": value}, headers=stale) for value in (1, 1, 2)
    ]
    assert [(answer.status, replayed(answer)) for answer in answers] == [(200, False)] * 3
    assert len(ids(any_service, scores)) == 3
    again = {**stale, "X-Stainless-Retry-Count": "1"}
    assert replayed(any_service.post(scores, {**SCORE, "value": 2}, headers=again))
    keyed = {**stale, "Idempotency-Key": "k"}
    assert [replayed(any_service.post(scores, SCORE, headers=keyed)) for _ in range(2)] == [
        False,
        True,
    ]


def test_a_retry_without_a_key_replays_only_the_last_ten_minutes(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(count: int) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}", "X-Stainless-Retry-Count": str(count)}
        answer = app.test_client().post("/v2/a/b/scores", json=SCORE, headers=headers)
        return {"id": answer.get_json()["score_id"], "replayed": answer.headers.get(REPLAYED)}

    first = post(0)
    assert post(1) == {"id": first["id"], "replayed": "true"}
    assert timedelta(minutes=10) == service.RETRY_WINDOW
    monkeypatch.setattr(service, "RETRY_WINDOW", timedelta(milliseconds=-10_000))
    assert post(1)["replayed"] is None
