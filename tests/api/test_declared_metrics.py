"""Metrics are declared over HTTP."""

from __future__ import annotations

import json
import secrets
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.processes import Answer, Service

METRIC: dict[str, Any] = {
    "scorer": "Judge",
    "leaf": "accuracy.f1",
    "direction": "higher",
    "true_when": [">= 0.5", "é"],
    "unit": "points",
    "schema": {"type": "number", "minimum": 0.0},
    "schema_mode": "enforce",
    "primary": True,
}
DEFAULTS: dict[str, Any] = {
    "leaf": "",
    "direction": "none",
    "true_when": None,
    "unit": None,
    "schema": None,
    "schema_mode": "warn",
    "primary": False,
}


@pytest.fixture
def path() -> str:
    """Return the path of the metrics of a new project."""
    return f"/v1/acme/{secrets.token_hex(8)}/metrics"


def declare(service: Service, path: str, *metrics: dict[str, Any], query: str = "") -> Answer:
    return put(service, f"{path}{query}", {"metrics": metrics})


def put(service: Service, path: str, content: Any) -> Answer:
    return service.send("PUT", path, json.dumps(content).encode())


def listed(service: Service, path: str) -> list[dict[str, Any]]:
    """Return the metrics without who declared them and when."""
    answer = service.send("GET", path)
    assert answer.status == 200, answer.body
    shown: list[dict[str, Any]] = answer.json["metrics"]
    for each in shown:
        assert each.pop("wb_user_id") == "admin"
        assert each.pop("declared_at").endswith("Z")
    return shown


def errors(answer: Answer) -> list[tuple[str, Any]]:
    assert answer.status == 422, answer.body
    return [(each["type"], each["loc"]) for each in answer.json["detail"]]


def test_what_is_declared_is_read_back(any_service: Service, path: str) -> None:
    answer = declare(any_service, path, METRIC, {"scorer": "Exact"})
    assert answer.status == 200, answer.body
    assert answer.json["metrics"] == any_service.send("GET", path).json["metrics"][::-1]
    assert listed(any_service, path) == [{"scorer": "Exact", **DEFAULTS}, METRIC]


def test_a_declaration_replaces_the_whole_one_before(service: Service, path: str) -> None:
    declare(service, path, METRIC)
    declare(service, path, {"scorer": "Judge", "leaf": "accuracy.f1", "unit": "s"})
    expected = {**DEFAULTS, "scorer": "Judge", "leaf": "accuracy.f1", "unit": "s"}
    assert listed(service, path) == [expected]


def test_a_dry_run_checks_and_stores_nothing(service: Service, path: str) -> None:
    answer = declare(service, path, METRIC, query="?dry_run=true")
    assert answer.json["metrics"][0]["direction"] == "higher"
    wrong = declare(service, path, {**METRIC, "direction": "up"}, query="?dry_run=true")
    assert errors(wrong) == [("literal_error", ["body", "metrics", 0, "direction"])]
    assert listed(service, path) == []


def test_a_metric_is_removed_once(any_service: Service, path: str) -> None:
    declare(any_service, path, METRIC, {"scorer": "Judge"})
    wanted = urlencode({"scorer": "weave:///acme/demo/object/Judge:v1", "leaf": "accuracy.f1"})
    answer = any_service.send("DELETE", f"{path}?{wanted}")
    assert (answer.status, answer.json) == (200, {"num_deleted": 1})
    again = any_service.send("DELETE", f"{path}?{wanted}")
    assert again.status == 404
    assert "'accuracy.f1'" in again.json["reason"]
    assert [each["leaf"] for each in listed(any_service, path)] == [""]


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("scorer", 1, "string_type"),
        ("scorer", "\ud800", "string_unicode"),
        ("scorer", "x" * 1_001, "string_too_long"),
        ("leaf", "x" * 257, "string_too_long"),
        ("direction", "up", "literal_error"),
        ("direction", None, "literal_error"),
        ("true_when", "pass", "value_error"),
        ("true_when", [1], "value_error"),
        ("unit", 1, "string_type"),
        ("schema", True, "dict_type"),
        ("schema", {"type": "nonsense"}, "value_error"),
        ("schema", {"$ref": "http://127.0.0.1:9/x"}, "value_error"),
        ("schema_mode", "ignore", "literal_error"),
        ("primary", 1, "bool_type"),
        ("directoin", "higher", "extra_forbidden"),
    ],
)
def test_a_wrong_value_is_refused_at_its_place_and_nothing_is_stored(
    service: Service, path: str, field: str, value: Any, error: str
) -> None:
    answer = declare(service, path, METRIC, {"scorer": "s", field: value})
    assert errors(answer) == [(error, ["body", "metrics", 1, field])]
    assert listed(service, path) == []


@pytest.mark.parametrize("number", ["NaN", "1e400"])
@pytest.mark.parametrize("schema", ['{"minimum": %s}', '{"enum": [%s]}', "%s"])
def test_a_number_that_is_not_finite_is_refused(
    service: Service, path: str, schema: str, number: str
) -> None:
    body = f'{{"metrics": [{{"scorer": "s", "schema": {schema % number}}}]}}'
    ((kind, loc),) = errors(service.send("PUT", path, body.encode()))
    assert (kind, loc[:4]) == ("finite_number", ["body", "metrics", 0, "schema"])


def test_the_same_leaf_twice_in_a_body_is_refused(service: Service, path: str) -> None:
    reference = "weave:///acme/demo/object/Judge:v1"
    answer = declare(service, path, {"scorer": "Judge"}, {"scorer": "s"}, {"scorer": reference})
    assert errors(answer) == [("value_error", ["body", "metrics", 2, "leaf"])]


@pytest.mark.parametrize(
    ("query", "error"),
    [("", "missing"), ("scorer=s&scorer=t", "repeated_parameter"), ("name=s", "missing")],
)
def test_the_query_of_a_removal_is_checked(
    service: Service, path: str, query: str, error: str
) -> None:
    assert errors(service.send("DELETE", f"{path}?{query}"))[0] == (error, ["query", "scorer"])


def test_figures_about_metrics_are_returned(any_service: Service, path: str) -> None:
    declare(any_service, path, {"scorer": "Judge", "schema": {"type": "number"}})
    scores = path.replace("/v1/", "/v2/").replace("/metrics", "/scores")
    for scorer, value in (("Judge", "x"), ("Exact", 1)):
        any_service.post(scores, {"prediction_id": "p", "scorer": scorer, "value": value})
    found = any_service.send("GET", f"{path}/against_schema")
    assert [each["against"] for each in found.json["metrics"]] == [1]
    found = any_service.send("GET", f"{path}/proposal")
    assert [each["scorer"] for each in found.json["metrics"]] == ["Exact"]
    for name in ("against_schema", "proposal"):
        wrong = any_service.send("GET", f"{path}/{name}?runs=r")
        assert errors(wrong) == [("extra_forbidden", ["query", "runs"])]
        missing = any_service.send("GET", f"{path}/{name}?run=none")
        assert missing.status == 404
        assert missing.json["reason"] == "No evaluation run has the id or the name 'none'"


def test_unknown_parameters_are_refused(service: Service, path: str) -> None:
    assert errors(service.send("GET", f"{path}?scorer=s")) == [
        ("extra_forbidden", ["query", "scorer"])
    ]
    assert errors(put(service, path, {"metrics": [], "prune": True})) == [
        ("extra_forbidden", ["body", "prune"])
    ]
