"""Values are counted against schemas, and metrics are proposed from what is stored."""

from __future__ import annotations

from typing import Any

import pytest

from app.analysis import metric_proposals
from app.analysis.metric_proposals import propose_metrics
from app.analysis.schema_checks import check_values
from app.errors import InvalidParameter
from app.services.metrics import declare_metrics
from app.services.scores import create_score
from app.stores.base import Store
from tests.services.test_metrics import OLGA, a_body

ALL: dict[str, Any] = {"run": None}


def add(store: Store, scorer: str, *values: Any, run: str | None = "r", error: str = "") -> None:
    for number, value in enumerate(values):
        body = {
            "prediction_id": f"p{number}",
            "scorer": scorer,
            "value": value,
            "evaluation_run_id": run,
            "error": error or None,
        }
        create_score(store, "acme", "demo", None, body)


def counted(store: Store, **wanted: Any) -> list[tuple[str, str, int, int]]:
    found = [each.described() for each in check_values(store, "acme", "demo", ALL | wanted)]
    return [(each["scorer"], each["leaf"], each["checked"], each["against"]) for each in found]


def proposed(store: Store, **wanted: Any) -> dict[tuple[str, str], dict[str, Any]]:
    found = propose_metrics(store, "acme", "demo", ALL | wanted)
    assert found["num_metrics"] == len(found["metrics"])
    return {(each["scorer"], each["leaf"]): each for each in found["metrics"]}


def test_current_values_are_counted_against_the_schema_of_their_metric(store: Store) -> None:
    share = {"type": "number", "maximum": 1}
    declare_metrics(
        store,
        "acme",
        "demo",
        [a_body(schema=share), a_body("Object", "a", schema=share), a_body("Other", unit="s")],
        OLGA,
    )
    add(store, "Judge", 7, 7)
    add(store, "Judge", 0.5, 1.7, "x", None)  # The first two supersede the sevens.
    add(store, "weave:///acme/demo/object/Judge:v3", 1.7, run="other")
    add(store, "Object", {"a": 2}, {"a": None}, {"b": 2}, 7)
    add(store, "Judge", None, run="failed", error="timeout")
    assert counted(store) == [("Judge", "", 4, 3), ("Object", "a", 4, 1)]
    assert counted(store, run="other") == [("Judge", "", 1, 1), ("Object", "a", 0, 0)]


def test_some_values_against_a_schema_are_shown_with_what_is_wrong(store: Store) -> None:
    declare_metrics(store, "acme", "demo", [a_body(schema={"type": "number"})], OLGA)
    add(store, "Judge", *(["x"] * 7))
    (found,) = (each.described() for each in check_values(store, "acme", "demo", ALL))
    assert found["against"] == 7
    assert [each["fault"] for each in found["examples"]] == ['"x" is not of type "number"'] * 5
    ids = [each["score_id"] for each in found["examples"]]
    assert ids == sorted(set(ids))


def test_a_proposal_says_what_the_values_show(store: Store) -> None:
    add(store, "Rate", 0, 1, 1.0)
    add(store, "Points", 0.5, 7, None)
    add(store, "Verdict", "pass", "fail", "pass")
    add(store, "Mixed", {"a": True, "b": {"c": 10**400}}, {"a": "x"})
    found = proposed(store)
    assert list(found) == [
        *(("Mixed", "a"), ("Mixed", "b.c"), ("Points", ""), ("Rate", ""), ("Verdict", "")),
    ]
    assert found["Rate", ""] == {
        "scorer": "Rate",
        "leaf": "",
        "kinds": {"number": 3},
        "minimum": 0.0,
        "maximum": 1.0,
        "only_0_and_1": True,
        "texts": [],
    }
    points = found["Points", ""]
    assert (points["minimum"], points["maximum"], points["only_0_and_1"]) == (0.5, 7.0, False)
    assert points["kinds"] == {"null": 1, "number": 2}
    assert found["Verdict", ""]["texts"] == [
        {"text": "pass", "scores": 2},
        {"text": "fail", "scores": 1},
    ]
    assert found["Mixed", "a"]["kinds"] == {"boolean": 1, "text": 1}
    assert found["Mixed", "b.c"]["minimum"] is None


def test_prose_and_nulls_are_no_metrics(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_proposals, "MAX_TEXTS", 2)
    add(store, "Few", "a", "b", "a")
    add(store, "Prose", "a", "b", "c")
    add(store, "Some", "a", "b", "c", 1)
    add(store, "Null", None)
    assert {key[0]: each["texts"] for key, each in proposed(store).items()} == {
        "Few": [{"text": "a", "scores": 2}, {"text": "b", "scores": 1}],
        "Some": [],
    }


def test_a_proposal_leaves_out_what_is_declared_and_other_runs(store: Store) -> None:
    declare_metrics(store, "acme", "demo", [a_body("a"), a_body("b", "x")], OLGA)
    add(store, "a", 1)
    add(store, "b", 1, run="other")
    assert list(proposed(store)) == [("b", "")]
    assert propose_metrics(store, "acme", "demo", ALL)["num_declared"] == 1
    add(store, "a", 1, run="r")
    assert list(proposed(store, run="r")) == []
    assert list(proposed(store, run="id:other")) == [("b", "")]


def test_a_proposal_from_too_many_leaves_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_proposals, "MAX_LEAVES", 2)
    add(store, "a", [1, 2, 3])
    with pytest.raises(InvalidParameter, match="more than 2 leaves"):
        proposed(store)
