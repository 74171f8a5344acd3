"""A value and a reference to it are the same score, whichever of both comes first."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.examples import row_digest
from app.stores.base import Store
from app.stores.model import Prediction
from app.stores.weave import ObjectVersion
from app.weave import contents, meanings
from app.weave.projection import project_rows
from app.weave.versions import add_object, delete_versions
from tests.weave.test_projection import (
    HERE,
    OBJECT,
    a_call,
    all_scores,
    judged,
    only,
    outer,
    predict,
    scores,
    send,
)

ROW: dict[str, Any] = {"target": True, "é": [{"b": 2.0}, "x"], "text": 'a "b" \\', "none": None}
DIGEST = row_digest(ROW)
REF = f"{OBJECT}/d:d/attr/rows/id/{DIGEST}"


def add_rows(store: Store, *rows: dict[str, Any]) -> None:
    _, digests = contents.add_table(store, HERE, rows or [ROW])
    project_rows(store, HERE, digests)


def judge(output: Any) -> dict[str, Any]:
    return a_call("judge", "outer", "s", inputs={}, output=output, began=2)


def outer_of(example: Any, output: Any = None) -> dict[str, Any]:
    call = outer(output)
    return call | {"inputs": {**call["inputs"], "example": example}}


@pytest.mark.parametrize("first", ["call", "feedback", "output"])
def test_a_reference_to_a_value_is_no_second_score(store: Store, first: str) -> None:
    add_rows(store)
    said = judged("s", True, call_ref="a/b/judge")
    whole = outer_of(REF, {"scores": {"s": f"{REF}/key/target"}})
    scored = judge(f"{REF}/key/target")
    send(store, outer_of(REF), predict())
    send(store, *{"call": [scored, said], "feedback": [said, scored]}.get(first, [whole, said]))
    assert scores(store) == {("s", None): True}
    assert len(all_scores(store)) == 1


MEANT: list[tuple[Any, Any]] = [
    (f"{REF}/key/%C3%A9/index/0/key/b", 2.0),
    (f"{REF}/key/é/index/0", {"b": 2.0}),
    (
        {"a": [f"{REF}/key/text", 1], "b": {"c": f"{REF}/key/none"}},
        {"a": [ROW["text"], 1], "b": {"c": None}},
    ),
    ([REF, f"{REF}/attr/target"], [ROW, True]),
]
KEPT: list[Any] = [
    f"{OBJECT}/d:d",
    f"{REF}/key/other",
    f"{REF}/key/é/index/2",
    f"{REF.replace('demo', 'other', 1)}/key/target",
    {f"{REF}/key/target": 1},
    f'see "{REF}/key/target"',
    f"{REF}/step/target",
]


@pytest.mark.parametrize(("sent", "value"), [*MEANT, *((each, each) for each in KEPT)])
def test_only_references_to_parts_in_the_project_are_replaced(
    store: Store, sent: Any, value: Any
) -> None:
    add_rows(store)
    send(store, outer_of(REF), predict(sent), judge(sent))
    assert scores(store) == {("s", None): value}
    found = only(store, Prediction)
    assert json.loads(found.output_json) == value
    assert json.loads(found.inputs_json) == ROW


def test_the_value_of_a_row_that_arrives_later_takes_the_place_of_its_reference(
    store: Store,
) -> None:
    other = {"target": 7}
    ref = f"{OBJECT}/d:d/attr/rows/id/{row_digest(other)}/key/target"
    send(store, outer_of(REF), predict([ref]), judge(ref))
    assert scores(store) == {("s", None): ref}
    add_rows(store, other)
    add_rows(store)
    assert scores(store) == {("s", None): 7}
    found = only(store, Prediction)
    assert (json.loads(found.output_json), found.awaited_row) == ([7], None)


def test_a_row_that_only_an_output_refers_to_is_awaited(store: Store) -> None:
    send(store, outer_of({"q": 1}), predict(), judge(f"{REF}/key/target"))
    assert only(store, Prediction).awaited_row == DIGEST
    add_rows(store)
    assert scores(store) == {("s", None): True}
    assert only(store, Prediction).awaited_row is None


@pytest.mark.parametrize("value", [{"_type": "Verdict", "passed": True}, {"passed": True}])
@pytest.mark.parametrize("in_list", [True, False])
def test_an_object_that_a_scorer_returns_is_its_value(
    store: Store, value: Any, in_list: bool
) -> None:
    ref = f"{OBJECT}/Verdict:{add_object(store, HERE, 'Verdict', value)}"
    returned, score = ([ref, 1], [value, 1]) if in_list else (ref, value)
    ended = outer_of(REF, {"output": "out", "scores": {"t": returned}})
    send(store, predict(), ended, judge(returned))
    assert scores(store) == {("s", None): score, ("t", None): score}
    for said in (returned, score):
        send(store, judged("s", said, id="f", call_ref="a/b/judge"))
    assert len(all_scores(store)) == 2


def test_the_reference_to_an_object_that_is_not_there_or_deleted_is_the_score(store: Store) -> None:
    value = {"_type": "Verdict", "passed": True}
    ref = f"{OBJECT}/Verdict:{row_digest(value)}"
    send(store, predict(), outer_of(REF), judge(ref))
    add_object(store, HERE, "Verdict", value)
    send(store, judged("s", "Verdict(passed=True)", call_ref="a/b/judge"))
    delete_versions(store, HERE, "Verdict", None)
    send(store, judged("t", 1), predict())
    assert scores(store) == {("s", None): ref, ("t", None): 1}


def test_the_object_of_a_scorer_is_not_read_for_each_of_its_scores(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = f"{OBJECT}/Judge:{add_object(store, HERE, 'Judge', {'_type': 'Judge'})}"
    send(store, outer(), predict(), judge(1))
    read = []
    find = store.find_documents

    def recorded(kind: type[Any], *place: Any) -> Any:
        read.append(kind)
        return find(kind, *place)

    monkeypatch.setattr(store, "find_documents", recorded)
    send(store, judged("s", 1, runnable_ref=ref, call_ref="weave:///acme/demo/call/judge"))
    assert all_scores(store)
    assert ObjectVersion not in read


def test_a_part_of_a_scorer_is_its_value(store: Store) -> None:
    digest = add_object(store, HERE, "Judge", {"_type": "Judge", "threshold": 0.25})
    ref = f"{OBJECT}/Judge:{digest}"
    send(store, outer_of(REF), predict(ref), judge({"t": f"{ref}/attr/threshold", "of": ref}))
    send(store, judged("s", {"t": 0.25, "of": "Judge(threshold=0.25)"}, call_ref="a/b/judge"))
    value = {"t": 0.25, "of": {"_type": "Judge", "threshold": 0.25}}
    assert [json.loads(each.value_json) for each in all_scores(store)] == [value]
    assert json.loads(only(store, Prediction).output_json) == ref


def test_an_example_of_values_of_a_row_has_the_digest_of_these(store: Store) -> None:
    add_rows(store)
    send(store, outer_of({"target": f"{REF}/key/target"}), predict())
    found = only(store, Prediction)
    assert json.loads(found.inputs_json) == {"target": True}
    assert found.example_id == row_digest({"target": True})


def test_references_are_replaced_by_a_bounded_amount(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rows(store, {"target": "x" * 30}, {"target": "y" * 200})
    first, second = (
        f"{OBJECT}/d:d/attr/rows/id/{row_digest({'target': text})}/key/target"
        for text in ("x" * 30, "y" * 200)
    )
    monkeypatch.setattr(meanings, "MAX_BYTES", 100)
    send(store, outer_of(REF), predict([first] * 2), judge([second, *[first] * 3]))
    assert json.loads(only(store, Prediction).output_json) == ["x" * 30] * 2
    assert scores(store) == {("s", None): [second, "x" * 30, first, first]}
    monkeypatch.setattr(meanings, "MAX_REFERENCES", 1)
    send(store, judge([second, first, first]))
    assert scores(store) == {("s", None): [second, "x" * 30, first]}
