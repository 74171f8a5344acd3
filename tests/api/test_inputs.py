"""Unknown and repeated parameters and encoded bodies are refused where the contract allows it."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.processes import Service

SCORES = "/v2/acme/inputs/scores"
SCORE = {"prediction_id": "p", "scorer": "s", "value": 1, "evaluation_run_id": "r"}
GATE = f"{SCORES}/gate?run=r&scorer=s&min=0"


def forbidden(name: str, value: str) -> dict[str, Any]:
    return {
        "type": "extra_forbidden",
        "loc": ["query", name],
        "msg": "Extra inputs are not permitted",
        "input": value,
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", GATE),
        ("GET", f"{SCORES}/summary?group_by=scorer"),
        ("GET", f"{SCORES}/compare?baseline=a&candidate=b"),
        ("GET", f"{SCORES}/export?format=csv"),
        ("POST", f"{SCORES}/batch?partial=true"),
        ("POST", f"{SCORES}/import?"),
        ("GET", "/v1/keys?"),
        ("POST", "/v1/keys?"),
        ("DELETE", "/v1/keys/k?"),
    ],
)
def test_an_unknown_parameter_of_scorelines_own_endpoints_is_refused(
    service: Service, method: str, path: str
) -> None:
    answer = service.send(method, f"{path}&max_dropp=0.1&a=%C3%A9")
    assert answer.status == 422
    assert answer.json == {"detail": [forbidden("max_dropp", "0.1"), forbidden("a", "é")]}
    assert list(answer.json["detail"][0]) == ["type", "loc", "msg", "input"]


def test_unknown_parameters_are_listed_after_other_errors(service: Service) -> None:
    answer = service.send("GET", f"{SCORES}/gate?zzz=1&min=x&run=r")
    errors = [(error["type"], error["loc"][1]) for error in answer.json["detail"]]
    assert errors == [("missing", "scorer"), ("float_parsing", "min"), ("extra_forbidden", "zzz")]


def test_a_repeated_single_parameter_is_refused(service: Service) -> None:
    answer = service.send("GET", f"{GATE}&leaf=a&leaf=b")
    assert (answer.status, answer.json["detail"]) == (
        422,
        [
            {
                "type": "repeated_parameter",
                "loc": ["query", "leaf"],
                "msg": "Parameter should be given once",
                "input": ["a", "b"],
            }
        ],
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{SCORES}?limit=1&limit=2"),
        ("GET", f"{SCORES}/none?"),
        ("DELETE", f"{SCORES}?score_ids=none"),
        ("POST", f"{SCORES}?"),
        ("GET", "/health/live?"),
        ("GET", "/version?"),
        ("GET", "/metrics?"),
    ],
)
def test_weaves_endpoints_and_probes_ignore_unknown_parameters(
    service: Service, method: str, path: str
) -> None:
    body = json.dumps(SCORE).encode() if method == "POST" else None
    assert service.send(method, f"{path}&max_dropp=0.1", body).status in (200, 404)


@pytest.mark.parametrize("encoding", ["gzip", "GZip", "br", "deflate", "x-unknown", "gzip, gzip"])
@pytest.mark.parametrize("path", [f"{SCORES}/batch", f"{SCORES}/import", "/v1/keys"])
def test_an_encoded_body_is_415(service: Service, path: str, encoding: str) -> None:
    body = gzip.compress(json.dumps({"scores": [SCORE]}).encode())
    answer = service.send("POST", path, body, {"Content-Encoding": encoding})
    assert answer.status == 415
    assert list(answer.json) == ["detail"]
    assert "Content-Encoding" in answer.json["detail"]
    assert encoding.lower() in answer.json["detail"]


def test_identity_is_not_an_encoding(service: Service) -> None:
    headers = {"Content-Encoding": "identity"}
    body = json.dumps({"scores": [SCORE]}).encode()
    assert service.send("POST", f"{SCORES}/batch", body, headers).status == 200


def test_the_create_endpoint_treats_an_encoded_body_as_invalid_json(service: Service) -> None:
    headers = {"Content-Encoding": "gzip"}
    answer = service.send("POST", SCORES, gzip.compress(json.dumps(SCORE).encode()), headers)
    assert (answer.status, answer.json) == (400, {"detail": "There was an error parsing the body"})
    # As in FastAPI, which looks at the bytes and not at the header.
    assert service.send("POST", SCORES, json.dumps(SCORE).encode(), headers).status == 200
