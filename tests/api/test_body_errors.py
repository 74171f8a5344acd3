"""Every wrong value of a field of a body has an error in FastAPI's shape, which no 500 can be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Flask
from marshmallow import Schema, ValidationError

from app.api.contract import contract_of
from app.schemas.fields import Reason
from app.schemas.predictions import PredictionBatchBody
from app.schemas.scores import ScoreBatchBody
from app.schemas.transfers import ScoreImportBody

WRONG: list[Any] = [
    *(None, True, 5, -1, 1.5, 2.0**60, 10**400, "x", "\ud800"),
    *([], [None], [5], ["x"], [[]], {}, {"a": 1}),
]

LISTS = {ScoreBatchBody, PredictionBatchBody, ScoreImportBody}
"""Bodies whose lists are loaded item by item, in app/api/batches.py."""


def schemas_of(schema: type[Schema], place: str) -> Iterator[tuple[str, Schema]]:
    """Yield a schema and all that are nested in it."""
    made = schema()
    yield place, made
    for name, field in made.load_fields.items():
        for each in (field, getattr(field, "inner", None)):
            if isinstance(nested := getattr(each, "schema", None), Schema):
                yield from schemas_of(type(nested), f"{place}.{name}")


def messages(errors: Any) -> Iterator[Any]:
    """Yield the messages of a field, at any depth."""
    if isinstance(errors, dict | list):
        for each in errors.values() if isinstance(errors, dict) else errors:
            yield from messages(each)
    else:
        yield errors


def test_every_wrong_value_of_a_field_has_an_error_of_pydantic(app: Flask) -> None:
    contracts = map(contract_of, app.view_functions.values())
    bodies = {each.body for each in contracts if each.body} - LISTS
    assert len(bodies) > 30
    unknown = [
        (place, name, wrong, message)
        for body in bodies
        for place, schema in schemas_of(body, body.__name__)
        for name in schema.load_fields
        for wrong in WRONG
        for message in messages(errors_of(schema, name, wrong))
        if not isinstance(message, Reason)
    ]
    assert unknown == []


def errors_of(schema: Schema, name: str, wrong: Any) -> Any:
    try:
        schema.load({name: wrong})
    except ValidationError as error:
        return error.messages_dict.get(name, [])
    return []
