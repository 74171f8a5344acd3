"""Fields of JSON objects are decoded when they are asked for, whatever else is in the object."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app import jsontext
from app.stores.base import Store
from app.stores.model import Prediction
from app.weave.lazy_json import read_object
from tests.weave.test_projection import judged, only, outer, predict, scores, send

DEEP = "[" * 5_000 + "]" * 5_000


def note_decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the texts that will be decoded."""
    decoded: list[str] = []
    read = jsontext.read_leniently

    def noted(text: str) -> Any:
        decoded.append(text)
        return read(text)

    monkeypatch.setattr(jsontext, "read_leniently", noted)
    return decoded


def test_only_the_field_that_is_asked_for_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = note_decoded(monkeypatch)
    found = read_object('{"large": [1, 2, 3], "inner": {"self": "x", "large": [4]}}')
    assert found.object("inner").text("self") == "x"
    assert found.text("large") is None
    assert decoded == ['"x"']


@pytest.mark.parametrize("odd", ['"\\ud800"', "NaN", '{"\\udfff": null}'])
def test_fields_beside_what_msgspec_refuses_are_read_all_the_same(odd: str) -> None:
    text = f'{{"odd": {odd}, "inner": {{"self": "x", "odd": {odd}}}, "none": null}}'
    found = read_object(text)
    whole = jsontext.read_leniently(text)
    assert dict(found) == whole
    assert dict(found.object("inner")) == whole["inner"]
    assert [name for name in found if found.has(name)] == [
        name for name in whole if whole[name] is not None
    ]


@pytest.mark.parametrize("text", ["[1]", "null", '"text"', "1", DEEP, f'{{"a": {DEEP}}}'])
def test_what_is_no_object_or_too_deep_is_empty(text: str) -> None:
    assert dict(read_object(text)) == {}


def test_a_field_of_an_object_that_is_no_object_is_an_empty_one() -> None:
    found = read_object('{"a": [1], "b": null, "c": "text"}')
    assert [dict(found.object(name)) for name in "abcd"] == [{}] * 4


def test_small_feedback_on_a_large_prediction_does_not_decode_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(store, outer(), predict(output=["large"] * 1_000))
    stored, decoded = only(store, Prediction), note_decoded(monkeypatch)
    send(store, judged("exact", 1), judged("exact", 2))
    assert max(map(len, decoded)) < 1_000
    assert scores(store) == {("exact", None): 2}
    assert json.loads(stored.output_json) == ["large"] * 1_000
    assert only(store, Prediction) == stored
