"""Trends: the runs, their figures, and what is shown of the newest."""

from __future__ import annotations

import random
from typing import Any

import pytest
from marshmallow import ValidationError

from app.analysis import trends
from app.analysis.comparisons import compare_runs
from app.analysis.trends import trend_of
from app.errors import InvalidParameter
from app.schemas.comparisons import CompareQuery
from app.schemas.trends import TrendQuery
from app.services.metrics import declare_metrics
from app.services.runs import change_run
from app.stores.base import Store
from tests.analysis.test_comparisons import add, numbered
from tests.analysis.test_usage import predict
from tests.services.test_metrics import OLGA, a_body
from tests.stores.test_documents import a_prediction


@pytest.fixture
def store(embedded_store: Store) -> Store:
    """Return an empty embedded store: what is tested here is the same on every engine."""
    return embedded_store


def shown(store: Store, **given: Any) -> dict[str, Any]:
    wanted = TrendQuery().load({"scorer": "s", **given})
    return trend_of(store, "acme", "demo", wanted)


def add_passes(store: Store, **passes: int) -> None:
    for run, number in passes.items():
        add(store, run, numbered([place < number for place in range(40)]))


def declare(store: Store, **fields: Any) -> None:
    declare_metrics(store, "acme", "demo", [a_body(scorer="s", **fields)], OLGA)


def test_runs_are_shown_oldest_first_with_their_means_and_intervals(store: Store) -> None:
    add_passes(store, A=10, B=20, C=30)
    trend = shown(store)
    assert [(each["run"], each["mean"]) for each in trend["runs"]] == [
        ("A", 0.25),
        ("B", 0.5),
        ("C", 0.75),
    ]
    assert {each["attempted"] for each in trend["runs"]} == {40}
    assert {each["interval"]["method"] for each in trend["runs"]} == {"wilson"}
    times = [each["started_at"] for each in trend["runs"]]
    assert times == sorted(times)
    assert (trend["kind"], trend["is_rate"], trend["direction"]) == ("boolean", True, None)


def test_the_newest_run_is_compared_with_the_one_before_and_with_the_first(store: Store) -> None:
    declare(store, direction="higher")
    add_passes(store, A=10, B=30, C=30)
    trend = shown(store)
    assert trend["reason"] == (
        "By s, C is not shown to differ from B, the run before, "
        "and is better than A, the first of these 3 runs."
    )
    assert [(each["baseline"], each["verdict"]) for each in trend["comparisons"]] == [
        ("B", "no difference shown"),
        ("A", "better"),
    ]
    wanted = CompareQuery().load({"baseline": "A", "candidate": ["C"]})
    (compared,) = compare_runs(store, "acme", "demo", wanted)["comparisons"]
    assert trend["comparisons"][1]["p_value"] == compared["difference"]["p_value"]
    assert trend["comparisons"][1]["interval"] == compared["difference"]["interval"]


def test_the_comparisons_are_one_family(store: Store) -> None:
    chance = random.Random(5)
    for run in "ABC":
        add(store, run, numbered([chance.random() for _ in range(20)]))
    comparisons = shown(store)["comparisons"]
    assert {each["family"] for each in comparisons} == {2}
    least = min(each["p_value"] for each in comparisons)
    assert min(each["p_adjusted"] for each in comparisons) == pytest.approx(2 * least)


def test_one_run_and_none_are_said_in_the_sentence(store: Store) -> None:
    add_passes(store, A=10)
    trend = shown(store)
    assert trend["reason"] == ("By s, there is only one run, A, and nothing to compare it with.")
    trend = shown(store, name="other")
    assert (trend["runs"], trend["comparisons"], trend["kind"]) == ([], [], None)
    assert trend["reason"] == "No run that passes the filters has scores by s."


def test_two_runs_are_compared_once(store: Store) -> None:
    add_passes(store, A=10, B=30)
    trend = shown(store)
    assert trend["reason"] == "By s, B is higher than A, the run before."
    assert trend["comparisons"][0]["family"] == 1


def test_a_limit_takes_the_newest_and_other_runs_are_counted(store: Store) -> None:
    add_passes(store, A=10, B=20, C=30)
    add(store, "other", {"p": 1.0}, scorer="another")
    trend = shown(store, limit="2")
    assert [each["run"] for each in trend["runs"]] == ["B", "C"]
    assert trend["without_scores"] == 1


def test_runs_are_filtered_and_archived_ones_left_out(store: Store) -> None:
    add_passes(store, A=10, B=20, C=30, D=40)
    for run, changes in (
        ("A", {"attributes": {"branch": "main", "by": "ci"}}),
        ("B", {"attributes": {"branch": "main"}}),
        ("C", {"attributes": {"branch": "main", "by": "ci"}, "name": "nightly"}),
        ("D", {"attributes": {"branch": "main", "by": "ci"}, "archived": True}),
    ):
        change_run(store, "acme", "demo", run, changes, OLGA)
    trend = shown(store, attribute=["branch=main", "by=ci"])
    assert [(each["run"], each["name"]) for each in trend["runs"]] == [
        ("A", None),
        ("C", "nightly"),
    ]
    assert [each["run"] for each in shown(store, name="NIGHT")["runs"]] == ["C"]
    assert shown(store, evaluation="e")["runs"] == []


def test_trials_of_an_example_are_a_cluster(store: Store) -> None:
    store.add_documents(
        [
            a_prediction(id=f"p{place}", evaluation_run_id="A", example_key=f"e{place % 4}")
            for place in range(8)
        ]
    )
    add(store, "A", numbered([1.0, 2.0, 3.0, 5.0, 1.0, 2.5, 3.0, 5.0]))
    (run,) = shown(store)["runs"]
    assert run["interval"]["method"] == "clustered_t"


def test_usage_has_a_trend_like_a_scorer(store: Store) -> None:
    predict(store, "A", 1.0, 100)
    predict(store, "B", 1.5, 100)
    wanted = {"scorer": "scoreline.usage", "leaf": "latency_seconds"}
    trend = shown(store, **wanted)
    assert [each["mean"] for each in trend["runs"]] == pytest.approx([1.095, 1.595])
    assert trend["comparisons"][0]["verdict"] == "higher"


def test_a_run_without_a_value_keeps_its_place_without_a_mean(store: Store) -> None:
    add_passes(store, A=10)
    add(store, "B", numbered([None] * 40))
    add_passes(store, C=12)
    middle = shown(store)["runs"][1]
    assert (middle["run"], middle["attempted"], middle["coverage"]) == ("B", 40, 0)
    assert (middle["mean"], middle["interval"]) == (None, None)


def test_a_leaf_without_values_is_said_with_those_that_have_some(store: Store) -> None:
    for run in ("A", "B"):
        add(store, run, {"p1": {"points": 1}, "p2": None})
    trend = shown(store)
    assert trend["reason"] == "None of these runs has a value of s; there is 'points'."
    assert ([each["mean"] for each in trend["runs"]], trend["comparisons"]) == ([None, None], [])


def test_texts_need_a_declared_truth(store: Store) -> None:
    for run in "AB":
        add(store, run, numbered(["yes", "no"] * 10))
    with pytest.raises(InvalidParameter, match="declare which of them are true"):
        shown(store)
    declare(store, true_when=["yes"])
    trend = shown(store)
    assert [each["mean"] for each in trend["runs"]] == [0.5, 0.5]
    assert trend["is_rate"] is True


@pytest.mark.parametrize(
    ("given", "field", "why"),
    [
        ({"scorer": "S"}, "scorer", "no score is by the scorer 'S'; there is 's'"),
        ({"leaf": "f"}, "leaf", "none of the scores has the leaf 'f'; there is 'f1'"),
    ],
)
def test_a_scorer_or_leaf_that_is_not_there_is_refused(
    store: Store, given: dict[str, str], field: str, why: str
) -> None:
    add(store, "A", {"p": {"f1": 1.0}})
    with pytest.raises(InvalidParameter, match=why) as refused:
        shown(store, **given)
    assert refused.value.name == field


def test_a_trend_reads_a_bounded_number_of_scores_and_of_runs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_passes(store, A=10, B=20)
    monkeypatch.setattr(trends, "MAX_SCORES", 79)
    with pytest.raises(InvalidParameter, match="over 79 scores"):
        shown(store)
    assert len(shown(store, limit="1")["runs"]) == 1
    add(store, "C", {"p": 1.0}, scorer="another")
    monkeypatch.setattr(trends, "MAX_EMPTY", 0)
    with pytest.raises(InvalidParameter, match="over 0 runs have no scores by this scorer"):
        shown(store, limit="1")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "scorer"),
        ({"scorer": "s", "limit": "201"}, "limit"),
        ({"scorer": "s", "run": "A"}, "run"),
        ({"scorer": "s", "status": "done"}, "status"),
    ],
)
def test_a_trend_takes_these_parameters_only(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TrendQuery().load(given)
    assert list(refused.value.messages_dict) == [field]
