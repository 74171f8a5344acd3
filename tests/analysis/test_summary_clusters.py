"""Trials of an example are not independent values of a summary, on every engine."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from app.analysis import summary_clusters
from app.analysis.statistics.clusters import mean_of_clusters
from app.analysis.summaries import summarize
from app.services.scores import create_scores
from app.stores.base import Store
from tests.analysis.test_summaries import WANTED, add, groups
from tests.stores.test_documents import a_prediction

TRIALS = 5
EXAMPLES = 12


def values_of(seed: int = 1) -> list[list[float]]:
    """Return the values of each trial of each example."""
    chance = random.Random(seed)
    centres = [chance.random() for _ in range(EXAMPLES)]
    return [[centre + chance.random() / 10 for _ in range(TRIALS)] for centre in centres]


def add_trials(store: Store, values: list[list[Any]], run: str = "run") -> None:
    for place, trials in enumerate(values):
        for trial, value in enumerate(trials):
            name = f"{run}-{place}-{trial}"
            store.add_documents(
                [a_prediction(id=name, evaluation_run_id=run, example_key=f"e{place}")]
            )
            add(store, [value], prediction_id=name, evaluation_run_id=run)


def expected(values: list[list[Any]]) -> Any:
    means, sizes = np.array([np.mean(each) for each in values]), [len(each) for each in values]
    return mean_of_clusters(means, np.array(sizes))


def ends(figures: dict[str, Any]) -> tuple[float, float]:
    return figures["low"], figures["high"]


def interval(figures: dict[str, Any]) -> Any:
    return pytest.approx(ends(figures), rel=1e-9)


def test_trials_of_an_example_are_one_cluster(store: Store) -> None:
    values = values_of()
    add_trials(store, values)
    (group,) = groups(store)
    number = group["number"]
    assert (number["n"], number["clusters"]) == (EXAMPLES * TRIALS, EXAMPLES)
    assert number["interval"]["method"] == "clustered_t"
    assert ends(number["interval"]) == interval(expected(values).interval())


def test_an_interval_covers_trials_that_repeat_themselves_no_better(store: Store) -> None:
    once = values_of()
    add_trials(store, [[each[0]] * TRIALS for each in once])
    add_trials(store, [[each[0]] for each in once], run="once")
    many, one = groups(store, group_by=["evaluation_run_id", "leaf"])[::-1]
    assert "clusters" not in one["number"]
    assert ends(many["number"]["interval"]) == interval(one["number"]["interval"])


def test_rates_of_trials_are_clustered(store: Store) -> None:
    values = [[value > 0.5 for value in each] for each in values_of()]
    add_trials(store, values)
    (group,) = groups(store)
    assert group["boolean"]["interval"]["method"] == "clustered_wilson"
    assert group["boolean"]["clusters"] == EXAMPLES
    assert ends(group["boolean"]["interval"]) == interval(expected(values).rate_interval())


def test_one_example_has_no_interval_and_a_note_says_why(store: Store) -> None:
    add_trials(store, [[0.5, 0.75]])
    (group,) = groups(store)
    assert group["number"]["interval"] is None
    assert group["number"]["note"] == ("all values are of one example, so the mean has no interval")


def test_annotators_of_a_prediction_are_one_cluster(store: Store) -> None:
    for place in range(6):
        for annotator in ("olga", "piet"):
            add(store, [place / 7], prediction_id=f"p{place}", annotator=annotator)
    (group,) = groups(store)
    assert (group["number"]["n"], group["number"]["clusters"]) == (12, 6)


def test_the_same_prediction_in_several_runs_is_one_cluster(store: Store) -> None:
    for run in ("A", "B"):
        for place in range(6):
            add(store, [place / 7], prediction_id=f"p{place}", evaluation_run_id=run)
    (group,) = groups(store)
    assert group["number"]["clusters"] == 6
    by_run = groups(store, group_by=["evaluation_run_id", "leaf"])
    assert ["clusters" in each["number"] for each in by_run] == [False, False]


def test_leaves_that_are_taken_together_are_clustered_by_prediction(store: Store) -> None:
    add(store, [{"a": place / 7, "b": place / 8} for place in range(6)])
    (group,) = groups(store, group_by=["scorer"])
    assert (group["number"]["n"], group["number"]["clusters"]) == (12, 6)


def test_clusters_are_those_that_are_asked_for(store: Store) -> None:
    values = values_of()
    add_trials(store, values)
    for cluster in ("prediction_id", "none"):
        answer = summarize(store, "acme", "demo", {**WANTED, "cluster": cluster})
        assert answer["cluster"] == cluster
        (group,) = answer["groups"]
        assert group["number"]["interval"]["method"] == "student_t"
        assert "clusters" not in group["number"]


def test_a_superseded_score_is_in_no_cluster(store: Store) -> None:
    values = values_of()
    add_trials(store, [[9.0, *each[1:]] for each in values])
    for place, trials in enumerate(values):
        add(store, trials[:1], prediction_id=f"run-{place}-0", evaluation_run_id="run")
    (group,) = groups(store)
    assert group["number"]["n"] == EXAMPLES * TRIALS
    assert ends(group["number"]["interval"]) == interval(expected(values).interval())


def test_too_many_values_have_no_interval_rather_than_a_wrong_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary_clusters, "MAX_VALUES", 10)
    add_trials(store, values_of())
    (group,) = groups(store)
    assert group["number"]["interval"] is None
    assert "cluster=none" in group["number"]["note"]
    assert math.isfinite(group["number"]["mean"])


def test_scores_of_different_predictions_are_read_only_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [
        {
            "prediction_id": f"p{place}",
            "scorer": f"s{place % 2}",
            "value": place / 7,
            "evaluation_run_id": "run",
            "idempotency_key": None,
        }
        for place in range(6)
    ]
    create_scores(store, "acme", "demo", "me", bodies)
    plain = groups(store)
    monkeypatch.setattr(store, "read_leaves", None)
    assert groups(store, evaluation_run_id="run") == plain
