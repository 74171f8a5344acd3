"""A score is loaded the same, with marshmallow or without."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from marshmallow import Schema, ValidationError

from app.schemas.scores import ScoreBatchLine, ScoreBody

SCORE = {"prediction_id": "p", "scorer": "s", "value": {"f1": 0.5}}


def outcome(load: Callable[[Any], Any], body: dict[str, Any]) -> Any:
    """Return what `load` returns for a body, or the messages of its errors."""
    try:
        return load(body)
    except ValidationError as error:
        return error.messages


@pytest.mark.parametrize("schema", [ScoreBody(), ScoreBatchLine()], ids=["create", "batch"])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"value": None},
        {"scorer": ""},
        {"scorer": "ü"},
        {"scorer": "\ud800"},
        {"scorer": None},
        {"scorer": 1},
        {"evaluation_run_id": "run", "reason": "r", "metadata": {"a": 1}, "annotator": "ann"},
        {"evaluation_run_id": None, "reason": None, "metadata": None, "annotator": None},
        {"metadata": []},
        {"error": "it failed"},
        {"error": "it failed", "value": None},
        {"idempotency_key": "k"},
        {"idempotency_key": "not one word"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_score_is_loaded_as_marshmallow_loads_it(schema: Schema, change: dict[str, Any]) -> None:
    body = {**SCORE, **change}
    assert outcome(schema.load, body) == outcome(partial(Schema.load, schema), body)


@pytest.mark.parametrize("field", SCORE)
def test_a_score_without_a_required_field_is_rejected(field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ScoreBody().load({name: value for name, value in SCORE.items() if name != field})
    assert list(caught.value.messages) == [field]
