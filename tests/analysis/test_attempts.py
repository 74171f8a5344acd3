"""Failed predictions without a score, on every engine: for which scorers and filters they count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.analysis import attempts
from app.errors import InvalidParameter
from app.stores.base import Store
from tests.analysis.test_comparisons import add, predict
from tests.analysis.test_summaries import groups

OLD, NEW = (f"weave:///acme/demo/object/exact:v{number}" for number in (0, 1))


@pytest.fixture
def run(store: Store) -> Store:
    """Return a store with a run of two scorers in which two of three predictions failed."""
    predict(store, "A", {"fine": "e"})
    predict(store, "A", {"failed": "f", "judged": "g"}, error="no answer")
    add(store, "A", {"fine": 0.5}, OLD)
    add(store, "A", {"fine": True}, "plain")
    add(store, "A", {"judged": 0.25}, NEW)
    return store


def attempted(store: Store, *group_by: str, **filters: Any) -> dict[Any, int]:
    found = groups(store, group_by=[*group_by, "leaf"], **filters)
    return {tuple(group[name] for name in group_by): group["attempted"] for group in found}


def test_a_failed_prediction_counts_for_each_scorer_without_a_score_of_it(run: Store) -> None:
    assert attempted(run, "scorer_name") == {("exact",): 3, ("plain",): 3}
    assert attempted(run, "evaluation_run_id", "scorer_name") == {
        ("A", "exact"): 3,
        ("A", "plain"): 3,
    }
    assert attempted(run, "evaluation_run_id") == {("A",): 6}
    (group,) = groups(run, group_by=["scorer_name"], scorer="plain")
    assert (group["scored"], group["missing"], group["coverage"]) == (1, 2, pytest.approx(1 / 3))


def test_it_counts_with_the_newest_reference_of_the_scorer(run: Store) -> None:
    assert attempted(run, "scorer") == {(OLD,): 1, (NEW,): 2, ("plain",): 3}
    assert attempted(run, "scorer", scorer=OLD) == {(OLD,): 1}
    assert attempted(run, "scorer", scorer=NEW) == {(NEW,): 2}


def test_filters_apply_to_failed_predictions(run: Store) -> None:
    assert attempted(run, "scorer_name", prediction_id="failed") == {("exact",): 1, ("plain",): 1}
    assert attempted(run, "scorer_name", prediction_id="judged") == {("exact",): 1, ("plain",): 1}
    assert attempted(run, "scorer_name", evaluation_run_id="B") == {}
    later = datetime.now(UTC) + timedelta(days=1)
    assert attempted(run, "scorer_name", created_after=later) == {}
    (day,) = attempted(run, "day", created_before=later)
    assert attempted(run, "day") == {day: 6}
    assert sum(attempted(run, "hour").values()) == 6


def test_failed_predictions_of_other_runs_or_none_do_not_count(run: Store) -> None:
    predict(run, "B", {"elsewhere": "e"}, error="no answer")
    predict(run, "", {"of no run": "e"}, error="no answer")
    add(run, "", {"fine": 0.5})
    assert attempted(run, "evaluation_run_id") == {("A",): 6, ("",): 1}


def test_runs_with_failures_are_limited(run: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MAX_RUNS", 1)
    assert attempted(run, "evaluation_run_id") == {("A",): 6}
    predict(run, "B", {"elsewhere": "e"}, error="no answer")
    with pytest.raises(InvalidParameter, match="name a run"):
        attempted(run, "evaluation_run_id")
    assert attempted(run, "evaluation_run_id", evaluation_run_id="A") == {("A",): 6}
