"""Calls and feedback outside of runs go by their own age, and those of runs with their run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from app.ids import first_id_at
from app.services.keys import COMMAND_LINE
from app.services.retention import Pruned, Retention
from app.stores.base import DocumentQuery, Store
from app.stores.weave import Call, Feedback, ScoreSource
from tests.stores.test_contract import a_score
from tests.stores.test_documents import a_prediction, a_run

NOW = datetime(2026, 1, 2, tzinfo=UTC)
OLD, MOMENT = NOW - timedelta(days=100), NOW - timedelta(days=90)
NUMBERS = count()
PLACE: dict[str, Any] = {"entity": "acme", "project": "demo", "body_hash": ""}


def an_id(moment: datetime = OLD) -> str:
    """Return a new id of this time."""
    return f"{first_id_at(moment)[:-6]}{next(NUMBERS):06}"


def add_calls(store: Store, parents: dict[str, str | None], moment: datetime = OLD) -> None:
    """Store calls, given by id with the call that each is below."""
    store.add_documents(
        [
            Call(**PLACE, id=call_id, parent_id=parent_id, sort_id=an_id(moment))
            for call_id, parent_id in parents.items()
        ]
    )


def add_feedback(store: Store, calls: dict[str, str | None], moment: datetime = OLD) -> None:
    """Store feedback, given by id with the call that each is about."""
    about = {"weave_ref": "r", "feedback_type": "wandb.note.1", "body_json": "{}"}
    store.add_documents(
        [
            Feedback(**PLACE, id=each, call_id=call_id, sort_id=an_id(moment), **about)
            for each, call_id in calls.items()
        ]
    )


def left(store: Store, kind: type[Call | Feedback | ScoreSource]) -> set[str]:
    return {each.id for each in store.read_documents(kind, DocumentQuery("acme", "demo"))}


def prune(store: Store) -> Pruned:
    """Count what is old, and return it once as much has been deleted."""
    old = Retention(store, MOMENT, False, lambda _: None)
    counted = old.count("acme", "demo")
    assert old.prune("acme", "demo", COMMAND_LINE) == counted
    return counted


def test_old_calls_outside_of_runs_go_with_those_below_and_their_feedback(store: Store) -> None:
    add_calls(store, {"top": None, "below": "top", "deep": "below", "orphan": "never came"})
    add_calls(store, {"new": None, "late": "top"}, NOW)
    add_calls(store, {"early": "new"})
    add_feedback(store, {"of top": "top", "of deep": "deep", "of early": "early"})
    sources = {"top": OLD, "new": NOW}
    store.add_documents(
        [
            ScoreSource(**PLACE, id=each, prediction_id=each, score_id="", sort_id=an_id(moment))
            for each, moment in sources.items()
        ]
    )
    assert prune(store) == Pruned(calls=4)
    assert left(store, Call) == {"new", "late", "early"}
    assert left(store, Feedback) == {"of early"}
    assert left(store, ScoreSource) == {"new"}
    assert prune(store) == Pruned()


def test_old_feedback_of_no_call_goes_and_takes_what_was_known_of_its_scores(store: Store) -> None:
    add_feedback(store, {"waiting": "never came", "of an object": None})
    add_feedback(store, {"new": "never came"}, NOW)
    source = {"prediction_id": "never came", "score_id": "", "sort_id": an_id()}
    store.add_documents([ScoreSource(**PLACE, id="s", **source)])
    assert prune(store) == Pruned(feedback=2)
    assert left(store, Feedback) == {"new"}
    assert left(store, ScoreSource) == set()


def test_calls_and_feedback_of_a_kept_run_stay_and_go_with_the_run(store: Store) -> None:
    fields: dict[str, Any] = {"sort_id": an_id(), "started_at": OLD}
    store.add_documents([a_run(id="run", **fields, archived_at=NOW)])
    add_calls(store, {"outer": None, "run": "outer", "p&s": "run", "predict": "p&s"})
    add_feedback(store, {"of predict": "predict"})
    assert prune(store) == Pruned(calls=1, kept_archived=1)
    assert left(store, Call) == {"run", "p&s", "predict"}
    store.change_document(type(a_run()), "acme", "demo", "run", archived_at=None)
    assert prune(store) == Pruned(runs=1)
    assert left(store, Call) | left(store, Feedback) == set()


@pytest.mark.parametrize("kept", ["named run", "prediction", "outer", "score"])
def test_feedback_of_what_is_no_call_but_in_a_run_stays(store: Store, kept: str) -> None:
    score_id = an_id(NOW)
    score = a_score(evaluation_run_id="named run", score_id=score_id, created_at=NOW)
    store.add_missing([score], partial=False)
    fields: dict[str, Any] = {"evaluation_run_id": "named run", "sort_id": an_id()}
    outer = {"predict_and_score_call_id": "outer"}
    store.add_documents([a_prediction(id="prediction", **fields, **outer)])
    add_feedback(store, {"f": score_id if kept == "score" else kept})
    add_calls(store, {"p&s": "named run"})
    assert prune(store) == Pruned()
    assert left(store, Feedback) == {"f"}
    assert left(store, Call) == {"p&s"}


def test_calls_that_are_below_each_other_do_not_hang(store: Store) -> None:
    add_calls(store, {"a": "b", "b": "a", "c": "c"})
    assert prune(store) == Pruned()


def test_deep_calls_go_in_one_prune(store: Store) -> None:
    deep = {f"c{number}": f"c{number - 1}" if number else None for number in range(60)}
    add_calls(store, deep)
    assert prune(store) == Pruned(calls=60)
