"""Ranges of ranks from what was shown of each two runs."""

from __future__ import annotations

import numpy as np

from app.analysis.statistics.ranking import is_order_shown, rank_ranges

SHOWN = np.array([[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
"""Run 0 was shown to be better than 2 and 3, run 1 to be better than 3."""


def test_a_rank_is_bounded_by_those_shown_better_and_worse() -> None:
    assert rank_ranges(SHOWN) == [(1, 2), (1, 3), (2, 4), (3, 4)]


def test_without_evidence_every_rank_is_possible() -> None:
    assert rank_ranges(np.zeros((3, 3), dtype=bool)) == [(1, 3)] * 3
    assert rank_ranges(np.zeros((1, 1), dtype=bool)) == [(1, 1)]


def test_an_order_is_shown_by_each_two_neighbours() -> None:
    assert is_order_shown(SHOWN, [0, 2])
    assert not is_order_shown(SHOWN, [0, 1, 3])
    assert is_order_shown(SHOWN, [0])
