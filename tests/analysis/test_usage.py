"""Latency, tokens and cost of predictions, compared and gated like the values of a scorer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.analysis.comparisons import compare_runs
from app.analysis.gates import gate_leaf
from app.analysis.prices import InvalidPrices, Prices, parse_prices, read_prices
from app.analysis.rankings import rank_runs
from app.schemas.comparisons import CompareQuery
from app.schemas.gates import GateQuery
from app.stores.base import Store
from tests.analysis.test_comparisons import add
from tests.analysis.test_verdicts import declare
from tests.stores.test_documents import a_prediction

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
PRICES = parse_prices(
    """
[[price]]
model = "m"
from = 2026-01-01
input = 10
output = 100
"""
)


def predict(store: Store, run: str, seconds: float, tokens: int, model: str = "m") -> None:
    """Add 20 predictions that took about this long."""
    store.add_documents(
        [
            a_prediction(
                id=f"{run}{number}",
                evaluation_run_id=run,
                example_id=f"e{number}",
                example_key=f"e{number}",
                model=model,
                started_at=BEGAN,
                finished_at=BEGAN + timedelta(seconds=seconds + number / 100),
                usage_json=json.dumps({"input_tokens": tokens, "output_tokens": tokens + number}),
            )
            for number in range(20)
        ]
    )


def rows_of(store: Store, prices: Prices = PRICES, **given: Any) -> dict[str, dict[str, Any]]:
    wanted = CompareQuery().load({"baseline": "A", "candidate": ["B"], **given})
    answer = compare_runs(store, "acme", "demo", wanted, prices=prices)
    return {row["leaf"]: row for row in answer["comparisons"]}


def test_latency_tokens_and_cost_are_compared_if_they_are_named(store: Store) -> None:
    predict(store, "A", 1.0, 100)
    predict(store, "B", 1.5, 300)
    rows = rows_of(store, scorer=["scoreline.usage"], lower_is_better=["latency_seconds"])
    assert {leaf: row["verdict"] for leaf, row in rows.items()} == {
        "latency_seconds": "worse",
        "total_tokens": "higher",
        "cost": "higher",
    }
    assert rows["latency_seconds"]["difference"]["mean"] == pytest.approx(0.5)
    mean = rows["cost"]["summaries"]["baseline"]["number"]["mean"]
    assert mean == pytest.approx((100 * 10 + 109.5 * 100) / 1_000_000)
    assert rows["cost"]["falls"] == []
    assert rows["cost"]["rises"][0]["candidate_prediction_id"].startswith("B")


def test_usage_is_beside_scores_only_if_it_is_declared(store: Store) -> None:
    for run in "AB":
        predict(store, run, 1.0, 100)
        add(store, run, {f"{run}{number}": number / 20 for number in range(20)})
    assert list(rows_of(store)) == [""]
    declare(store, "scoreline.usage", "latency_seconds", direction="lower", unit="s")
    rows = rows_of(store)
    assert set(rows) == {"", "latency_seconds", "total_tokens", "cost"}
    assert rows["latency_seconds"]["direction"] == "lower"
    assert set(rows_of(store, scorer=["s"])) == {""}


def test_an_unknown_price_is_null_and_not_free(store: Store) -> None:
    predict(store, "A", 1.0, 100)
    predict(store, "B", 1.0, 100, model="unknown")
    row = rows_of(store, scorer=["scoreline.usage"])["cost"]
    figures = row["summaries"]["candidate"]
    assert (figures["attempted"], figures["scored"], figures["nulls"]) == (20, 0, 20)
    assert row["verdict"] == "not comparable"
    assert "cost" not in rows_of(store, Prices(), scorer=["scoreline.usage"])


def test_a_run_is_held_to_its_latency_and_ranked_by_it(store: Store) -> None:
    predict(store, "A", 1.0, 100)
    predict(store, "B", 1.2, 100)
    given = {"run": "B", "baseline": "A", "scorer": "scoreline.usage", "leaf": "latency_seconds"}
    for limit, outcome in ((0.1, "failed"), (0.3, "passed")):
        wanted = GateQuery().load({**given, "direction": "lower", "not_worse_by": limit})
        assert gate_leaf(store, "acme", "demo", wanted)["outcome"] == outcome
    runs = CompareQuery().load(
        {"run": ["A", "B"], "scorer": ["scoreline.usage"], "lower_is_better": ["latency_seconds"]}
    )
    ranking = rank_runs(store, "acme", "demo", runs)["rankings"][0]
    assert [each["run"] for each in ranking["runs"]] == ["A", "B"]


def test_a_file_of_prices_that_is_wrong_is_named(tmp_path: Any) -> None:
    assert read_prices("").cost({"input_tokens": 1}, "m", BEGAN) is None
    with pytest.raises(InvalidPrices, match="cannot be read: No such file"):
        read_prices(str(tmp_path / "none"))
    wrong = tmp_path / "prices.toml"
    wrong.write_bytes(b"\xff")
    with pytest.raises(InvalidPrices, match=r"prices\.toml"):
        read_prices(str(wrong))
    wrong.write_text("[[price]]\nmodel = 1")
    with pytest.raises(InvalidPrices, match=r"prices\.toml: \[\[price\]\] 1"):
        read_prices(str(wrong))
