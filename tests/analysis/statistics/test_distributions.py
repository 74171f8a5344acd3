"""Distributions against numpy and naive computations, exact and after shrinking."""

from __future__ import annotations

import json
import math
import random
import statistics
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.analysis.statistics.distributions import Numbers, Texts, shrink_largest
from app.analysis.statistics.histograms import MAX_BINS, QUANTILES, edges

any_double = st.floats(allow_nan=False, allow_infinity=False)
any_numbers = st.lists(any_double, min_size=1, max_size=60)
scores = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60)


def summary(values: Sequence[float]) -> dict[str, Any]:
    numbers = Numbers()
    numbers.values.extend(values)
    return numbers.summary(with_histogram=True)


@given(scores)
def test_figures_match_a_naive_computation(values: list[float]) -> None:
    figures = summary(values)
    near = max(map(abs, values)) * 1e-9 + 1e-300
    assert figures["n"] == len(values)
    assert figures["mean"] == pytest.approx(statistics.fmean(values), abs=near)
    assert figures["standard_deviation"] == pytest.approx(statistics.stdev(values), abs=near)
    assert (figures["min"], figures["max"]) == (min(values), max(values))
    for name, part in QUANTILES.items():
        assert figures[name] == pytest.approx(float(np.quantile(values, part)), abs=near)
    assert figures["quantiles"] == {"method": "linear", "rank_error": 0.0}


@given(any_numbers)
def test_figures_of_any_doubles_are_valid_json(values: list[float]) -> None:
    figures = summary(values)
    json.dumps(figures, allow_nan=False)
    assert min(values) <= figures["mean"] <= max(values)
    in_order = [figures[name] for name in ("min", *QUANTILES, "max")]
    assert in_order == sorted(in_order)


@given(any_numbers)
def test_a_histogram_counts_every_number_once(values: list[float]) -> None:
    bounds, counts = (summary(values)["histogram"][name] for name in ("edges", "counts"))
    assert sum(counts) == len(values)
    assert len(bounds) == len(counts) + 1 <= MAX_BINS + 4
    assert bounds == sorted(set(bounds))
    assert bounds[0] <= min(values)
    assert max(values) <= bounds[-1]
    last = len(counts) - 1
    for place, count in enumerate(counts):
        low, high = bounds[place], bounds[place + 1]
        inside = [each for each in values if low <= each < high or (place == last and each == high)]
        assert count == len(inside)


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0.0, 1.0, False, [number / 20 for number in range(21)]),
        (1.0, 5.0, True, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        (0.0, 1.0, True, [0.0, 1.0, 2.0]),
        (3.0, 3.0, True, [2.5, 3.5]),
        (-100.0, 100.0, True, [float(number) for number in range(-100, 101, 10)]),
        (0.31, 0.33, False, [0.31 + number / 1000 for number in range(21)]),
    ],
)
def test_edges_are_round(low: float, high: float, expected: list[float], *, whole: bool) -> None:
    assert edges(low, high, whole=whole) == pytest.approx(expected, abs=1e-12)


@given(st.floats(-1.7e308, 1.7e308), st.lists(st.integers(0, 1_000), min_size=1, max_size=30))
def test_numbers_that_differ_in_their_last_digits_stay_in_order(
    start: float, steps: list[int]
) -> None:
    values = [start + step * math.ulp(start) for step in steps]
    figures = summary(values)
    in_order = [figures[name] for name in ("min", *QUANTILES, "max")]
    assert in_order == sorted(in_order)
    bounds, counts = figures["histogram"]["edges"], figures["histogram"]["counts"]
    assert bounds[0] <= min(values) <= max(values) <= bounds[-1]
    assert bounds == sorted(set(bounds))
    assert sum(counts) == len(values)


@pytest.mark.parametrize("low", [2.0**53, 1e16, -1e16])
def test_whole_numbers_too_large_for_exact_doubles_share_bins(low: float) -> None:
    bounds = edges(low, low + 6, whole=True)
    assert bounds == sorted(set(bounds))
    assert bounds[0] == low
    assert bounds[-1] >= low + 6


def test_edges_are_the_doubles_nearest_to_their_decimal_text() -> None:
    assert edges(0.0, 1.0, whole=False)[3] == 0.15


def test_an_integer_too_large_for_a_double_is_counted_but_in_no_figure() -> None:
    numbers = Numbers()
    numbers.add({"path": "", "kind": "number", "text": "1" + "0" * 400})
    assert numbers.summary() == {"n": 1, "beyond_double": 1}
    numbers.add({"path": "", "kind": "number", "number": 2.0})
    figures = numbers.summary(with_histogram=True)
    assert (figures["n"], figures["beyond_double"], figures["mean"]) == (2, 1, 2.0)


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(20, 400))
def test_shrunk_numbers_keep_their_moments_and_report_their_rank_error(
    seed: int, times: int, size: int
) -> None:
    chance = random.Random(seed)
    values: list[float] = []
    numbers = Numbers()
    for _ in range(times):
        some = [chance.choice([chance.gauss(0, 1), 0.5]) for _ in range(size)]
        values += some
        numbers.values.extend(some)
        numbers.shrink()
    ordered = sorted(values)
    figures = numbers.summary(with_histogram=True)
    assert numbers.held < len(values)
    assert figures["n"] == len(values) == sum(figures["histogram"]["counts"])
    assert figures["mean"] == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert figures["standard_deviation"] == pytest.approx(statistics.stdev(values), abs=1e-9)
    assert (figures["min"], figures["max"]) == (ordered[0], ordered[-1])
    error = figures["quantiles"]["rank_error"] * len(values)
    for name, part in QUANTILES.items():
        rank = part * (len(values) - 1)
        # A quantile between two numbers in memory may be off by the weight of one.
        slack = error + numbers.rank_error + 1
        assert bisect_left(ordered, figures[name]) - slack <= rank
        assert rank <= bisect_right(ordered, figures[name]) + slack


def test_a_million_numbers_in_little_memory_have_a_small_error() -> None:
    numbers = Numbers()
    chance = random.Random(1)
    for _ in range(100):
        numbers.values.extend(chance.random() for _ in range(10_000))
        shrink_largest([numbers], 50_000)
        assert numbers.held <= 50_000
    figures = numbers.summary(with_histogram=True)
    assert figures["n"] == 1_000_000
    assert figures["quantiles"]["rank_error"] < 0.001
    assert figures["p50"] == pytest.approx(0.5, abs=0.005)


def test_few_texts_are_counted_exactly() -> None:
    texts = Texts()
    for text in ["a", "b", "a", "", "c", "a", "b"]:
        texts.add({"text": text})
    figures = texts.summary()
    assert (figures["n"], figures["distinct"], figures["distinct_error"]) == (7, 4, 0)
    assert figures["count_error"] == 0
    assert figures["most_frequent"][:2] == [
        {"text": "a", "count": 3, "share": 3 / 7},
        {"text": "b", "count": 2, "share": 2 / 7},
    ]


def test_shrunk_texts_report_their_count_error() -> None:
    chance = random.Random(2)
    texts, truth = Texts(), Counter[str]()
    for number in range(60_000):
        text = chance.choice(["yes", "no", "maybe"]) if number % 2 else f"because {number}"
        truth[text] += 1
        texts.add({"text": text})
        if texts.held > 5_000:
            shrink_largest([texts], 4_000)
    figures = texts.summary()
    assert texts.held <= 5_000
    assert figures["n"] == 60_000
    assert {each["text"] for each in figures["most_frequent"][:3]} == {"yes", "no", "maybe"}
    for each in figures["most_frequent"]:
        assert each["count"] <= truth[each["text"]] <= each["count"] + figures["count_error"]
    assert figures["count_error"] < 100
    assert figures["distinct"] == pytest.approx(len(truth), rel=4 * figures["distinct_error"])


def test_the_largest_collection_is_shrunk_first_and_a_small_one_stays_exact() -> None:
    large, small = Numbers(), Numbers()
    large.values.extend(map(float, range(1_000)))
    small.values.extend([1.0, 2.0, 3.0])
    shrink_largest([large, small], 600)
    assert small.rank_error == 0
    assert large.rank_error > 0
    assert large.held + small.held <= 300
