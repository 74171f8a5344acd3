"""Gates, on every engine: the memory that a check needs."""

from __future__ import annotations

from typing import Any

import pytest

from app.analysis import gates, summaries
from app.analysis.gates import gate_run
from app.analysis.summaries import ScoreGroup
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
