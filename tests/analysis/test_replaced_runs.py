"""What is read of a run while it is finished, deleted or replaced is never taken for the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.analysis.agreements import agreement_of
from app.analysis.comparisons import compare_runs
from app.analysis.gates import gate_leaf
from app.analysis.rankings import rank_runs
from app.analysis.summaries import summarize
from app.analysis.trends import trend_of
from app.errors import RunReplaced
from app.schemas.agreement import AgreementQuery
from app.schemas.comparisons import CompareQuery
from app.schemas.gates import GateQuery
from app.schemas.summaries import SummaryQuery
from app.schemas.trends import TrendQuery
from app.services.deletions import delete_runs
from app.services.keys import COMMAND_LINE
from app.stores.base import ScoreQuery, Store
from app.stores.model import EvaluationRun
from tests.analysis.test_comparisons import add, numbered
from tests.stores.test_documents import a_run

PLACE = ("acme", "demo")

ANALYSES: dict[str, tuple[Callable[..., Any], Any, dict[str, Any]]] = {
    "summary": (summarize, SummaryQuery, {"run": "B"}),
    "compare": (compare_runs, CompareQuery, {"baseline": "A", "candidate": ["B"]}),
    "ranking": (rank_runs, CompareQuery, {"run": ["A", "B"]}),
    "trend": (trend_of, TrendQuery, {"scorer": "s"}),
    "agreement": (agreement_of, AgreementQuery, {"first": "s", "second": "t", "run": ["B"]}),
    "gate": (gate_leaf, GateQuery, {"run": "B", "scorer": "s", "min": 0.5}),
    "gate of a baseline": (
        gate_leaf,
        GateQuery,
        {"run": "A", "baseline": "B", "scorer": "s", "max_drop": 0.5},
    ),
}


def add_run(store: Store, run: str, n: int, **fields: Any) -> None:
    store.add_documents([a_run(id=run, **fields)])
    add(store, run, numbered([1.0] * n))
    add(store, run, numbered([1.0] * n), "t")


def once_read(store: Store, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Call `act` once the first page of the scores of run B was read."""
    actions = [act]

    def acting(read: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def read_and_act(query: ScoreQuery, *values: Any) -> Iterator[Any]:
            for page in read(query, *values):
                yield page
                if query.evaluation_run_id == "B" and actions:
                    actions.pop()()

        return read_and_act

    for name in ("read_leaves", "tally_leaves", "tally_single"):
        monkeypatch.setattr(store, name, acting(getattr(store, name)))


@pytest.mark.parametrize("name", ANALYSES)
def test_a_run_that_is_replaced_while_it_is_read_is_to_be_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    add_run(store, "A", 8, status="completed")
    add_run(store, "B", 8, status="completed")

    def replace() -> None:
        delete_runs(store, *PLACE, ["B"], COMMAND_LINE)
        add_run(store, "B", 2)

    once_read(store, monkeypatch, replace)
    analyse, schema, given = ANALYSES[name]
    with pytest.raises(RunReplaced, match="B was replaced while it was read, try again"):
        analyse(store, *PLACE, schema().load(given))
    assert analyse(store, *PLACE, schema().load(given))


def test_a_run_that_is_deleted_while_it_is_read_has_no_figures(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, "B", numbered([1.0] * 8))

    def delete() -> None:
        delete_runs(store, *PLACE, ["B"], COMMAND_LINE)

    once_read(store, monkeypatch, delete)
    with pytest.raises(RunReplaced):
        gate_leaf(store, *PLACE, GateQuery().load({"run": "B", "scorer": "s", "min": 0.5}))


def test_a_run_that_is_finished_while_it_is_read_is_not_finished(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run(store, "B", 3, expected=4)

    def finish() -> None:
        add(store, "B", {"p3": 0.0})
        store.change_document(EvaluationRun, *PLACE, "B", status="completed")

    once_read(store, monkeypatch, finish)
    wanted = GateQuery().load({"run": "B", "scorer": "s", "min": 1})
    first, second = (gate_leaf(store, *PLACE, wanted) for _ in range(2))
    assert first["outcome"] == "inconclusive"
    assert [each["outcome"] for each in first["checks"][:2]] == ["inconclusive", "inconclusive"]
    assert second["outcome"] == "failed"
    assert second["checks"][2]["found"] == 0.75
