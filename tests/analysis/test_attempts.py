"""Failed predictions without a score, on every engine: for which scorers and filters they count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import jsontext
from app.analysis import attempts
from app.analysis.gates import gate_leaf
from app.errors import InvalidParameter, NotFound
from app.schemas.gates import GateQuery
from app.stores.base import Store
from app.stores.weave import ObjectVersion
from tests.analysis.test_comparisons import add, answered, predict
from tests.analysis.test_summaries import groups
from tests.stores.test_documents import a_run

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


def evaluate(store: Store, run: str, value: Any, project: str = "demo") -> None:
    """Add a run of an evaluation, and the evaluation's object to a project."""
    evaluation = ObjectVersion(
        entity="acme",
        project=project,
        id=f"my eval:{run}",
        body_hash="",
        object_id="my eval",
        digest=run,
        kind="object",
        published_at=datetime.now(UTC),
        value_json=jsontext.write(value),
    )
    store.add_documents([evaluation])
    ref = f"weave:///acme/{project}/object/my%20eval:{run}"
    store.add_documents([a_run(id=run, evaluation=ref)])


def test_the_scorers_that_an_evaluation_names_attempted_what_all_failed(store: Store) -> None:
    op = "weave:///acme/demo/op/plain:v0"
    evaluate(store, "A", {"scorers": [OLD, op]})
    predict(store, "A", {"A1": "e", "A2": "f"}, error="no answer")
    assert attempted(store, "scorer") == {(OLD,): 2, (op,): 2}
    (row,) = groups(store, group_by=["leaf"], scorer_name="exact")
    assert (row["attempted"], row["scored"], row["coverage"]) == (2, 0, 0.0)

    gate = GateQuery().load({"run": "A", "scorer": "exact", "min_coverage": "0.5"})
    answer = gate_leaf(store, "acme", "demo", gate)
    assert not answer["passed"]
    assert answer["summaries"]["run"]["attempted"] == 2

    add(store, "B", {"B1": 0.5}, NEW)
    (compared,) = answered(store, baseline="B", candidate=["A"])["comparisons"]
    figures = compared["summaries"]["candidate"]
    assert (compared["scorer"], figures["attempted"], figures["scored"]) == ("exact", 2, 0)
    with pytest.raises(NotFound):
        answered(store, baseline="B", candidate=["C"])

    add(store, "A", {"A1": 1.0}, NEW)  # Another version of a scorer that the evaluation names.
    assert attempted(store, "scorer", evaluation_run_id="A") == {(NEW,): 2, (op,): 2}


def test_an_evaluation_may_name_no_scorers(store: Store) -> None:
    values: tuple[Any, ...] = (
        None,
        [],
        {},
        {"scorers": None},
        {"scorers": "exact"},
        {"scorers": [None, {}]},
    )
    for number, value in enumerate(values):
        evaluate(store, f"{number}", value)
        predict(store, f"{number}", {f"p{number}": "e"}, error="no answer")
    assert attempted(store, "scorer") == {}


def test_only_an_evaluation_of_the_same_project_names_scorers(store: Store) -> None:
    evaluate(store, "A", {"scorers": [OLD]}, project="other")
    store.add_documents([a_run(id="B", evaluation="weave:///acme/demo/object/gone:v0")])
    for run in ("A", "B", "only named"):
        predict(store, run, {f"{run} 1": "e"}, error="no answer")
    assert attempted(store, "scorer") == {}
