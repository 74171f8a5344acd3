"""Figures of numbers and texts: numpy's, a naive way's, and what is promised once they shrink."""

from __future__ import annotations

import json
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
from app.analysis.statistics.histograms import MOST_BINS, QUANTILES, edges

any_double = st.floats(allow_nan=False, allow_infinity=False)
any_numbers = st.lists(any_double, min_size=1, max_size=60)
scores = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60)


def summary(values: Sequence[float]) -> dict[str, Any]:
    numbers = Numbers()
    numbers.fresh.extend(values)
    return numbers.summary()


@given(scores)
def test_figures_are_those_of_a_naive_way(values: list[float]) -> None:
    found = summary(values)
    near = max(map(abs, values)) * 1e-9 + 1e-300
    assert found["n"] == len(values)
    assert found["mean"] == pytest.approx(statistics.fmean(values), abs=near)
    assert found["standard_deviation"] == pytest.approx(statistics.stdev(values), abs=near)
    assert (found["min"], found["max"]) == (min(values), max(values))
    for name, part in QUANTILES.items():
        assert found[name] == pytest.approx(float(np.quantile(values, part)), abs=near)
    assert found["quantiles"] == {"method": "linear", "rank_error": 0.0}


@given(any_numbers)
def test_any_doubles_have_figures_that_json_can_carry(values: list[float]) -> None:
    found = summary(values)
    json.dumps(found, allow_nan=False)
    assert min(values) <= found["mean"] <= max(values)
    in_order = [found[name] for name in ("min", *QUANTILES, "max")]
    assert in_order == sorted(in_order)


@given(any_numbers)
def test_a_histogram_counts_every_number_once(values: list[float]) -> None:
    bounds, counts = (summary(values)["histogram"][name] for name in ("edges", "counts"))
    assert sum(counts) == len(values)
    assert len(bounds) == len(counts) + 1 <= MOST_BINS + 4
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


@pytest.mark.parametrize("low", [2.0**53, 1e16, -1e16])
def test_whole_numbers_between_which_no_double_is_share_a_bin(low: float) -> None:
    bounds = edges(low, low + 6, whole=True)
    assert bounds == sorted(set(bounds))
    assert bounds[0] == low
    assert bounds[-1] >= low + 6


def test_edges_are_the_doubles_nearest_to_what_they_are_written_as() -> None:
    assert edges(0.0, 1.0, whole=False)[3] == 0.15


def test_an_integer_beyond_a_double_is_counted_and_in_no_figure() -> None:
    numbers = Numbers()
    numbers.add({"path": "", "kind": "number", "text": "1" + "0" * 400})
    assert numbers.summary() == {"n": 1, "beyond_double": 1}
    numbers.add({"path": "", "kind": "number", "number": 2.0})
    found = numbers.summary()
    assert (found["n"], found["beyond_double"], found["mean"]) == (2, 1, 2.0)


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(20, 400))
def test_shrunk_numbers_keep_their_moments_and_state_how_far_ranks_are_off(
    seed: int, times: int, size: int
) -> None:
    chance = random.Random(seed)
    values: list[float] = []
    numbers = Numbers()
    for _ in range(times):
        some = [chance.choice([chance.gauss(0, 1), 0.5]) for _ in range(size)]
        values += some
        numbers.fresh.extend(some)
        numbers.shrink()
    ordered = sorted(values)
    found = numbers.summary()
    assert numbers.held < len(values)
    assert found["n"] == len(values) == sum(found["histogram"]["counts"])
    assert found["mean"] == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert found["standard_deviation"] == pytest.approx(statistics.stdev(values), abs=1e-9)
    assert (found["min"], found["max"]) == (ordered[0], ordered[-1])
    error = found["quantiles"]["rank_error"] * len(values)
    for name, part in QUANTILES.items():
        rank = part * (len(values) - 1)
        # Between two neighbours that are held, a quantile may lie one weight away.
        slack = error + numbers.rank_error + 1
        assert bisect_left(ordered, found[name]) - slack <= rank
        assert rank <= bisect_right(ordered, found[name]) + slack


def test_a_million_numbers_in_little_memory_are_off_by_little() -> None:
    numbers = Numbers()
    chance = random.Random(1)
    for _ in range(100):
        numbers.fresh.extend(chance.random() for _ in range(10_000))
        shrink_largest([numbers], 50_000)
        assert numbers.held <= 50_000
    found = numbers.summary()
    assert found["n"] == 1_000_000
    assert found["quantiles"]["rank_error"] < 0.001
    assert found["p50"] == pytest.approx(0.5, abs=0.005)


def test_texts_are_counted_exactly_while_they_are_few() -> None:
    texts = Texts()
    for text in ["a", "b", "a", "", "c", "a", "b"]:
        texts.add({"text": text})
    found = texts.summary()
    assert (found["n"], found["distinct"], found["distinct_error"]) == (7, 4, 0)
    assert found["count_error"] == 0
    assert found["most_frequent"][:2] == [
        {"text": "a", "count": 3, "share": 3 / 7},
        {"text": "b", "count": 2, "share": 2 / 7},
    ]


def test_shrunk_texts_state_how_far_their_counts_are_off() -> None:
    chance = random.Random(2)
    texts, truth = Texts(), Counter[str]()
    for number in range(60_000):
        text = chance.choice(["yes", "no", "maybe"]) if number % 2 else f"because {number}"
        truth[text] += 1
        texts.add({"text": text})
        if texts.held > 5_000:
            shrink_largest([texts], 4_000)
    found = texts.summary()
    assert texts.held <= 5_000
    assert found["n"] == 60_000
    assert {each["text"] for each in found["most_frequent"][:3]} == {"yes", "no", "maybe"}
    for each in found["most_frequent"]:
        assert each["count"] <= truth[each["text"]] <= each["count"] + found["count_error"]
    assert found["count_error"] < 100
    assert found["distinct"] == pytest.approx(len(truth), rel=4 * found["distinct_error"])


def test_the_largest_are_shrunk_first_and_the_small_stay_exact() -> None:
    large, small = Numbers(), Numbers()
    large.fresh.extend(map(float, range(1_000)))
    small.fresh.extend([1.0, 2.0, 3.0])
    shrink_largest([large, small], 600)
    assert small.rank_error == 0
    assert large.rank_error > 0
    assert large.held + small.held <= 300
