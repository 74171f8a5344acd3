"""Evaluation results: statistics, the order of trials, tokens, expressions and limits."""

from __future__ import annotations

from typing import Any

import pytest

from app.analysis import eval_reading
from app.analysis.eval_filters import compile_field, compile_filter, mean_value
from app.analysis.eval_results import query_results
from app.analysis.eval_summary import ScorerStats
from app.analysis.eval_trials import Trial, in_order
from app.analysis.expressions import MAX_OPERATIONS
from app.analysis.tokens import total_tokens
from app.errors import InvalidParameter
from app.leaves import leaves
from app.schemas.eval_results import EvalResultsBody
from app.stores.base import Store
from tests.analysis.test_summaries import add
from tests.golden import golden_rows


def stats_of(*values: Any, scorer: str = "s") -> list[dict[str, Any]]:
    stats = ScorerStats()
    for value in values:
        stats.add(scorer, leaves(value))
    return stats.response()


# Statistics


@pytest.mark.parametrize("row", golden_rows("weave_scorer_stats.jsonl"))
def test_statistics_are_those_of_weaves_server(row: dict[str, Any]) -> None:
    stats = ScorerStats()
    for scores in row["scores"]:
        for scorer, value in scores.items():
            stats.add(scorer, leaves(value))
    assert stats.response() == row["scorer_stats"]


def test_nulls_are_not_counted() -> None:
    (stats,) = stats_of(None, True, None, False, True)
    assert (stats["trial_count"], stats["pass_known_count"]) == (3, 3)
    assert stats["pass_rate"] == 2 / 3
    assert stats_of(None, {"a": None}) == []


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([True, 2, "x"], "text"),
        (["x", 2, True], "text"),
        ([True, 2], "continuous"),
        ([2, True], "continuous"),
        ([True], "binary"),
    ],
)
def test_the_type_does_not_depend_on_the_order(values: list[Any], wanted: str) -> None:
    (stats,) = stats_of(*values)
    assert stats["value_type"] == wanted


def test_a_leaf_of_several_types_has_the_figures_of_each() -> None:
    (stats,) = stats_of(True, False, 2, 4.0, "x")
    assert stats == {
        "scorer_key": "s",
        "path": None,
        "value_type": "text",
        "trial_count": 5,
        "numeric_count": 2,
        "numeric_mean": 3.0,
        "pass_true_count": 1,
        "pass_known_count": 2,
        "pass_rate": 0.5,
        "pass_signal_coverage": 0.4,
    }


def test_items_of_lists_are_left_out_but_not_keys_with_brackets() -> None:
    value = {"a": [1], "b[0]": 1, "c\\": 1, "c\\[": 1, "d": {"e": 1}}
    assert [each["path"] for each in stats_of(value)] == [r"b\[0]", r"c\\", r"c\\\[", "d.e"]


def test_statistics_are_in_the_order_of_the_trials() -> None:
    stats = ScorerStats()
    for place, value in ((2, {"a": 1}), (1, {"b": 1, "c": None}), (1, {"d": 1}), (0, {"c": 1})):
        stats.add("s", leaves(value), place)
    assert [each["path"] for each in stats.response()] == ["c", "b", "d", "a"]


def test_a_mean_does_not_overflow() -> None:
    (stats,) = stats_of(1.7e308, 1.7e308)
    assert stats["numeric_mean"] == pytest.approx(1.7e308)
    (stats,) = stats_of(10**400, 3)
    assert (stats["trial_count"], stats["numeric_count"], stats["numeric_mean"]) == (2, 1, 3.0)


# Trials


def test_trials_are_in_the_order_of_their_numbers_or_in_time() -> None:
    def trial(name: str, minute: int, number: int | None = None) -> Trial:
        return Trial(name, "row", number, f"2026-01-01T00:{minute:02}:00.000000+00:00")

    found = in_order([trial("b", 2), trial("c", 2), trial("a", 3), trial("z", 1)])
    assert [each.prediction_id for each in found] == ["z", "b", "c", "a"]
    found = in_order([trial("a", 1, 1), trial("b", 2, 0)])
    assert [each.prediction_id for each in found] == ["b", "a"]


@pytest.mark.parametrize(
    ("usage", "wanted"),
    [
        (None, None),
        ({}, None),
        ({"total_tokens": 7, "input_tokens": 1}, 7),
        ({"input_tokens": 3, "output_tokens": 4}, 7),
        ({"prompt_tokens": 3, "completion_tokens": 4}, 7),
        ({"output_tokens": 4}, 4),
        ({"total_tokens": None, "input_tokens": True}, None),
        ({"total_tokens": 1.5}, None),
        ({"gpt": {"total_tokens": 3}, "other": {"prompt_tokens": 1, "completion_tokens": 1}}, 5),
        ({"gpt": {"details": {"total_tokens": 3}}}, None),
        ({"requests": 1}, None),
    ],
)
def test_tokens_are_read_from_the_usage(usage: Any, wanted: int | None) -> None:
    assert total_tokens(usage) == wanted


# Expressions

VALUES: dict[str, Any] = {
    "inputs": {"q": 1, "a": {"b.c": [5, {"d": "x"}]}},
    "outputs": "Hello World",
    "scores": {"acc": True, "f1": {"mean": 0.5, "nothing": None}, "dot.ted": 3},
    "row_digest": "x1",
}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("inputs.q", 1),
        ("inputs.a.b.c.0", 5),
        ("inputs.a.b.c.1.d", "x"),
        ("inputs.a.b.c.2", None),
        ("inputs.a.b.c.-1", None),
        ("inputs.q.more", None),
        ("outputs", "Hello World"),
        ("scores.acc", True),
        ("scores.f1.mean", 0.5),
        ("scores.dot.ted", 3),
        ("scores.nobody", None),
        (r"inputs.a.b\.c.0", 5),
        (r"inputs.a\.b\.c.0", None),
        (r"scores.dot\.ted", 3),
        ("output.output", "Hello World"),
        ("output.scores.f1.mean", 0.5),
        ("row_digest", "x1"),
    ],
)
def test_a_field_is_looked_up_by_its_path(name: str, wanted: Any) -> None:
    assert compile_field("sort_by", name)(VALUES) == wanted


def get(name: str) -> dict[str, Any]:
    return {"$getField": name}


def lit(value: Any) -> dict[str, Any]:
    return {"$literal": value}


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ({"$eq": [get("scores.acc"), lit(True)]}, True),
        ({"$eq": [get("scores.acc"), lit(1)]}, False),
        ({"$eq": [get("scores.acc"), lit("true")]}, True),
        ({"$eq": [get("inputs.q"), lit(1.0)]}, True),
        ({"$eq": [get("inputs.q"), lit("1")]}, True),
        ({"$eq": [get("scores.nobody"), lit("")]}, True),
        ({"$not": [{"$eq": [get("scores.nobody"), lit(1)]}]}, False),
        ({"$not": [{"$gt": [get("outputs"), lit(1)]}]}, False),
        ({"$lt": [get("inputs"), lit({})]}, False),
        ({"$lt": [get("inputs"), get("inputs")]}, False),
        ({"$eq": [get("scores.nobody"), lit(None)]}, True),
        ({"$gt": [get("scores.f1.mean"), lit(0.4)]}, True),
        ({"$gt": [get("scores.f1.mean"), lit(0.5)]}, False),
        ({"$gte": [get("scores.f1.mean"), lit(0.5)]}, True),
        ({"$lt": [get("scores.f1.mean"), lit(0.5)]}, False),
        ({"$lte": [get("scores.f1.mean"), lit(0.5)]}, True),
        ({"$lt": [get("scores.f1.nothing"), lit(0.5)]}, False),
        ({"$lt": [get("outputs"), lit(1)]}, False),
        ({"$lt": [get("outputs"), lit("I")]}, True),
        ({"$in": [get("inputs.q"), [lit(2), lit(1)]]}, True),
        ({"$in": [get("inputs.q"), [lit(2), lit(True)]]}, False),
        ({"$not": [{"$eq": [get("inputs.q"), lit(2)]}]}, True),
        ({"$and": [{"$eq": [get("inputs.q"), lit(1)]}, lit(False)]}, False),
        ({"$or": [{"$eq": [get("inputs.q"), lit(2)]}, lit(True)]}, True),
        ({"$contains": {"input": get("outputs"), "substr": lit("world")}}, False),
        (
            {
                "$contains": {
                    "input": get("outputs"),
                    "substr": lit("world"),
                    "case_insensitive": True,
                }
            },
            True,
        ),
        ({"$eq": [{"$convert": {"input": lit("2.5"), "to": "double"}}, lit(2.5)]}, True),
        ({"$eq": [{"$convert": {"input": lit("x"), "to": "int"}}, lit(None)]}, True),
        ({"$eq": [{"$convert": {"input": lit(1), "to": "string"}}, lit("1")]}, True),
        ({"$eq": [{"$convert": {"input": lit(2.5), "to": "int"}}, lit(None)]}, True),
        ({"$eq": [{"$convert": {"input": lit(True), "to": "double"}}, lit(None)]}, True),
        ({"$convert": {"input": lit("TRUE"), "to": "bool"}}, True),
        ({"$convert": {"input": get("scores.nobody"), "to": "exists"}}, False),
    ],
)
def test_an_expression_is_weaves(expression: Any, wanted: bool) -> None:
    assert bool(compile_filter(expression).expression(VALUES)) is wanted


def test_a_filter_knows_which_parts_of_a_trial_it_needs() -> None:
    both = {"$and": [{"$eq": [get("inputs.q"), lit(1)]}, {"$not": [get("scores.acc")]}]}
    assert compile_filter(both).prefixes == {"inputs", "scores"}
    assert compile_filter(lit("outputs")).prefixes == set()


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ({}, "one operator"),
        ([], "one operator"),
        ({"$eq": [], "$gt": []}, "one operator"),
        ({"$where": "1"}, "'$where' is not known"),
        ({"$eq": [lit(1)]}, "$eq takes a list of two operands"),
        ({"$and": {}}, "$and takes a list of operands"),
        ({"$or": []}, "$or takes a list of operands"),
        ({"$in": [lit(1), lit(2)]}, "$in takes a value and a list"),
        ({"$not": [lit(1), lit(2)]}, "$not takes a list of one operand"),
        ({"$contains": {"input": lit(1)}}, "$contains takes `input` and `substr`"),
        ({"$contains": []}, "$contains takes"),
        ({"$convert": {"input": lit(1), "to": "date"}}, "$convert is to double"),
        (get("model"), "does not begin with"),
        (get("scores"), "does not begin with"),
        (get("inputs." + "x" * 1_000), "at most 1000 characters"),
        ({"$getField": 1}, "a field is a text"),
        ({"$or": [lit(1)] * MAX_OPERATIONS}, "at most 100 operations"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused(expression: Any, message: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        compile_filter(expression)
    assert message in str(raised.value)


def test_a_row_is_sorted_by_the_mean_of_its_numbers_or_its_first_text() -> None:
    assert mean_value([True, 0, None, "x"]) == 0.5
    assert mean_value(["b", "a", None]) == "a"
    assert mean_value([None, [], {}]) is None
    assert mean_value([10**400]) is None


# Limits


def ask(store: Store, **wanted: Any) -> dict[str, Any]:
    body = EvalResultsBody().load({"evaluation_run_ids": ["A"], **wanted})
    return query_results(store, "acme", "demo", body)


@pytest.mark.parametrize(
    ("name", "limit"), [("scores", 2), ("values", 5), ("predictions", 2), ("characters", 32)]
)
def test_more_than_a_limit_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    add(store, [{"a": 1, "b": 2}] * 3, evaluation_run_id="A")
    found = ask(store, include_summary=True)
    assert found["total_rows"] == len({each["row_digest"] for each in found["rows"]}) > 0
    monkeypatch.setitem(eval_reading.LIMITS, name, limit)
    predictions = found["total_rows"]
    if name == "predictions":
        monkeypatch.setitem(eval_reading.LIMITS, name, predictions - 1)
    with pytest.raises(InvalidParameter) as raised:
        ask(store, include_summary=True)
    assert f"{name}: ask for fewer runs" in str(raised.value)


def test_only_the_rows_of_a_page_are_read_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, [f"{number}" * 50 for number in range(9)], evaluation_run_id="A")
    whole = ask(store)
    assert whole["total_rows"] == 9
    monkeypatch.setitem(eval_reading.LIMITS, "characters", 200)
    with pytest.raises(InvalidParameter, match="over 200 characters"):
        ask(store)
    for offset in (0, 8):
        page = ask(store, limit=1, offset=offset)
        assert (page["rows"], page["total_rows"]) == (whole["rows"][offset : offset + 1], 9)


def test_a_summary_alone_holds_no_text(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, ["x" * 1_000], evaluation_run_id="A")
    monkeypatch.setitem(eval_reading.LIMITS, "characters", 100)
    found = ask(store, include_rows=False, include_summary=True)
    assert (found["rows"], found["total_rows"]) == ([], 0)
    assert found["summary"]["evaluations"][0]["trial_count"] == 1
