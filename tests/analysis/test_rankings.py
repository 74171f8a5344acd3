"""Rankings of several runs: the order, the ranks that each may have, and the sentence."""

from __future__ import annotations

import random
from typing import Any
from weakref import WeakSet

import pytest
from marshmallow import ValidationError

from app.analysis import comparisons
from app.analysis.pairs import Pairs
from app.analysis.rankings import rank_runs
from app.errors import InvalidParameter
from app.schemas.comparisons import CompareQuery
from app.stores.base import Store
from tests.analysis.test_comparisons import add, numbered
from tests.stores.test_documents import a_run


@pytest.fixture
def store(embedded_store: Store) -> Store:
    """Return an empty embedded store: what is tested here is the same on every engine."""
    return embedded_store


def ranked(store: Store, runs: str = "ABC", **given: Any) -> dict[str, Any]:
    wanted = CompareQuery().load({"run": list(runs), **given})
    (ranking,) = rank_runs(store, "acme", "demo", wanted)["rankings"]
    return dict(ranking)


def add_shifted(store: Store, **shifts: float) -> None:
    chance = random.Random(7)
    base = [chance.gauss(0, 1) for _ in range(60)]
    for run, shift in shifts.items():
        add(store, run, numbered([each + shift + chance.gauss(0, 0.3) for each in base]))


def ranks(ranking: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {each["run"]: (each["best_rank"], each["worst_rank"]) for each in ranking["runs"]}


def test_one_run_under_two_names_is_no_ranking(store: Store) -> None:
    store.add_documents([a_run(id="A", name="B")])
    with pytest.raises(InvalidParameter, match="all of these are the same run, A"):
        ranked(store, "AB")


def test_runs_that_do_not_differ_share_their_ranks(store: Store) -> None:
    add_shifted(store, A=0.0, B=1.0, C=0.01)
    ranking = ranked(store, higher_is_better=[""])
    assert next(iter(ranks(ranking))) == "B"
    assert ranks(ranking) == {"B": (1, 1), "C": (2, 3), "A": (2, 3)}
    assert ranking["reason"].startswith(
        "By s, B comes first (rank 1 of 3); there is no evidence for the order of "
    )
    assert {pair["family"] for pair in ranking["pairs"]} == {3}
    assert [pair["verdict"] for pair in ranking["pairs"]].count("no difference shown") == 1


def test_an_order_that_is_shown_is_said_to_be(store: Store) -> None:
    add_shifted(store, A=0.0, B=2.0, C=1.0)
    ranking = ranked(store, lower_is_better=[""])
    assert ranking["reason"] == "By s, the order A, C, B is shown."
    assert ranks(ranking) == {"A": (1, 1), "C": (2, 2), "B": (3, 3)}


def test_there_is_no_evidence_for_an_order_by_chance(store: Store) -> None:
    add_shifted(store, A=0.0, B=0.0, C=0.0)
    ranking = ranked(store)
    assert ranking["reason"].endswith(
        "there is no evidence for the order: no two runs are shown to differ."
    )
    assert set(ranks(ranking).values()) == {(1, 3)}
    assert "no direction is declared" in ranking["reason"]


def test_a_run_that_is_not_comparable_keeps_all_ranks_and_one_without_values_is_last(
    store: Store,
) -> None:
    add(store, "A", numbered([True] * 40))
    add(store, "B", numbered([True] * 20 + [None] * 20))
    add(store, "C", numbered([None] * 40))
    ranking = ranked(store, higher_is_better=[""])
    assert ranking["runs"][-1]["run"] == "C"
    assert ranking["runs"][-1]["mean"] is None
    assert {pair["verdict"] for pair in ranking["pairs"]} == {"not comparable"}


def test_a_run_of_the_easiest_examples_is_not_comparable_wherever_it_comes(store: Store) -> None:
    for better in (True, False):
        add(store, "A", numbered([better] * 40 + [not better] * 60))
        add(store, "B", numbered([better] * 10))
        (pair,) = ranked(store, "AB")["pairs"]
        assert pair["baseline"] == ("B" if better else "A")
        assert pair["verdict"] == "not comparable"


def test_a_ranking_holds_the_pairs_of_two_runs_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, most = WeakSet[Pairs](), 0

    class Counted(Pairs):
        def __init__(self, *given: Any) -> None:
            nonlocal most
            super().__init__(*given)
            held.add(self)
            most = max(most, len(held))

    monkeypatch.setattr(comparisons, "Pairs", Counted)
    add_shifted(store, A=0.0, B=1.0, C=0.01, D=2.0)
    assert len(ranked(store, "ABCD")["pairs"]) == 6
    assert most == 1


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"run": ["A"]}, "run"),
        ({"run": ["A", "A"]}, "run"),
        ({"run": ["A", "B"], "baseline": "A"}, "baseline"),
        ({"run": ["A", "B"], "candidate": ["A"]}, "candidate"),
        ({"run": ["A", "B"], "slice_by": "inputs.lang"}, "slice_by"),
        ({"run": ["A", "B"], "k": "3"}, "k"),
        ({"run": ["A", "B"], "effect": "0.1"}, "effect"),
        ({"run": ["A", "B"], "worst": "3"}, "worst"),
        ({"run": ["A", "B"], "histograms": "true"}, "histograms"),
        ({"run": [str(number) for number in range(21)]}, "run"),
    ],
)
def test_a_ranking_takes_2_to_20_runs_and_nothing_beside_them(
    given: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        CompareQuery().load(given)
    assert list(refused.value.messages_dict) == [field]
