"""Decisions: outcomes by an interval, and what rounding alone does not decide."""

from __future__ import annotations

import pytest

from app.analysis.statistics.decisions import at_least, at_most, is_above, is_below, not_worse_by
from app.analysis.statistics.estimates import interval


@pytest.mark.parametrize("scale", [1.0, 2.0**-50, 2.0**50])
def test_rounding_of_the_operands_exceeds_no_limit(scale: float) -> None:
    before, after = 0.85 * scale, 0.83 * scale
    assert before - after != 0.02 * scale
    assert not is_above(before - after, 0.02 * scale, before, after)
    assert not is_below(after - before, -0.02 * scale, before, after)


def test_more_than_rounding_exceeds_a_limit_however_small() -> None:
    assert is_above(2e-13, 1e-13)
    assert is_above(0.8500000000001, 0.85)
    assert is_below(0.8499999999999, 0.85)
    assert not is_below(0.85, 0.85)


@pytest.mark.parametrize(
    ("low", "high", "least", "most"),
    [
        (0.8, 0.9, "passed", "failed"),
        (0.5, 0.6, "failed", "passed"),
        (0.6, 0.8, "inconclusive", "inconclusive"),
    ],
)
def test_a_limit_with_confidence_is_met_by_the_bound(
    low: float, high: float, least: str, most: str
) -> None:
    bounds = interval("wilson", low, high, 0.9)
    assert (at_least(bounds, 0.7), at_most(bounds, 0.7)) == (least, most)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (-0.01, 0.03, "passed"),
        (-0.05, -0.03, "failed"),
        (-0.03, 0.01, "inconclusive"),
        (-0.02, 0.01, "inconclusive"),
    ],
)
def test_a_candidate_is_not_worse_by_the_lower_end(low: float, high: float, outcome: str) -> None:
    gain, loss = interval("tango", low, high, 0.9), interval("tango", -high, -low, 0.9)
    assert not_worse_by(0.02, gain, lower_is_better=False) == outcome
    assert not_worse_by(0.02, loss, lower_is_better=True) == outcome


def test_without_an_interval_nothing_is_shown() -> None:
    assert at_least(None, 0.7) == at_most(None, 0.7) == "inconclusive"
    assert not_worse_by(0.02, None, lower_is_better=True) == "inconclusive"
