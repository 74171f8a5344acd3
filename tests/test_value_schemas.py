"""JSON Schemas for values: what they find, what they refuse, and what they cost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.value_schemas import InvalidSchema, ValueSchema

RUBRIC = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "$id": "https://example.com/rubric.json",
    "definitions": {"share": {"type": "number", "minimum": 0, "maximum": 1}},
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer"},
        "share": {"$ref": "#/definitions/share"},
        "label": {"enum": ["good", "bad", {"id": 1}]},
        "text": {"pattern": "^[a-z]+$", "format": "date"},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"id": 1.0, "share": 1, "label": {"id": 1}, "text": "abc"}, None),
        ({"id": 10**400}, None),
        ({"id": 1.5}, '1.5 is not of type "integer" at /id'),
        ({"id": 1, "share": 1.7}, "1.7 is greater than the maximum of 1 at /share"),
        ({}, '"id" is a required property'),
        ({"id": 1, "x": 1}, "Additional properties are not allowed ('x' was unexpected)"),
        ("a", '"a" is not of type "object"'),
    ],
)
def test_a_fault_says_what_is_wrong_and_where(value: Any, fault: str | None) -> None:
    assert ValueSchema(RUBRIC).fault(value) == fault


def test_a_fault_is_short_however_long_the_value_is() -> None:
    fault = ValueSchema({"type": "number"}).fault("x" * 50_000)
    assert fault
    assert len(fault) == 200


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("\ud800", "surrogate"),
        ("x" * 2_000_000, "too large"),
        ([0] * 400_000, "too large"),
    ],
    ids=["surrogate", "long", "many"],
)
def test_a_value_that_cannot_be_checked_is_at_fault(value: Any, fault: str) -> None:
    found = ValueSchema({"not": {"enum": [[0], "a"]}}).fault(value)
    assert found
    assert fault in found


def test_a_value_that_is_nested_too_deeply_is_at_fault() -> None:
    value = json.loads("[" * 600 + "]" * 600)
    assert ValueSchema({"type": "number"}).fault(value) == "it is nested too deeply to be checked"


def doubling(levels: int) -> dict[str, Any]:
    """Return a schema that checks one value 2**levels times."""
    definitions: dict[str, Any] = {f"d{levels}": {"type": "number"}}
    for level in range(levels):
        twice = [{"$ref": f"#/$defs/d{level + 1}"}] * 2
        definitions[f"d{level}"] = {"allOf": twice}
    return {"$defs": definitions, "$ref": "#/$defs/d0"}


def nested(schema: dict[str, Any], levels: int) -> dict[str, Any]:
    for _ in range(levels):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "http://127.0.0.1:9/x"}, "is not of this schema"),
        ({"$ref": "file:///etc/passwd"}, "is not of this schema"),
        ({"properties": {"a": {"items": [{"$ref": "other.json"}]}}}, "is not of this schema"),
        ({"properties": {"const": {"$ref": "http://x/y"}}}, "is not of this schema"),
        ({"$defs": {"a": {"$ref": "http://127.0.0.1:9/x"}}}, "not present"),
        ({"$schema": "http://127.0.0.1:9/schema"}, "meta-schema"),
        ({"$dynamicRef": "#a"}, "$dynamicRef is not supported"),
        ({"items": {"$id": "http://x/y"}}, "$id"),
        ({"$ref": "#/$defs/none"}, "is not in the schema"),
        ({"$ref": "#anchor", "$anchor": "anchor"}, "is not in the schema"),
        ({"$ref": "#"}, "refers to itself"),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "to itself"),
        (doubling(12), "parts"),
        (nested({}, 60), "deep"),
        ({"allOf": [{"unevaluatedProperties": False}]}, "use additionalProperties"),
        ({"enum": list(range(2_000))}, "parts"),
        ({"title": "x" * 17_000}, "characters"),
        ({"pattern": "(?=a)b"}, "regex"),
        ({"pattern": r"(a)\1"}, "regex"),
        ({"pattern": "(a{1000}){1000}"}, "regex"),
        ({"type": "nonsense"}, "at #/type"),
        ({"type": "\ud800"}, "surrogate"),
        ({"minimum": float("nan")}, "finite"),
        ({"$defs": {"a": {"enum": [float("inf")]}}}, "finite"),
        ({"minimum": "a"}, "at #/minimum"),
        ({"properties": 5}, "at #/properties"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidSchema) as refused:
        ValueSchema(schema)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "schema",
    [
        doubling(7),
        nested({"type": "number"}, 40),
        {"properties": {"id": {}, "$ref": {"type": "string"}, "enum": {}}},
        {"$defs": {"a b/c": {}}, "$ref": "#/$defs/a%20b~1c"},
        {"dependentRequired": {"id": ["$ref"]}},
        {"const": {"$ref": "http://x/y", "id": 1}},
        {},
    ],
)
def test_an_ordinary_schema_is_taken(schema: dict[str, Any]) -> None:
    ValueSchema(schema)


def test_a_pattern_takes_linear_time() -> None:
    schema = ValueSchema({"pattern": "^(a+)+$"})
    assert schema.fault("a" * 500_000 + "!") is not None
