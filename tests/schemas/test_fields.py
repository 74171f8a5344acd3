"""Fields reject values with FastAPI's errors, in the order of declaration, and coerce nothing."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import ValidationError

from app.schemas.scores import ScoreCreateBody, ScoreListQuery

GOOD: dict[str, Any] = {"prediction_id": "p", "scorer": "s", "value": None}


def types(body: dict[str, Any]) -> dict[str, str]:
    """Return the error type of each rejected field, in order."""
    with pytest.raises(ValidationError) as found:
        ScoreCreateBody().load(body)
    return {name: reasons[0].type for name, reasons in found.value.messages_dict.items()}


def test_a_good_body_is_loaded_as_it_is() -> None:
    assert ScoreCreateBody().load({**GOOD, "extra": 1, "prediction_id": ""}) == {
        "prediction_id": "",
        "scorer": "s",
        "value": None,
        "evaluation_run_id": None,
    }


def test_missing_fields_are_named_in_order() -> None:
    assert list(types({}).items()) == [
        ("prediction_id", "missing"),
        ("scorer", "missing"),
        ("value", "missing"),
    ]


@pytest.mark.parametrize("wrong", [1, 1.0, True, [], {}, ["a"]])
def test_only_a_string_is_a_string(wrong: Any) -> None:
    for name in ("prediction_id", "scorer", "evaluation_run_id"):
        assert types({**GOOD, name: wrong}) == {name: "string_type"}


def test_null_is_a_run_that_there_is_not_and_no_id() -> None:
    assert ScoreCreateBody().load({**GOOD, "evaluation_run_id": None})["evaluation_run_id"] is None
    assert types({**GOOD, "scorer": None}) == {"scorer": "string_type"}


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "é\ud83dé"])
def test_a_lone_surrogate_is_no_id(text: str) -> None:
    assert types({**GOOD, "prediction_id": text}) == {"prediction_id": "string_unicode"}


@pytest.mark.parametrize("text", ["", "\0", "é", "😀", "x" * 100_000])
def test_every_other_text_is(text: str) -> None:
    assert ScoreCreateBody().load({**GOOD, "scorer": text})["scorer"] == text


@pytest.mark.parametrize("part", ["0", "1", "1_", "+", " ", "\u3000", "1.0", "-"])
@pytest.mark.parametrize("name", ["limit", "created_after", "after"])
def test_a_long_parameter_that_is_wrong_takes_no_time_in_the_square_of_its_length(
    name: str, part: str
) -> None:
    # With a regular expression for it, this would take hours.
    with pytest.raises(ValidationError):
        ScoreListQuery().load({name: f"{part * 200_000}x"})
