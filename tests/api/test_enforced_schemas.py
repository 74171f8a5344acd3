"""Values against an enforced schema are refused, whoever sends them, except by Weave's SDK."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from tests.processes import Answer, Service
from tests.weave import test_loose

SHARE = {"type": "number", "minimum": 0, "maximum": 1}
FAULT = "Value error, against the schema of Judge: 1.7 is greater than the maximum of 1"
PAST: dict[str, Any] = {
    "score_id": "018cc251-f400-7000-8000-000000000001",
    "created_at": "2024-01-01T00:00:00.000Z",
    "evaluation_run_id": None,
}


@pytest.fixture
def project() -> str:
    """Return a new project."""
    return f"acme/{secrets.token_hex(8)}"


def declare(service: Service, project: str, **metric: Any) -> None:
    declared = {"scorer": "Judge", "schema": SHARE, "schema_mode": "enforce", **metric}
    body = json.dumps({"metrics": [declared]}).encode()
    answer = service.send("PUT", f"/v1/{project}/metrics", body)
    assert answer.status == 200, answer.body


def score(value: Any, **fields: Any) -> dict[str, Any]:
    return {"prediction_id": "p", "scorer": "Judge", "value": value, **fields}


def add(service: Service, project: str, value: Any, **fields: Any) -> Answer:
    return service.post(f"/v2/{project}/scores", score(value, **fields))


def values(service: Service, project: str) -> list[Any]:
    lines = service.send("GET", f"/v2/{project}/scores").body.splitlines()
    return [json.loads(line)["value"] for line in lines]


def test_a_value_against_the_schema_is_refused_at_its_place(
    any_service: Service, project: str
) -> None:
    declare(any_service, project)
    answer = add(any_service, project, 1.7)
    assert answer.status == 422
    assert answer.json == {
        "detail": [
            {
                "type": "value_error",
                "loc": ["body", "value"],
                "msg": FAULT,
                "input": 1.7,
                "ctx": {"error": {}},
            }
        ]
    }
    assert add(any_service, project, 0.7).status == 200
    assert values(any_service, project) == [0.7]


def test_a_schema_is_enforced_at_once_in_every_process(any_service: Service, project: str) -> None:
    for number in range(3):
        for _ in range(4):  # So that every process knows what was enforced before.
            assert add(any_service, project, "a").status == 200
        declare(any_service, project)
        assert [add(any_service, project, "a").status for _ in range(8)] == [422] * 8, number
        any_service.send("DELETE", f"/v1/{project}/metrics?scorer=Judge")


@pytest.mark.parametrize("change", [{"schema_mode": "warn"}, {"scorer": "Other"}])
def test_only_an_enforced_schema_of_the_scorer_refuses(
    service: Service, project: str, change: dict[str, str]
) -> None:
    declare(service, project, **change)
    assert add(service, project, 1.7).status == 200
    assert add(service, f"{project}-other", 1.7).status == 200


def test_every_version_of_the_scorer_is_checked(service: Service, project: str) -> None:
    declare(service, project)
    version = f"weave:///{project}/object/Judge:v3"
    assert add(service, project, 1.7, scorer=version).status == 422


def test_a_failed_judgement_is_not_against_a_schema(service: Service, project: str) -> None:
    declare(service, project)
    assert add(service, project, None).status == 200
    assert add(service, project, None, error="timeout").status == 200


def test_a_schema_of_a_leaf_is_about_that_scalar_only(service: Service, project: str) -> None:
    declare(service, project, leaf="a[0].b")
    allowed: list[Any] = [{"a": [{"b": 0.5}]}, {"a": []}, {"a": [{"b": None}]}, 7]
    assert [add(service, project, value).status for value in allowed] == [200] * 4
    answer = add(service, project, {"a": [{"b": 1.7}]})
    assert answer.json["detail"][0]["loc"] == ["body", "value"]
    assert "of Judge at a[0].b: 1.7" in answer.json["detail"][0]["msg"]


@pytest.mark.parametrize("path", ["scores/batch", "scores/batch?partial=true"])
def test_a_batch_names_the_score_that_is_refused(
    any_service: Service, project: str, path: str
) -> None:
    declare(any_service, project)
    sent = [score(0.1), score(1.7), score("x", scorer="Other"), score("x")]
    answer = any_service.post(f"/v2/{project}/{path}", {"scores": sent})
    if "partial" in path:
        found = [result.get("detail") for result in answer.json["results"]]
        assert [detail and detail[0]["loc"] for detail in found] == [
            None,
            ["body", "scores", 1, "value"],
            None,
            ["body", "scores", 3, "value"],
        ]
        assert values(any_service, project) == [0.1, "x"]
    else:
        assert answer.status == 422
        assert [each["loc"][2:] for each in answer.json["detail"]] == [[1, "value"], [3, "value"]]
        assert values(any_service, project) == []


def test_an_import_names_the_score_that_is_refused(any_service: Service, project: str) -> None:
    declare(any_service, project)
    answer = any_service.post(f"/v2/{project}/scores/import", {"scores": [score(1.7, **PAST)]})
    assert answer.json["results"][0]["detail"][0]["loc"] == ["body", "scores", 0, "value"]
    line = {"kind": "score", **score(1.7, **PAST)}
    run = {"kind": "evaluation_run", "evaluation_run_id": "r", "evaluation": "e", "model": "m"}
    run |= {"created_at": PAST["created_at"]}
    body = f"{json.dumps(run)}\n{json.dumps(line)}\n".encode()
    answer = any_service.send("POST", f"/v2/{project}/import", body)
    assert answer.json["num_created"] == 1
    assert answer.json["results"][1]["detail"][0]["loc"] == ["body", 1, "value"]


def test_a_value_from_weaves_sdk_is_never_refused(any_service: Service, project: str) -> None:
    declare(any_service, project, scorer="exact")
    name = project.removeprefix("acme/")
    call, told = test_loose.a_call(name, "c"), test_loose.feedback(name, "c", 1.7)
    test_loose.send(any_service, [call, told])
    assert add(any_service, project, 1.7, scorer="exact").status == 422
    assert values(any_service, project) == [1.7]


def keyed(service: Service, path: str, sent: dict[str, Any] | bytes, key: str = "k") -> Answer:
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    return service.send("POST", path, body, headers=headers)


OTHER_ID = PAST["score_id"][:-1] + "2"
LINES = "".join(
    f"{json.dumps({'kind': 'score', **line})}\n"
    for line in (score(0.5, **PAST), score(1.7, **{**PAST, "score_id": OTHER_ID}))
).encode()


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("scores", score(1.7)),
        ("scores/batch", {"scores": [score(0.5), score(1.7)]}),
        ("scores/batch?partial=true", {"scores": [score(0.5), score(1.7), {"value": 1}]}),
        ("scores/import", {"scores": [score(1.7, **PAST)]}),
        ("import", LINES),
    ],
)
def test_a_retry_of_what_was_stored_before_the_schema_gets_the_first_answer(
    any_service: Service, project: str, path: str, sent: dict[str, Any] | bytes
) -> None:
    first = keyed(any_service, f"/v2/{project}/{path}", sent)
    assert first.status == 200, first.body
    stored = values(any_service, project)
    declare(any_service, project)
    again = keyed(any_service, f"/v2/{project}/{path}", sent)
    assert again.status == 200, again.body
    assert again.headers["Idempotent-Replayed"] == "true"
    same = {**first.json, "num_replayed": None} == {**again.json, "num_replayed": None}
    assert same, (first.body, again.body)
    assert values(any_service, project) == stored
    another = keyed(any_service, f"/v2/{project}/{path}", sent, key="l")
    assert b"against the schema of Judge" in another.body
    assert values(any_service, project)[: len(stored)] == stored


def test_a_retry_of_what_the_schema_has_refused_gets_the_first_answer(
    any_service: Service, project: str
) -> None:
    declare(any_service, project)
    sent = {"scores": [score(0.5), score(1.7)]}
    first, again = (
        keyed(any_service, f"/v2/{project}/scores/batch?partial=true", sent) for _ in range(2)
    )
    assert first.json["results"] == again.json["results"]
    assert values(any_service, project) == [0.5]


def test_a_score_of_a_batch_with_its_own_key_is_not_refused_again(
    service: Service, project: str
) -> None:
    sent = {"scores": [score(1.7, idempotency_key="a")]}
    first = service.post(f"/v2/{project}/scores/batch", sent)
    declare(service, project)
    assert service.post(f"/v2/{project}/scores/batch", sent).json == first.json
    more = {"scores": [*sent["scores"], score(1.8, idempotency_key="b")]}
    answer = service.post(f"/v2/{project}/scores/batch", more)
    assert [each["loc"] for each in answer.json["detail"]] == [["body", "scores", 1, "value"]]
