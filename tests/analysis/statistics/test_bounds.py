"""Bounds of what failures could hide, by hand."""

from __future__ import annotations

import pytest

from app.analysis.statistics.bounds import mean_bounds


def test_failures_have_their_worst_and_their_best_value() -> None:
    # 8 values with the mean 0.75, and 2 failures of 0 or of 1.
    assert mean_bounds(0.75, 8, 2, 0.0, 1.0) == pytest.approx((0.6, 0.8))
    assert mean_bounds(0.75, 8, 0, 0.0, 1.0) == (0.75, 0.75)


def test_without_a_value_nothing_is_known() -> None:
    assert mean_bounds(0.0, 0, 3, -1.0, 5.0) == (-1.0, 5.0)
    assert mean_bounds(0.0, 0, 0, 0.0, 1.0) == (0.0, 1.0)
