"""`/openapi.json`: valid, made from the contracts, and the seed's where the seed has something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openapi_spec_validator import validate

from tests.processes import Service, running

SEED = json.loads((Path(__file__).parent.parent / "golden" / "seed.openapi.json").read_text())
SCORES = "/v2/{entity}/{project}/scores"


def structure(part: Any, *, names: bool = False) -> Any:
    """`part` without its English: descriptions and summaries, unless they are property names."""
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


def test_the_seeds_operation_and_schemas_are_the_seeds(service: Service) -> None:
    document = structure(service.send("GET", "/openapi.json").json)
    seed = structure(SEED)
    assert document["paths"][SCORES]["post"] == seed["paths"][SCORES]["post"]
    schemas = document["components"]["schemas"]
    for name, schema in seed["components"]["schemas"].items():
        assert schemas[name] == schema, name
    assert document["components"]["securitySchemes"] == seed["components"]["securitySchemes"]


def test_every_documented_text_says_something(service: Service) -> None:
    for path in service.send("GET", "/openapi.json").json["paths"].values():
        for operation in path.values():
            assert operation["summary"].endswith(".")


def test_the_prefix_stands_in_servers_and_not_in_paths(tmp_path: Path) -> None:
    with running(tmp_path, SCORELINE_URL_PREFIX="/traces") as service:
        document = service.send("GET", "/traces/openapi.json").json
    assert document["servers"] == [{"url": "/traces"}]
    assert SCORES in document["paths"]
    validate(document)
