"""The ids of examples."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import jsontext
from app.examples import example_key, row_digest
from app.services.examples import example_id, trial_numbers
from app.stores.base import DocumentQuery, Store
from app.stores.model import Prediction

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
        example_key=example_key(given, inputs),
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


def test_a_digest_is_that_of_weaves_client() -> None:
    digest = pytest.importorskip("weave.trace.serialization.digest")
    for row in (
        {
            "é": "\u2028😀",
            "e": "\ud800",
            "a.b": [None, {"z": 1, "Z": {"\uffff": [], "😀": {}}}],
        },
        {"float": [1.0, -0.0, 1e16, 1e-7, 5e-324, 0.1 + 0.2], "int": [2**70, -1]},
        {"ref": "weave:///acme/demo/object/set:digest/attr/rows/id/row"},
    ):
        assert row_digest(row) == digest.compute_row_digest(row)
        assert row_digest(json.loads(jsontext.write(row))) == row_digest(row)


STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_trial_is_the_given_number_or_the_rank_in_time(store: Store) -> None:
    times = {"b": STARTED, "a": STARTED, "late": STARTED + timedelta(seconds=1), "third": STARTED}
    made = [
        replace(prediction({"q": 1}), id=name, evaluation_run_id="r", started_at=started_at)
        for name, started_at in times.items()
    ]
    made[3] = replace(made[3], trial=7)
    others = [
        replace(prediction({"q": 1}), id="of another run", evaluation_run_id="q"),
        replace(prediction({"q": 2}), id="of another example", evaluation_run_id="r"),
        replace(prediction({}), id="alone", evaluation_run_id="r"),
    ]
    store.add_documents([*made, *others])
    wanted = list(store.read_documents(Prediction, DocumentQuery("acme", "demo")))
    wanted = [each for each in wanted if each.id not in ("b", "of another run")]
    assert trial_numbers(store, "acme", "demo", "r", wanted) == {
        "a": 0,
        "late": 3,  # After "b" and "third", which are not asked for.
        "third": 7,
        "of another example": 0,
        "alone": 0,
    }


def test_predictions_without_a_start_are_ranked_by_their_creation(store: Store) -> None:
    for name in ("z", "y"):
        store.add_documents([replace(prediction({"q": 1}), id=name, evaluation_run_id="r")])
    made = list(store.read_documents(Prediction, DocumentQuery("acme", "demo")))
    made.sort(key=lambda each: (each.created_at, each.id))
    ranks = {each.id: rank for rank, each in enumerate(made)}
    assert trial_numbers(store, "acme", "demo", "r", made) == ranks
