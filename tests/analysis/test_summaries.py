"""Summaries of scores, on every engine: what is counted, what stands apart, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.analysis import leaf_summaries, summaries
from app.analysis.leaf_summaries import Group, ancestors
from app.analysis.summaries import summarize
from app.errors import InvalidParameter, StoreDamaged
from app.leaves import leaves
from app.services.scores import create_scores
from app.stores.base import Store
from tests.stores.test_contract import a_score
from tests.test_jsontext import any_json

WANTED: dict[str, Any] = {
    "evaluation_run_id": None,
    "prediction_id": None,
    "scorer": None,
    "created_at_from": None,
    "created_at_to": None,
    "created_after": None,
    "created_before": None,
    "group_by": ["scorer", "leaf"],
}


def add(store: Store, values: Sequence[Any], project: str = "demo", **fields: Any) -> None:
    bodies = [
        {
            "prediction_id": f"p-{number}",
            "scorer": "s",
            "value": value,
            "evaluation_run_id": None,
            "idempotency_key": None,
            **fields,
        }
        for number, value in enumerate(values)
    ]
    create_scores(store, "acme", project, "me", bodies)


def groups(store: Store, **wanted: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = summarize(store, "acme", "demo", {**WANTED, **wanted})["groups"]
    return found


def test_a_null_is_counted_apart_and_never_averaged(store: Store) -> None:
    add(store, [0.5, None, 1.0, None])
    (group,) = groups(store)
    assert (group["scorer"], group["leaf"]) == ("s", "")
    assert (group["attempted"], group["scored"], group["nulls"]) == (4, 2, 2)
    assert group["missing"] == 0
    assert group["coverage"] == 0.5
    assert group["number"]["n"] == 2
    assert group["number"]["mean"] == 0.75


def test_dicts_and_lists_are_summarised_leaf_by_leaf(store: Store) -> None:
    add(store, [{"accuracy": {"f1": 0.5}, "tags": ["a", "b"]}, {"accuracy": {"f1": 1}, "tags": []}])
    found = {group["leaf"]: group for group in groups(store)}
    assert list(found) == ["accuracy.f1", "tags[0]", "tags[1]"]
    assert found["accuracy.f1"]["number"]["mean"] == 0.75
    assert found["tags[0]"]["text"]["most_frequent"] == [{"text": "a", "count": 1, "share": 1.0}]
    assert (found["tags[0]"]["scored"], found["tags[0]"]["missing"]) == (1, 1)


def test_the_bare_scalar_and_the_empty_key_stand_apart(store: Store) -> None:
    add(store, [1, {"": 100}, [5], {"0": 7}])
    found = {group["leaf"]: group["number"]["mean"] for group in groups(store)}
    assert found == {"": 1, r"\e": 100, "[0]": 5, "0": 7}


def test_true_is_not_one_and_mixed_kinds_stand_apart(store: Store) -> None:
    add(store, [True, 1, "1", False, 0.5, True])
    (group,) = groups(store)
    assert group["scored"] == 6
    assert group["boolean"]["n"] == 3
    assert group["boolean"]["rate"] == pytest.approx(2 / 3)
    assert group["boolean"]["interval"]["method"] == "wilson"
    assert (group["number"]["n"], group["number"]["mean"]) == (2, 0.75)
    assert (group["text"]["n"], group["text"]["distinct"]) == (1, 1)


def test_a_judgement_that_failed_whole_lacks_at_each_of_its_leaves(store: Store) -> None:
    add(store, [{"a": {"b": 1.0}}, None, {"a": None}, {"error": "no answer"}, {"a": {"b": 0.0}}])
    found = {group["leaf"]: group for group in groups(store)}
    # Nothing but null was ever seen at "" and "a": they are no groups of their own.
    assert list(found) == ["a.b", "error"]
    b = found["a.b"]
    assert (b["attempted"], b["scored"], b["nulls"], b["missing"]) == (5, 2, 2, 1)
    assert b["coverage"] == 0.4
    assert b["number"]["mean"] == 0.5


def test_scores_of_nothing_but_null_or_empty_are_counted(store: Store) -> None:
    add(store, [None, {}, []])
    (group,) = groups(store)
    assert (group["leaf"], group["attempted"], group["scored"]) == ("", 3, 0)
    assert (group["nulls"], group["missing"], group["coverage"]) == (1, 2, 0.0)
    assert not {"number", "boolean", "text"} & group.keys()


def test_a_key_with_a_dot_is_not_a_path(store: Store) -> None:
    add(store, [{"a.b": 1, "a": {"b": 2}}, {"a": None}])
    found = {group["leaf"]: group for group in groups(store)}
    assert found["a.b"]["number"]["mean"] == 2.0
    assert found["a.b"]["nulls"] == 1
    assert found["a\\.b"]["number"]["mean"] == 1.0
    assert found["a\\.b"]["nulls"] == 0


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", set()),
        ("a", {""}),
        ("a.b.c", {"", "a", "a.b"}),
        (r"a\.b.c", {"", r"a\.b"}),
        (r"a\\.b", {"", r"a\\"}),
    ],
)
def test_what_a_leaf_stands_in(path: str, expected: set[str]) -> None:
    assert ancestors(path) == expected


def test_groups_by_scorer_run_and_leaf_in_order(store: Store) -> None:
    add(store, [1, 2], scorer="z", evaluation_run_id="run-1")
    add(store, [3], scorer="a", evaluation_run_id="run-2")
    add(store, [4], scorer="a")
    found = groups(store, group_by=["evaluation_run_id", "scorer", "leaf"])
    assert [(each["evaluation_run_id"], each["scorer"], each["attempted"]) for each in found] == [
        (None, "a", 1),
        ("run-1", "z", 2),
        ("run-2", "a", 1),
    ]


def test_without_leaf_all_values_of_a_score_stand_together(store: Store) -> None:
    add(store, [{"a": 1, "b": 0}, {"a": None, "b": 0.5}, {"a": None}, {}, None, 2])
    (group,) = groups(store, group_by=["scorer"])
    assert "leaf" not in group
    assert (group["attempted"], group["scored"], group["nulls"], group["missing"]) == (6, 3, 2, 1)
    assert group["number"]["n"] == 4


def test_groups_by_the_hour_and_day_that_scores_were_created(store: Store) -> None:
    moments = {
        "2026-03-01T09:59:59.999": 1.0,
        "2026-03-01T10:00:00.000": 2.0,
        "2026-03-02T00:00:00.000": 3.0,
    }
    for text, value in moments.items():
        moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
        milliseconds = f"{round(moment.timestamp() * 1000):012x}"
        score_id = f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-000000000000"
        store.add_score(
            replace(
                a_score(),
                score_id=score_id,
                entity="acme",
                project="demo",
                created_at=moment,
                leaves=leaves(value),
            )
        )
    assert [each["day"] for each in groups(store, group_by=["day"])] == ["2026-03-01", "2026-03-02"]
    assert [
        (each["hour"], each["number"]["mean"]) for each in groups(store, group_by=["hour", "leaf"])
    ] == [
        ("2026-03-01T09:00Z", 1.0),
        ("2026-03-01T10:00Z", 2.0),
        ("2026-03-02T00:00Z", 3.0),
    ]


def test_only_what_passes_the_filters_is_summarised(store: Store) -> None:
    add(store, [1], scorer="a", evaluation_run_id="run-1")
    add(store, [2], scorer="a", evaluation_run_id="run-2")
    add(store, [3], scorer="b", evaluation_run_id="run-2")
    add(store, [4], project="other")
    assert [each["number"]["mean"] for each in groups(store, scorer="a")] == [1.5]
    assert [each["attempted"] for each in groups(store, evaluation_run_id="run-2")] == [1, 1]
    assert groups(store, prediction_id="nothing") == []


def test_more_scores_than_a_page_are_all_summarised(store: Store) -> None:
    add(store, [number / 1000 for number in range(1_101)])
    (group,) = groups(store)
    assert group["number"]["n"] == 1_101
    assert group["number"]["p50"] == pytest.approx(0.55)


def test_too_many_groups_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "MOST_GROUPS", 2)
    for scorer in "abc":
        add(store, [1], scorer=scorer)
    with pytest.raises(InvalidParameter, match="over 2 groups"):
        groups(store)


@pytest.mark.parametrize("group_by", [["scorer", "leaf"], ["leaf"]])
def test_too_many_leaves_are_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch, group_by: list[str]
) -> None:
    monkeypatch.setattr(summaries, "MOST_LEAVES", 3)
    add(store, [{"a": {"b": 1}}, {"a": None}, None, {"c": 1}, {"d": 1}])
    assert [group["leaf"] for group in groups(store, group_by=group_by)] == ["a.b", "c", "d"]
    add(store, [{"e": 1}])
    with pytest.raises(InvalidParameter, match="over 3 leaves"):
        groups(store, group_by=group_by)


@pytest.mark.parametrize("group_by", [["prediction_id"], ["prediction_id", "leaf"]])
def test_what_is_held_is_not_looked_at_too_often(
    store: Store, monkeypatch: pytest.MonkeyPatch, group_by: list[str]
) -> None:
    looks: list[None] = []
    monkeypatch.setattr(summaries, "shrink", lambda _: looks.append(None))
    add(store, list(range(1_300)))
    assert len(groups(store, group_by=group_by)) == 1_300
    assert len(looks) == 1


def test_what_is_held_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf_summaries, "MOST_NUMBERS", 100)
    monkeypatch.setattr(leaf_summaries, "MOST_TEXTS", 50)
    monkeypatch.setattr(summaries, "CHECKED", 100)
    add(store, [{"score": number / 600, "why": f"because {number}"} for number in range(600)])
    score, why = groups(store)
    assert score["number"]["n"] == why["text"]["n"] == 600
    assert score["number"]["mean"] == pytest.approx(599 / 1200)
    assert 0 < score["number"]["quantiles"]["rank_error"] < 0.2
    assert score["number"]["p50"] == pytest.approx(0.5, abs=0.25)
    assert why["text"]["distinct"] == 600


def test_a_leaf_that_is_none_is_damage() -> None:
    with pytest.raises(StoreDamaged):
        Group().add([{"path": "", "kind": "nuMber", "number": 1.0}])


@settings(max_examples=60)
@given(st.lists(any_json, max_size=8))
def test_any_values_are_counted_as_a_naive_way_counts_them(values: list[Any]) -> None:
    group = Group()
    for value in values:
        group.add(leaves(value))
    assert group.attempted == len(values)
    for path in group.paths():
        figures = group.figures(path)
        at = [leaf for value in values for leaf in leaves(value) if leaf["path"] == path]
        assert figures["scored"] == min(sum(leaf["kind"] != "null" for leaf in at), len(values))
        assert figures["missing"] >= 0
        counted = sum(
            figures[kind]["n"] for kind in ("number", "boolean", "text") if kind in figures
        )
        assert counted >= figures["scored"]
