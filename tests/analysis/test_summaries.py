"""Summaries of scores, on every engine: counts, figures, grouping and limits."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.analysis import summaries
from app.analysis.summaries import ScoreGroup, ancestors, summarize
from app.errors import InvalidParameter, StoreDamaged
from app.leaves import leaves
from app.services.metrics import declare_metrics
from app.services.scores import create_scores
from app.stores.base import Store
from app.stores.sqlite.store import SqliteStore
from tests.services.test_metrics import OLGA, a_body
from tests.stores.test_contract import a_score
from tests.test_jsontext import any_json

WANTED: dict[str, Any] = {
    "evaluation_run_id": None,
    "prediction_id": None,
    "scorer": None,
    "scorer_name": None,
    "repeats": "current",
    "created_at_from": None,
    "created_at_to": None,
    "created_after": None,
    "created_before": None,
    "group_by": ["scorer", "leaf"],
    "histograms": False,
    "cluster": "example",
    "run": None,
}


_predictions = iter(range(10**9))


def add(store: Store, values: Sequence[Any], project: str = "demo", **fields: Any) -> None:
    bodies = [
        {
            "prediction_id": f"p-{next(_predictions)}",
            "scorer": "s",
            "value": value,
            "evaluation_run_id": None,
            "idempotency_key": None,
            **fields,
        }
        for value in values
    ]
    create_scores(store, "acme", project, "me", bodies)


def groups(store: Store, **wanted: Any) -> list[dict[str, Any]]:
    answer = summarize(store, "acme", "demo", {**WANTED, **wanted})
    rows: list[dict[str, Any]] = answer["groups"]
    return rows


def test_a_null_is_counted_separately_and_never_averaged(store: Store) -> None:
    add(store, [0.5, None, 1.0, None])
    (group,) = groups(store)
    assert (group["scorer"], group["leaf"]) == ("s", "")
    assert (group["attempted"], group["scored"], group["nulls"]) == (4, 2, 2)
    assert group["missing"] == 0
    assert group["coverage"] == 0.5
    assert group["number"]["n"] == 2
    assert group["number"]["mean"] == 0.75


def test_a_histogram_is_only_returned_when_asked_for(store: Store) -> None:
    add(store, [0.5, 1.5])
    (group,) = groups(store)
    assert "histogram" not in group["number"]
    (group,) = groups(store, histograms=True)
    assert sum(group["number"]["histogram"]["counts"]) == 2


def test_dicts_and_lists_are_summarised_leaf_by_leaf(store: Store) -> None:
    add(store, [{"accuracy": {"f1": 0.5}, "tags": ["a", "b"]}, {"accuracy": {"f1": 1}, "tags": []}])
    by_leaf = {group["leaf"]: group for group in groups(store)}
    assert list(by_leaf) == ["accuracy.f1", "tags[0]", "tags[1]"]
    assert by_leaf["accuracy.f1"]["number"]["mean"] == 0.75
    assert by_leaf["tags[0]"]["text"]["most_frequent"] == [{"text": "a", "count": 1, "share": 1.0}]
    assert (by_leaf["tags[0]"]["scored"], by_leaf["tags[0]"]["missing"]) == (1, 1)


def test_a_bare_scalar_and_an_empty_key_are_separate_leaves(store: Store) -> None:
    add(store, [1, {"": 100}, [5], {"0": 7}])
    by_leaf = {group["leaf"]: group["number"]["mean"] for group in groups(store)}
    assert by_leaf == {"": 1, r"\e": 100, "[0]": 5, "0": 7}


def test_true_is_not_one_and_mixed_kinds_are_separate(store: Store) -> None:
    add(store, [True, 1, "1", False, 0.5, True])
    (group,) = groups(store)
    assert group["scored"] == 6
    assert group["boolean"]["n"] == 3
    assert group["boolean"]["rate"] == pytest.approx(2 / 3)
    assert group["boolean"]["interval"]["method"] == "wilson"
    assert (group["number"]["n"], group["number"]["mean"]) == (2, 0.75)
    assert (group["text"]["n"], group["text"]["distinct"]) == (1, 1)


def test_a_null_value_counts_as_null_at_every_leaf(store: Store) -> None:
    add(store, [{"a": {"b": 1.0}}, None, {"a": None}, {"error": "no answer"}, {"a": {"b": 0.0}}])
    by_leaf = {group["leaf"]: group for group in groups(store)}
    # There are only nulls at "" and "a", so these are no groups of their own.
    assert list(by_leaf) == ["a.b", "error"]
    b = by_leaf["a.b"]
    assert (b["attempted"], b["scored"], b["nulls"], b["missing"]) == (5, 2, 2, 1)
    assert b["coverage"] == 0.4
    assert b["number"]["mean"] == 0.5


def test_scores_with_only_null_or_empty_values_are_counted(store: Store) -> None:
    add(store, [None, {}, []])
    (group,) = groups(store)
    assert (group["leaf"], group["attempted"], group["scored"]) == ("", 3, 0)
    assert (group["nulls"], group["missing"], group["coverage"]) == (1, 2, 0.0)
    assert not {"number", "boolean", "text"} & group.keys()


def test_a_key_with_a_dot_is_not_a_path(store: Store) -> None:
    add(store, [{"a.b": 1, "a": {"b": 2}}, {"a": None}])
    by_leaf = {group["leaf"]: group for group in groups(store)}
    assert by_leaf["a.b"]["number"]["mean"] == 2.0
    assert by_leaf["a.b"]["nulls"] == 1
    assert by_leaf["a\\.b"]["number"]["mean"] == 1.0
    assert by_leaf["a\\.b"]["nulls"] == 0


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
def test_the_ancestors_of_a_leaf(path: str, expected: set[str]) -> None:
    assert ancestors(path) == expected


def test_groups_by_scorer_run_and_leaf_in_order(store: Store) -> None:
    add(store, [1, 2], scorer="z", evaluation_run_id="run-1")
    add(store, [3], scorer="a", evaluation_run_id="run-2")
    add(store, [4], scorer="a")
    rows = groups(store, group_by=["evaluation_run_id", "scorer", "leaf"])
    assert [(each["evaluation_run_id"], each["scorer"], each["attempted"]) for each in rows] == [
        (None, "a", 1),
        ("run-1", "z", 2),
        ("run-2", "a", 1),
    ]


def test_without_leaf_the_values_of_a_score_count_together(store: Store) -> None:
    add(store, [{"a": 1, "b": 0}, {"a": None, "b": 0.5}, {"a": None}, {}, None, 2])
    (group,) = groups(store, group_by=["scorer"])
    assert "leaf" not in group
    assert (group["attempted"], group["scored"], group["nulls"], group["missing"]) == (6, 3, 2, 1)
    assert group["number"]["n"] == 4


def test_groups_by_the_hour_and_day_of_creation(store: Store) -> None:
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
                a_score(prediction_id=text),
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


def test_only_scores_that_pass_the_filters_are_summarised(store: Store) -> None:
    add(store, [1], scorer="a", evaluation_run_id="run-1")
    add(store, [2], scorer="a", evaluation_run_id="run-2")
    add(store, [3], scorer="b", evaluation_run_id="run-2")
    add(store, [4], project="other")
    assert [each["number"]["mean"] for each in groups(store, scorer="a")] == [1.5]
    assert [each["attempted"] for each in groups(store, evaluation_run_id="run-2")] == [1, 1]
    assert groups(store, prediction_id="nothing") == []


@pytest.mark.parametrize("parameter", ["scorer", "scorer_name"])
def test_a_scorer_that_is_not_there_is_refused(store: Store, parameter: str) -> None:
    assert groups(store, **{parameter: "S"}) == []
    add(store, [1], scorer="Judge")
    with pytest.raises(InvalidParameter, match="'Judg'; there is 'Judge'"):
        groups(store, **{parameter: "Judg"})
    assert groups(store, **{parameter: "Judge"}, evaluation_run_id="another") == []


def test_more_scores_than_one_page_are_summarised(store: Store) -> None:
    add(store, [number / 1000 for number in range(1_101)])
    (group,) = groups(store)
    assert group["number"]["n"] == 1_101
    assert group["number"]["p50"] == pytest.approx(0.55)


def test_too_many_groups_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "MAX_GROUPS", 2)
    for scorer in "abc":
        add(store, [1], scorer=scorer)
    with pytest.raises(InvalidParameter, match="over 2 groups"):
        groups(store)


@pytest.mark.parametrize("group_by", [["scorer", "leaf"], ["leaf"]])
def test_too_many_leaves_are_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch, group_by: list[str]
) -> None:
    monkeypatch.setattr(summaries, "MAX_GROUP_LEAVES", 3)
    add(store, [{"a": {"b": 1}}, {"a": None}, None, {"c": 1}, {"d": 1}])
    assert [group["leaf"] for group in groups(store, group_by=group_by)] == ["a.b", "c", "d"]
    add(store, [{"e": 1}])
    with pytest.raises(InvalidParameter, match="over 3 leaves"):
        groups(store, group_by=group_by)


@pytest.mark.parametrize("group_by", [["prediction_id"], ["prediction_id", "leaf"]])
def test_the_limits_are_not_checked_too_often(
    store: Store, monkeypatch: pytest.MonkeyPatch, group_by: list[str]
) -> None:
    checks: list[None] = []
    monkeypatch.setattr(summaries, "shrink", lambda _: checks.append(None))
    add(store, list(range(1_300)))
    assert len(groups(store, group_by=group_by)) == 1_300
    assert len(checks) == 1


def test_memory_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "MAX_NUMBERS", 100)
    monkeypatch.setattr(summaries, "MAX_TEXTS", 50)
    monkeypatch.setattr(summaries, "CHECK_EVERY", 100)
    add(store, [{"score": number / 600, "why": f"because {number}"} for number in range(600)])
    score, why = groups(store)
    assert score["number"]["n"] == why["text"]["n"] == 600
    assert score["number"]["mean"] == pytest.approx(599 / 1200)
    assert 0 < score["number"]["quantiles"]["rank_error"] < 0.2
    assert score["number"]["p50"] == pytest.approx(0.5, abs=0.25)
    assert why["text"]["distinct"] == 600


def test_a_malformed_leaf_is_damage() -> None:
    with pytest.raises(StoreDamaged):
        ScoreGroup().add([{"path": "", "kind": "nuMber", "number": 1.0}])


@settings(max_examples=60)
@given(st.lists(any_json, max_size=8))
def test_counts_match_a_naive_computation(values: list[Any]) -> None:
    group = ScoreGroup()
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


def a_value(chance: random.Random, place: int) -> Any:
    """Return a value whose figures are easily wrong in the last digit, or of any shape."""
    far = [1.7e308, -1.7e308, 1e15 + place / 8, 2**53 + place, 10**400, -0.0, 5e-324]
    return chance.choice(
        [
            {"offset": 1e15 + chance.random(), "passed": chance.random() < 0.7, "why": f"{place}"},
            {"offset": None, "verdict": chance.choice("abc"), "passed": None},
            {"rating": chance.randrange(5), "far": chance.choice(far), "nested": [1, {"a": "é"}]},
            chance.gauss(0.5, 1e-9),
            chance.choice([True, "text", None, [], {}, far]),
        ]
    )


@pytest.mark.parametrize("are_repeated", [False, True])
def test_every_engine_gives_the_same_summary(
    monkeypatch: pytest.MonkeyPatch, store: Store, tmp_path: Path, are_repeated: bool
) -> None:
    monkeypatch.setattr("app.stores.mongo.leaves.PAGE", 60)
    chance = random.Random(1)
    scores = [
        a_score(
            prediction_id=f"p{place // (3 if are_repeated else 1)}",
            evaluation_run_id=chance.choice([None, "A", "B"]),
            scorer=f"weave:///acme/demo/object/Judge:v{place % 2}",
            scorer_name="Judge",
            leaves=leaves(a_value(chance, place)),
            created_at=datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=place * 17),
        )
        for place in range(240)
    ]
    with closing(SqliteStore(tmp_path / "embedded.db")) as embedded:
        for each in (store, embedded):
            each.prepare()
            each.add_missing(scores, partial=False)
        for fields in (["scorer", "leaf"], ["day", "evaluation_run_id", "leaf"], ["scorer_name"]):
            wanted = {**WANTED, "group_by": fields, "histograms": True}
            found = summarize(store, "acme", "demo", wanted)
            assert repr(found) == repr(summarize(embedded, "acme", "demo", wanted))
            assert found["groups"]


# Values that are declared to be true


def declare(store: Store, *metrics: dict[str, Any]) -> None:
    declare_metrics(store, "acme", "demo", [a_body(**metric) for metric in metrics], OLGA)


def test_texts_and_numbers_that_are_declared_to_be_true_have_a_rate(store: Store) -> None:
    declare(
        store,
        {"scorer": "Verdict", "true_when": ["pass"]},
        {"scorer": "Judge", "leaf": "points", "true_when": ">= 0.5"},
    )
    add(store, ["pass"] * 6 + ["fail", "prose", True, None], scorer="Verdict")
    points: list[Any] = [0.7, 0.2, 0.5, 10**400, "x"]
    add(store, [{"points": one} for one in points], scorer="Judge")
    add(store, ["pass"], scorer="another")
    # statsmodels 0.14.5: proportion_confint(6, 8, method="wilson")
    low, high = 0.40927543031016883, 0.9285207872478909
    for group_by in (["scorer", "leaf"], ["scorer_name", "leaf"]):
        judge, verdict, another = groups(store, group_by=group_by)
        assert {name: verdict["rate"][name] for name in ("n", "true", "false", "rate")} == {
            "n": 8,
            "true": 6,
            "false": 2,
            "rate": 0.75,
        }
        assert verdict["rate"]["interval"]["low"] == pytest.approx(low)
        assert verdict["rate"]["interval"]["high"] == pytest.approx(high)
        assert verdict["text"]["most_frequent"][0] == {"text": "pass", "count": 6, "share": 0.75}
        assert (judge["rate"]["n"], judge["rate"]["true"]) == (3, 2)
        assert judge["number"]["mean"] == pytest.approx(1.4 / 3)
        assert "rate" not in another
    (only,) = groups(store, group_by=["leaf"], scorer="Verdict")
    assert only["rate"]["true"] == 6
    assert all("rate" not in row for row in groups(store, group_by=["leaf"]))


def test_the_rate_of_declared_texts_is_one_of_clusters(store: Store) -> None:
    declare(store, {"scorer": "Verdict", "true_when": ["pass"]})
    for annotator, pattern in (("a", "pass"), ("b", "fail")):
        for place in range(12):
            text = "pass" if place < 6 else pattern
            prediction = {"prediction_id": f"p{place}", "annotator": annotator}
            add(store, [text], scorer="Verdict", **prediction)
            add(store, [text == "pass"], scorer="Same", **prediction)
    same, verdict = groups(store)
    assert verdict["rate"] == same["boolean"]
    assert verdict["rate"]["clusters"] == 12
