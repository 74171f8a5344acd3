"""What calls and feedback say becomes the same scores, whoever sends what at which moment."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from app.scorers import scorer_name
from app.stores.base import DocumentQuery, ScoreQuery, Store
from app.stores.model import UNASSIGNED, EvaluationRun, Prediction, Score
from app.stores.weave import Call
from app.weave import intake
from app.weave.contents import Place
from app.weave.projection import project

HERE = Place("acme", "demo", "ada")
OP = "weave:///acme/demo/op"
OBJECT = "weave:///acme/demo/object"
MODEL = f"{OBJECT}/M:d"


def raw(content: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(content).encode())


def a_call(call_id: str, parent_id: str | None, op: str, **given: Any) -> dict[str, Any]:
    """Return a complete call; `began` orders the calls."""
    began = given.pop("began", 0)
    return {
        "id": call_id,
        "parent_id": parent_id,
        "op_name": op if "." in op and ":" not in op else f"{OP}/{op}:d",
        "started_at": f"2026-01-02T00:00:{began:02}Z",
        "ended_at": f"2026-01-02T00:01:{began:02}Z",
        **given,
    }


def outer(output: Any = None, **given: Any) -> dict[str, Any]:
    """Return the call that predicts and scores."""
    inputs = {"model": MODEL, "example": {"q": 1}}
    return a_call(
        "outer", "run", "Evaluation.predict_and_score", inputs=inputs, output=output, **given
    )


def predict(output: Any = "out", **given: Any) -> dict[str, Any]:
    """Return the call of the model."""
    return a_call(
        "predict", "outer", "M.predict", inputs={"self": MODEL}, output=output, began=1, **given
    )


def judged(name: str, value: Any, call_id: str = "predict", **given: Any) -> dict[str, Any]:
    """Return the feedback that says a score."""
    return {
        "id": f"{name} {value}",
        "weave_ref": f"weave:///acme/demo/call/{call_id}",
        "feedback_type": f"wandb.runnable.{quote(name, safe='')}",
        "payload": {"output": value},
        **given,
    }


def annotated(name: str, value: Any, creator: str, call_id: str = "predict") -> dict[str, Any]:
    """Return the feedback that says what a person judges."""
    given = {"feedback_type": f"wandb.annotation.{name}", "payload": {"value": value}}
    return judged(name, value, call_id, creator=creator, **given)


def send(store: Store, *sent: dict[str, Any], may_change: bool = True, place: Place = HERE) -> None:
    """Store complete calls and feedback, each in a request of its own."""
    for each in sent:
        if "weave_ref" in each:
            feedback = [intake.feedback_of(place, raw(each))]
            stored = intake.add_feedback(store, feedback, may_change=may_change)
            ids = [one.call_id for one in stored if one.call_id]
            calls = list(store.find_documents(Call, place.entity, place.project, ids))
        else:
            calls = intake.add_calls(
                store, [intake.started(place, raw(each))], may_change=may_change
            )
        project(store, place, intake.touched(calls))


def all_scores(store: Store) -> list[Score]:
    score_ids = store.list_score_ids(ScoreQuery("acme", "demo"))
    return list(store.read_scores("acme", "demo", score_ids))


def scores(store: Store) -> dict[tuple[str, str | None], Any]:
    """Return the newest values by scorer's name and annotator."""
    found = all_scores(store)
    return {(each.scorer_name, each.annotator): json.loads(each.value_json) for each in found}


def only(store: Store, kind: type[Any]) -> Any:
    (found,) = store.read_documents(kind, DocumentQuery("acme", "demo"))
    return found


def test_scorers_of_one_class_are_known_by_the_names_of_their_objects(store: Store) -> None:
    scorers = [
        a_call(
            name,
            "outer",
            "Judge.score",
            inputs={"self": f"{OBJECT}/{name}:d"},
            output=position,
            began=2,
            op_name=f"{OP}/Judge.score:d",
        )
        for position, name in enumerate(["strict", "lenient"])
    ]
    send(store, outer({"output": "out", "scores": {"strict": 0}}), predict(), *scorers)
    send(store, judged("lenient", 1))
    assert scores(store) == {("strict", None): 0, ("lenient", None): 1}
    assert len(all_scores(store)) == 2
    assert {scorer_name(each.scorer) for each in all_scores(store)} == {"strict", "lenient"}


def test_a_scorer_whose_object_has_another_name_is_one_scorer(store: Store) -> None:
    given = {"inputs": {"self": f"{OBJECT}/f1-score:d"}, "output": 8, "began": 2}
    judge = a_call("judge", "outer", "", **given) | {"op_name": f"{OP}/f1%20score.score:d"}
    send(store, outer(ended_at=None), predict(), judged("f1-score", 8, call_ref="a/b/judge"))
    send(store, judge, outer({"scores": {"f1 score": 8}}))
    assert scores(store) == {("f1-score", None): 8}


def test_a_scorer_without_a_name_is_one_scorer_with_the_name_of_its_class(store: Store) -> None:
    given = {"inputs": {"self": f"{OBJECT}/Judge:d"}, "output": 8, "began": 2}
    send(store, outer(ended_at=None), predict(), judged("Judge", 8, call_ref="a/b/judge"))
    judge = a_call("judge", "outer", "score_method", **given)
    send(store, judge, outer({"scores": {"None": 8, "x": 1}}))
    assert scores(store) == {("Judge", None): 8, ("x", None): 1}


def test_the_output_names_a_scorer_none_that_has_no_call(store: Store) -> None:
    send(store, predict(), outer({"scores": {"None": 8}}))
    assert scores(store) == {("None", None): 8}


def test_names_with_slashes_are_different_sources(store: Store) -> None:
    send(store, outer({"scores": {"a/b": 1, "a": 2}}), predict())
    send(store, annotated("a", 3, "b/"), annotated("a/b", 4, "x"), annotated("a", 5, "b//x"))
    values = {("a/b", None): 1, ("a", None): 2, ("a", "b/"): 3, ("a/b", "x"): 4, ("a", "b//x"): 5}
    assert scores(store) == values
    send(store, outer({"scores": {"a/b": 1, "a": 2}}), annotated("a", 3, "b/"))
    assert len(all_scores(store)) == 5


def test_two_judgements_of_one_person_outside_of_a_run_are_not_told_again(store: Store) -> None:
    send(store, a_call("loose", None, "f"), annotated("q", 1, "ann", "loose"))
    send(store, annotated("q", 2, "ann", "loose"))
    for _ in range(2):
        send(store, a_call("loose", None, "f"))
    assert [json.loads(each.value_json) for each in all_scores(store)] == [1, 2]


@pytest.mark.parametrize("late", [predict("new"), outer({"scores": {"s": 2}}), judged("s", 3)])
def test_an_older_state_does_not_replace_what_another_request_has_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch, late: dict[str, Any]
) -> None:
    root = a_call("run", None, "Evaluation.evaluate", output=None, inputs={})
    send(store, outer({"scores": {"s": 1}}, ended_at=None), predict("old"))
    upsert, others = store.upsert_documents, [root | {"output": {"x": 1}}, late]

    def upsert_after_others(documents: Any, merge: Any) -> Any:
        if documents and isinstance(documents[0], EvaluationRun | Prediction) and others:
            both = list(others)
            others.clear()
            send(store, *both)
        return upsert(documents, merge)

    monkeypatch.setattr(store, "upsert_documents", upsert_after_others)
    send(store, outer({"scores": {"s": 1}}), root)
    raced = (only(store, Prediction), scores(store), only(store, EvaluationRun))
    monkeypatch.undo()
    send(store, outer({"scores": {"s": 1}}, ended_at=None))
    assert raced == (only(store, Prediction), scores(store), only(store, EvaluationRun))


def test_objects_with_other_orders_of_keys_are_the_same_value(store: Store) -> None:
    send(store, outer({"scores": {"s": {"a": 1, "b": 2}}}), predict())
    send(store, judged("s", {"b": 2, "a": 1}))
    assert len(all_scores(store)) == 1


@pytest.mark.parametrize("later", [outer({"scores": {"s": 1}}), judged("t", 2)])
def test_a_request_that_broke_off_is_completed_by_a_later_one(
    store: Store, later: dict[str, Any]
) -> None:
    calls = [intake.started(HERE, raw(each)) for each in (outer({"scores": {"s": 1}}), predict())]
    intake.add_calls(store, calls, may_change=True)  # Then the service was killed.
    send(store, later)
    assert scores(store)["s", None] == 1


EVE = Place("acme", "demo", "eve", "create")


def part_of(call: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: call[name] for name in ("id", *names)}


def test_a_call_that_is_made_again_after_its_end_supersedes(store: Store) -> None:
    again = outer({"scores": {"s": 2}})
    began = {name: value for name, value in again.items() if name not in ("ended_at", "output")}
    ended = {**part_of(again, "ended_at"), "output": {"scores": {"s": 1}}}
    intake.add_calls(store, [intake.started(HERE, raw(began))], may_change=True)
    calls = intake.add_calls(store, [intake.ended(HERE, raw(ended))], may_change=True)
    project(store, HERE, intake.touched(calls))
    send(store, again, again)
    assert [json.loads(each.value_json) for each in all_scores(store)] == [1, 2]


def test_another_key_that_may_only_create_completes_a_call(store: Store) -> None:
    began = outer()
    del began["ended_at"], began["output"]
    send(store, began, predict("out"))
    completed = outer({"scores": {"s": 1}}) | {"inputs": {"model": "other", "example": {"q": 2}}}
    send(store, completed, may_change=False, place=EVE)
    assert scores(store) == {("s", None): 1}
    assert json.loads(only(store, Prediction).inputs_json) == {"q": 1}
    send(store, outer({"scores": {"s": 3}}), may_change=False, place=EVE)
    assert scores(store) == {("s", None): 1}


def test_another_key_that_may_only_create_changes_no_run_and_no_prediction(store: Store) -> None:
    send(store, predict("out"), outer({"scores": {"s": 1}}))
    made = only(store, Prediction)
    run = EvaluationRun(
        id="run",
        entity="acme",
        project="demo",
        wb_user_id="ada",
        body_hash="",
        evaluation="e",
        model="m",
        started_at=made.created_at,
    )
    store.add_documents([run])
    store.add_documents([replace(made, id="other", sort_id=UNASSIGNED)])

    def of_ada() -> list[Any]:
        query = DocumentQuery("acme", "demo")
        return [*store.read_documents(Prediction, query), only(store, EvaluationRun)]

    before = of_ada()
    root = a_call("run", None, "Evaluation.evaluate", output={"x": 1}, inputs={"model": MODEL})
    model_again = predict("false") | {"id": "again", "started_at": "2026-01-01T00:00:00Z"}
    same_id = outer({"output": "false"}) | {"id": "other"}
    for each in (root, model_again, same_id):
        send(store, each, may_change=False, place=EVE)
    assert of_ada() == before


def test_a_call_before_the_models_is_not_taken_for_it(store: Store) -> None:
    prepared = a_call("prepared", "outer", "prepare", inputs={"example": 1}, output="prepared")
    scorer = a_call("scorer", "outer", "s", inputs={"output": "out"}, output=1, began=2)
    send(store, outer({"output": "out", "scores": {}}), prepared)
    assert (only(store, Prediction).id, only(store, Prediction).output_json) == ("outer", '"out"')
    send(store, scorer, predict("out"))
    assert only(store, Prediction).output_json == '"out"'
    assert scores(store) == {("s", None): 1}


def test_a_scorer_in_the_same_millisecond_as_the_model_is_one(store: Store) -> None:
    scorer = a_call("a", "outer", "s", inputs={"output": "out"}, output=1, began=1)
    send(store, predict("out"), scorer, outer())
    assert scores(store) == {("s", None): 1}


def test_an_evaluation_inside_of_a_prediction_is_a_run_although_both_are_sent_together(
    store: Store,
) -> None:
    inner = a_call("inner", "outer", "Evaluation.evaluate", inputs={"model": MODEL})
    sent = [intake.started(HERE, raw(each)) for each in (outer(), predict(), inner)]
    calls = intake.add_calls(store, sent, may_change=True)
    project(store, HERE, intake.touched(calls))
    assert only(store, EvaluationRun).id == "inner"
    assert only(store, Prediction).id == "predict"
