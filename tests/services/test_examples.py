"""The ids of examples."""

from __future__ import annotations

from typing import Any

import pytest

from app import jsontext
from app.services.examples import example_id, row_digest
from app.stores.base import Prediction

XEKK = "Xekk9AmdZNy3ZYvJY2WUjLMGnHYsy5Y1vAZOhS5ZwL0"
Y9EC = "Y9EC8BB8VEXoPmHqM746D7QoxXwoPcFGjHfijLOzD7M"


def prediction(inputs: dict[str, Any], given: str | None = None) -> Prediction:
    return Prediction(
        id="p",
        entity="acme",
        project="demo",
        body_hash="",
        predict_and_score_call_id="",
        model="m",
        inputs_json=jsontext.write(inputs),
        output_json="1",
        example_id=given,
    )


@pytest.mark.parametrize(
    ("row", "digest"),
    [
        # As Weave's own server answered them.
        ({"q": 1, "expected": 2}, XEKK),
        ({"expected": 2, "q": 1}, XEKK),
        ({"q": 2, "expected": 5}, Y9EC),
        ({"q": 3, "expected": 6}, "m1gqRWGAUkczGIFd2jBmjJY65cNckzaDlpZ8asHrxaY"),
        ({"q": 1}, "ehYKVuzP24Z8Fncds8w6eJ8GoSRci719jC9uqjZFhS0"),
        ({"id": "b", "q": 2}, "U358X4L2YiipfiZ0PKiHhYQxVDELrcY0zQqYs6ZSrto"),
    ],
)
def test_a_digest_is_the_one_that_weave_computes(row: dict[str, Any], digest: str) -> None:
    assert row_digest(row) == digest
    assert example_id(prediction(row)) == digest


def test_a_digest_tells_one_from_one_point_zero() -> None:
    assert row_digest({"q": 1}) != row_digest({"q": 1.0})


@pytest.mark.parametrize(
    ("inputs", "given", "wanted"),
    [({"q": 1, "expected": 2}, "row 1", "row 1"), ({}, "row 1", "row 1"), ({}, None, "p")],
)
def test_an_example_is_the_given_one_or_the_prediction_itself_without_inputs(
    inputs: dict[str, Any], given: str | None, wanted: str
) -> None:
    assert example_id(prediction(inputs, given)) == wanted
