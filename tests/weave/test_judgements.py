"""Each judgement of a prediction makes one score, in whatever form and order it is sent."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from app.stores.base import Store
from app.stores.model import Prediction
from app.weave import intake
from app.weave.contents import Place
from app.weave.projection import project
from tests.weave.test_projection import (
    EVE,
    HERE,
    a_call,
    all_scores,
    annotated,
    judged,
    only,
    outer,
    predict,
    raw,
    scores,
    send,
)

WRITER = Place("acme", "demo", "wanda", "write")

VERDICT = {"_type": "Verdict", "passed": True, "_class_name": "Verdict", "_bases": []}
REPR = "Verdict(passed=True)"
REF = "weave:///acme/demo/object/Verdict:d"
FORMS: list[tuple[Any, Any]] = [
    (VERDICT, REPR),
    ({"a": [VERDICT, 1], "b": None}, {"a": [REPR, 1], "b": None}),
    (REF, REPR),
]
"""What the SDK sends as the output of the scorer's call, and what as feedback."""


def judge(call_id: str, value: Any, began: int = 2, **given: Any) -> dict[str, Any]:
    """Return the call of the scorer `s`."""
    return a_call(call_id, "outer", "s", inputs={}, output=value, began=began, **given)


def told(call_id: str, value: Any, **given: Any) -> dict[str, Any]:
    """Return the feedback about the call of the scorer `s`."""
    return judged("s", value, id=f"of {call_id}", call_ref=f"weave/{call_id}") | given


def values(store: Store) -> list[Any]:
    """Return the values of all scores, the oldest first."""
    return [json.loads(each.value_json) for each in all_scores(store)]


def send_together(store: Store, *feedback: dict[str, Any]) -> None:
    """Send feedback in one request."""
    sent = [intake.feedback_of(HERE, raw(each)) for each in feedback]
    intake.add_feedback(store, sent, may_change=True)
    project(store, HERE, ["outer"])


@pytest.mark.parametrize(("value", "text"), FORMS)
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_an_object_and_its_text_are_one_score_in_any_order(
    embedded_store: Store, value: Any, text: Any, order: tuple[int, ...]
) -> None:
    requests = [judge("j", value), told("j", text), outer()]
    send(embedded_store, predict(), *(requests[position] for position in order))
    send(embedded_store, *requests)
    is_text = order in ((1, 2, 0), (2, 1, 0))  # The prediction had ended before the call came.
    assert values(embedded_store) == [text if is_text else value]


@pytest.mark.parametrize(("value", "text"), FORMS)
def test_an_object_and_its_text_are_one_score(store: Store, value: Any, text: Any) -> None:
    send(store, predict(), outer(), judge("j", value), told("j", text))
    assert values(store) == [value]


def test_an_object_and_its_text_are_one_score_while_the_prediction_goes_on(store: Store) -> None:
    began = outer(ended_at=None)
    send(store, began, predict(), told("j", REPR), judged("t", 1))
    assert scores(store) == {("t", None): 1}
    send(store, judge("j", VERDICT), told("j", REPR))
    assert scores(store) == {("t", None): 1, ("s", None): VERDICT}
    send(store, outer(), judge("j", VERDICT))
    assert len(values(store)) == 2


def test_the_text_of_an_object_is_the_score_if_nothing_else_comes(store: Store) -> None:
    send(store, outer(ended_at=None), predict(), told("j", REPR))
    send(store, outer())
    assert values(store) == [REPR]


def test_the_text_of_an_object_in_the_output_is_that_object(store: Store) -> None:
    send(store, predict(), told("j", REPR), outer({"scores": {"s": VERDICT}}))
    send(store, judge("j", VERDICT))
    assert values(store) == [VERDICT]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (VERDICT, {**VERDICT, "passed": False}),
        ({"a": VERDICT, "b": 1}, {"a": REPR, "b": 2}),
        ({"a": VERDICT}, {"a": REPR, "b": 2}),
        ([VERDICT], [REPR, REPR]),
        ({"passed": True}, REPR),
        (1, True),
    ],
)
def test_another_value_of_feedback_supersedes_that_of_the_call(
    store: Store, first: Any, second: Any
) -> None:
    send(store, predict(), outer(), judge("j", first), told("j", second))
    assert values(store) == [first, second]


@pytest.mark.parametrize("together", [True, False])
def test_two_judgements_at_once_are_two_scores(store: Store, together: bool) -> None:
    calls = [judge("a", 1, 2), judge("b", 2, 3)]
    feedback = [told("a", 1), told("b", 2)]
    if together:
        send_together(store, *feedback)
    else:
        send(store, *feedback)
    send(store, *calls, predict(), outer({"scores": {"s": 2}}))
    assert values(store) == [1, 2]
    send(store, *feedback, *calls, judged("t", 3), outer({"scores": {"s": 2}}))
    assert values(store) == [1, 2, 3]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_judgements_that_wait_are_scores_in_the_order_of_their_calls(
    embedded_store: Store, order: tuple[int, ...]
) -> None:
    waiting = [judge("a", 1, 2), judge("b", 2, 3), told("a", 1), told("b", 2)]
    send(embedded_store, predict(), *(waiting[position] for position in order))
    send(embedded_store, outer({"scores": {"s": 2}}))
    assert values(embedded_store) == [1, 2]


def test_two_judgements_without_calls_are_two_scores(store: Store) -> None:
    send(store, predict(), outer())
    send_together(store, judged("s", 1), judged("s", 2))
    send_together(store, judged("s", 2), judged("s", 1))
    assert values(store) == [1, 2]


def test_a_judgement_that_comes_back_to_an_earlier_value_is_a_score(store: Store) -> None:
    send(store, predict(), outer())
    send_together(store, told("a", 1), told("b", 2), told("c", 1))
    assert values(store) == [1, 2, 1]
    send_together(store, told("a", 1), told("b", 2), told("c", 1))
    assert values(store) == [1, 2, 1]
    send(store, told("c", 3), told("c", 1))
    assert values(store) == [1, 2, 1, 3, 1]


def test_two_annotations_of_one_person_at_once_are_two_scores(store: Store) -> None:
    send(store, predict(), outer())
    both = annotated("q", 1, "ann"), annotated("q", 2, "ann")
    send_together(store, *both)
    send_together(store, *both)
    assert values(store) == [1, 2]


def test_two_judgements_of_a_call_outside_of_a_run_are_two_scores(store: Store) -> None:
    feedback = [judged("s", value, "loose", call_ref="weave/j") for value in (1, 2)]
    send(store, *feedback, a_call("loose", None, "f"))
    assert values(store) == [1, 2]
    send(store, *feedback, a_call("loose", None, "f"))
    assert values(store) == [1, 2]


# Keys of other owners


@pytest.mark.parametrize(
    "foreign", [told("e", 9), told("j", 9, id="x"), judged("s", 9), judge("e", 9, 3)]
)
@pytest.mark.parametrize("is_first", [True, False])
def test_another_key_that_may_only_create_supersedes_no_score(
    store: Store, foreign: dict[str, Any], is_first: bool
) -> None:
    own = [judge("j", 1), told("j", 1)]
    if is_first:
        send(store, foreign, may_change=False, place=EVE)
    send(store, predict(), *own, outer({"scores": {"s": 1}}))
    send(store, foreign, may_change=False, place=EVE)
    send(store, *own)
    assert values(store) == [1]


def test_another_key_that_may_only_create_supersedes_no_annotation(store: Store) -> None:
    send(store, predict(), outer(), annotated("q", 1, "ann"))
    send(store, annotated("q", 9, "ann"), annotated("q", 8, "eve"), may_change=False, place=EVE)
    assert scores(store) == {("q", "ann"): 1, ("q", "eve"): 8}


def test_another_key_that_may_only_create_supersedes_no_score_outside_of_a_run(
    store: Store,
) -> None:
    send(store, a_call("loose", None, "f"), judged("s", 1, "loose", call_ref="weave/j"))
    foreign = [judged("s", 9, "loose", call_ref="weave/e"), judged("t", 8, "loose")]
    send(store, *foreign, may_change=False, place=EVE)
    assert scores(store) == {("s", None): 1, ("t", None): 8}


def test_another_key_adds_scores_of_its_own_scorers(store: Store) -> None:
    send(store, predict(), outer({"scores": {"s": 1}}))
    send(store, judged("mine", 2), may_change=False, place=EVE)
    send(store, judged("mine", 3), may_change=False, place=Place("acme", "demo", "bob", "create"))
    assert scores(store) == {("s", None): 1, ("mine", None): 2}
    assert {each.wb_user_id for each in all_scores(store)} == {"ada", "eve"}


def test_a_key_that_may_write_supersedes_a_score_of_another_owner(store: Store) -> None:
    send(store, predict(), outer({"scores": {"s": 1}}))
    send(store, told("w", 2), place=WRITER)
    send(store, outer({"scores": {"s": 1}}))
    assert values(store) == [1, 2]


def test_feedback_of_another_key_on_a_scorer_does_not_make_it_the_model(store: Store) -> None:
    began = outer(ended_at=None) | {"inputs": {"example": {"q": 1}}}
    send(store, began, judge("j", 1))
    send(store, judged("x", 9, "j"), may_change=False, place=EVE)
    send(store, predict(), judged("s", 1, call_ref="weave/j"), outer())
    assert all_scores(store)[-1].prediction_id == "predict"


def test_a_call_of_another_key_does_not_become_the_model_while_the_prediction_goes_on(
    store: Store,
) -> None:
    send(store, outer(ended_at=None))
    foreign = [predict("false") | {"id": "e"}, judged("x", 9, "e")]
    send(store, *foreign, may_change=False, place=EVE)
    assert all_scores(store) == []
    send(store, predict(), judge("j", 1), outer())
    assert {each.prediction_id for each in all_scores(store)} == {"predict"}
    assert scores(store)["s", None] == 1
    assert only(store, Prediction).output_json == '"out"'
