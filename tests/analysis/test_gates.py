"""Gates, on every engine: the memory that a check needs."""

from __future__ import annotations

from typing import Any

import pytest

from app.analysis import gates, summaries
from app.analysis.gates import gate_run
from app.analysis.summaries import ScoreGroup
from app.errors import InvalidParameter
from app.stores.base import Store
from tests.analysis.test_summaries import add

WANTED: dict[str, Any] = {
    **dict.fromkeys(["baseline", "min", "max", "max_drop", "max_rise", "min_coverage"]),
    "run": "A",
    "scorer": "s",
    "leaf": "score.f1",
    "repeats": "current",
}


def gate(store: Store, **wanted: Any) -> dict[str, Any]:
    return gate_run(store, "acme", "demo", {**WANTED, **wanted})


def test_only_the_leaf_and_its_ancestors_are_held(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[ScoreGroup] = []

    class RecordedGroup(ScoreGroup):
        def __init__(self, *, only: set[str]) -> None:
            super().__init__(only)
            groups.append(self)

    monkeypatch.setattr(gates, "ScoreGroup", RecordedGroup)
    add(store, [{"score": {"f1": 1}, "why": "a"}, {"score": None}, None], evaluation_run_id="A")
    answer = gate(store, min=1.0)
    assert answer["passed"] is True
    figures = answer["summaries"]["run"]
    assert [figures[name] for name in ("attempted", "scored", "nulls")] == [3, 1, 2]
    assert [sorted(group.leaves) for group in groups] == [["", "score", "score.f1"]]


def test_texts_at_the_leaf_are_not_all_held(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "MAX_TEXTS", 10)
    add(store, [f"because {number}" for number in range(60)], evaluation_run_id="A")
    answer = gate(store, leaf="", min_coverage=1.0)
    assert answer["passed"] is True
    assert answer["summaries"]["run"]["text"]["distinct"] == 60
    assert answer["summaries"]["run"]["text"]["count_error"] > 0


@pytest.mark.parametrize(
    ("value", "leaf"),
    [(None, "f1"), ({}, "f1"), ({"f1": None}, "f1"), ({"f1": None, "a": 1}, "f1.mean")],
)
def test_a_leaf_that_may_be_in_a_null_fails_the_gate(store: Store, value: Any, leaf: str) -> None:
    add(store, [value], evaluation_run_id="A")
    assert gate(store, leaf=leaf, min=0.0)["passed"] is False


@pytest.mark.parametrize(
    ("value", "leaf", "why"),
    [
        ({"f1": 1}, "f1.mean", "none of the scores has the leaf 'f1.mean'; there is 'f1'"),
        ({"a": None, "f1": 1}, "f2", "; there is 'f1'"),
        (0.5, "f1", r"; there is '' \(the whole value\)"),
        ({"f": [1]}, "f.0", r"is now named 'f\[0\]'"),
    ],
)
def test_a_leaf_that_no_score_has_is_refused(store: Store, value: Any, leaf: str, why: str) -> None:
    add(store, [value, None], evaluation_run_id="A")
    for run, baseline in (("A", "B"), ("B", "A")):
        with pytest.raises(InvalidParameter, match=why):
            gate(store, run=run, baseline=baseline, leaf=leaf, max_drop=0.0)
