"""`/openapi.json` is valid, and is FastAPI's document for the operation that creates a score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.processes import Service, running

SEED = json.loads((Path(__file__).parent.parent / "golden" / "seed.openapi.json").read_text())
PROJECT = "/v2/{entity}/{project}"
SCORES = f"{PROJECT}/scores"
PREDICTIONS = "/v2/{entity}/{project}/predictions"


def structure(part: Any, *, names: bool = False) -> Any:
    """Return `part` without descriptions and summaries, except for properties of that name."""
    if isinstance(part, dict):
        prose = () if names else ("description", "summary")
        return {
            key: structure(value, names=key in ("properties", "schemas"))
            for key, value in part.items()
            if key not in prose
        }
    return [structure(value) for value in part] if isinstance(part, list) else part


def test_the_document_is_valid_openapi_3_1_without_a_key(service: Service) -> None:
    answer = service.send("GET", "/openapi.json", key=None)
    assert answer.status == 200
    assert answer.json["openapi"].startswith("3.1")
    validate(answer.json)


def test_the_create_operation_and_its_schemas_are_exactly_fastapis(service: Service) -> None:
    document = structure(service.send("GET", "/openapi.json").json)
    seed = structure(SEED)
    ours, seeds = document["paths"][SCORES]["post"], seed["paths"][SCORES]["post"]
    # FastAPI's document has only 200 and 422; Scoreline adds its other statuses.
    more = {status for status in ours["responses"] if status not in seeds["responses"]}
    assert all(status >= "400" for status in more)
    ours["responses"] = {status: ours["responses"][status] for status in seeds["responses"]}
    assert ours == seeds
    schemas = document["components"]["schemas"]
    for name, schema in seed["components"]["schemas"].items():
        assert schemas[name] == schema, name
    assert document["components"]["securitySchemes"] == seed["components"]["securitySchemes"]


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        (SCORES, "post", "200 400 401 403 408 413 414 422 429 503"),
        (SCORES, "get", "200 401 403 414 422 429 503"),
        (SCORES, "delete", "200 401 403 414 422 429 503"),
        (f"{SCORES}/{{score_id}}", "get", "200 401 403 404 414 429 503"),
        (f"{SCORES}/batch", "post", "200 400 401 403 408 413 414 415 422 429 503"),
        (f"{PROJECT}/export", "get", "200 401 403 414 422 429 503"),
        (f"{PROJECT}/import", "post", "200 400 401 403 408 413 414 415 422 429 503"),
        (PREDICTIONS, "post", "200 400 401 403 408 413 414 415 422 429 503"),
        (f"{PREDICTIONS}/batch", "post", "200 400 401 403 408 413 414 415 422 429 503"),
        (PREDICTIONS, "get", "200 401 403 414 422 429 503"),
        (f"{PREDICTIONS}/{{prediction_id}}", "get", "200 401 403 404 414 429 503"),
        (f"{PREDICTIONS}/{{prediction_id}}/finish", "post", "200 401 403 404 414 429 503"),
        ("/health/live", "get", "200"),
        ("/health/ready", "get", "200 503"),
    ],
)
def test_an_operation_documents_every_status(
    service: Service, path: str, method: str, statuses: str
) -> None:
    operation = service.send("GET", "/openapi.json").json["paths"][path][method]
    assert sorted(operation["responses"]) == statuses.split()
    assert all(answer["content"] for answer in operation["responses"].values())


def test_an_operation_has_the_name_that_fastapi_gives_it(service: Service) -> None:
    paths = service.send("GET", "/openapi.json").json["paths"]
    names = {
        operation["operationId"]: operation["tags"]
        for path, operations in paths.items()
        if "evaluation_run" in path
        for operation in operations.values()
    }
    prefix = "v2__entity___project__evaluation_runs"
    assert names == {
        name: ["Evaluation Runs"]
        for name in (
            f"evaluation_run_create_{prefix}_post",
            f"evaluation_run_list_{prefix}_get",
            f"evaluation_run_delete_{prefix}_delete",
            f"evaluation_run_read_{prefix}__evaluation_run_id__get",
            f"evaluation_run_finish_{prefix}__evaluation_run_id__finish_post",
        )
    }


def test_an_import_documents_a_line_of_each_kind(service: Service) -> None:
    document = service.send("GET", "/openapi.json").json
    imported = document["paths"][f"{PROJECT}/import"]["post"]["requestBody"]["content"]
    exported = document["paths"][f"{PROJECT}/export"]["get"]["responses"]["200"]["content"]
    assert list(imported) == list(exported) == ["application/jsonl"]
    assert imported == exported
    line = imported["application/jsonl"]["schema"]["items"]
    names = [each["$ref"].rpartition("/")[2] for each in line["oneOf"]]
    kinds = [document["components"]["schemas"][name]["properties"]["kind"] for name in names]
    assert [kind["enum"] for kind in kinds] == [["evaluation_run"], ["prediction"], ["score"]]


def test_an_error_documents_its_header(service: Service) -> None:
    responses = service.send("GET", "/openapi.json").json["paths"][SCORES]["post"]["responses"]
    headers = {status: list(answer.get("headers", ())) for status, answer in responses.items()}
    assert headers["401"] == ["WWW-Authenticate"]
    assert headers["503"] == ["Retry-After"]


def test_a_parameter_documents_its_values(service: Service) -> None:
    paths = service.send("GET", "/openapi.json").json["paths"]
    shapes = {
        parameter["name"]: parameter["schema"]
        for path in (SCORES, f"{SCORES}/batch")
        for operation in paths[path].values()
        for parameter in operation["parameters"]
    }
    assert shapes["scorer"] == {"title": "Scorer", "type": "string"}
    assert shapes["limit"] == {"title": "Limit", "type": "integer", "minimum": 0}
    assert shapes["partial"] == {"title": "Partial", "type": "boolean"}
    assert shapes["after"]["pattern"].startswith("^[0-9a-f]{8}")
    assert {shape.get("format") for shape in shapes["created_after"]["anyOf"]} >= {"date-time"}
    assert (shapes["score_ids"]["minItems"], shapes["score_ids"]["maxItems"]) == (1, 1000)


def test_every_field_is_described(service: Service) -> None:
    schemas = service.send("GET", "/openapi.json").json["components"]["schemas"]
    undescribed = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        if name not in (*SEED["components"]["schemas"], "Error")
        for field, described in schema.get("properties", {}).items()
        if "description" not in described and "$ref" not in json.dumps(described)
    ]
    assert undescribed == []


def test_no_documented_text_is_empty(service: Service) -> None:
    for path in service.send("GET", "/openapi.json").json["paths"].values():
        for operation in path.values():
            assert operation["summary"].endswith(".")


def test_the_prefix_is_in_servers_and_not_in_paths(tmp_path: Path) -> None:
    with running(tmp_path, WEB_CONCURRENCY="1", SCORELINE_URL_PREFIX="/traces") as service:
        document = service.send("GET", "/traces/openapi.json").json
    assert document["servers"] == [{"url": "/traces"}]
    assert SCORES in document["paths"]
    validate(document)
