"""What the tokens of models cost in a project."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.processes import Service


@pytest.fixture
def project() -> str:
    """Return the name of a new project."""
    return f"p{uuid4().hex}"


PRICE = {"prompt_token_cost": 1, "completion_token_cost": 2.5}


def create(service: Service, project: str, **costs: Any) -> list[str]:
    """Create costs, and return their ids."""
    answer = service.post("/cost/create", {"project_id": f"acme/{project}", "costs": costs})
    assert answer.status == 200
    ids, models = zip(*answer.json["ids"], strict=True)
    assert models == tuple(costs)
    return list(ids)


def query(service: Service, project: str, **wanted: Any) -> list[dict[str, Any]]:
    answer = service.post("/cost/query", {"project_id": f"acme/{project}", **wanted})
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.json["results"]
    return found


def is_one_of(name: str, *values: str) -> dict[str, Any]:
    return {"$expr": {"$in": [{"$getField": name}, [{"$literal": each} for each in values]]}}


def test_costs_are_kept_and_found_by_model_date_and_id(any_service: Service, project: str) -> None:
    dated = {**PRICE, "effective_date": "1998-10-03T00:00:00", "provider_id": "openai"}
    first, second = create(any_service, project, a=dated, b=PRICE)
    (third,) = create(any_service, project, a={**PRICE, "prompt_token_cost_unit": "EUR"})
    assert query(any_service, project, query=is_one_of("id", first)) == [
        {
            "id": first,
            "llm_id": "a",
            "provider_id": "openai",
            "effective_date": "1998-10-03T00:00:00Z",
            "prompt_token_cost": 1.0,
            "completion_token_cost": 2.5,
            "cache_read_input_token_cost": 0.0,
            "cache_creation_input_token_cost": 0.0,
            "prompt_token_cost_unit": "USD",
            "completion_token_cost_unit": "USD",
        }
    ]
    assert [each["id"] for each in query(any_service, project)] == [first, second, third]
    of_a = query(any_service, project, query=is_one_of("llm_id", "a"), fields=["id"])
    assert of_a == [{"id": first}, {"id": third}]
    newest = [{"field": "effective_date", "direction": "desc"}]
    page = query(any_service, project, sort_by=newest, limit=1, offset=2)
    assert [each["id"] for each in page] == [first]
    recent = {"$expr": {"$gt": [{"$getField": "effective_date"}, {"$literal": "2000-01-01"}]}}
    assert {each["id"] for each in query(any_service, project, query=recent)} == {second, third}
    assert query(any_service, "other") == []


def test_only_costs_that_are_named_by_id_are_purged(any_service: Service, project: str) -> None:
    first, second = create(any_service, project, a=PRICE, b=PRICE)
    body = {"project_id": f"acme/{project}", "query": is_one_of("llm_id", "a")}
    assert any_service.post("/cost/purge", body).status == 422
    body["query"] = is_one_of("id", first, "none")
    assert any_service.post("/cost/purge", body).json == {}
    assert [each["id"] for each in query(any_service, project)] == [second]


@pytest.mark.parametrize(
    ("costs", "loc"),
    [
        ([], []),
        ({"a": 1}, ["a"]),
        ({"a": {"prompt_token_cost": 1}}, ["a", "completion_token_cost"]),
        ({"a": {**PRICE, "prompt_token_cost": "1"}}, ["a", "prompt_token_cost"]),
        ({"a": {**PRICE, "prompt_token_cost": 10**400}}, ["a", "prompt_token_cost"]),
        ({"a": {**PRICE, "effective_date": 5}}, ["a", "effective_date"]),
        ({str(number): PRICE for number in range(10_001)}, []),
    ],
)
def test_costs_that_are_none_are_refused(
    service: Service, project: str, costs: Any, loc: list[str]
) -> None:
    answer = service.post("/cost/create", {"project_id": f"acme/{project}", "costs": costs})
    assert answer.status == 422
    assert answer.json["detail"][0]["loc"] == ["body", "costs", *loc]
    assert query(service, project) == []


def test_a_query_of_an_unknown_field_is_refused(service: Service, project: str) -> None:
    for wanted in ({"fields": ["x"]}, {"query": is_one_of("x", "a")}):
        answer = service.post("/cost/query", {"project_id": f"acme/{project}", **wanted})
        assert answer.status == 422
