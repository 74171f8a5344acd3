"""The Stuart-Maxwell test against statsmodels, McNemar's test and singular tables."""

from __future__ import annotations

import numpy as np
import pytest

from app.analysis.statistics.categories import CategoryTest, stuart_maxwell


def test_the_vision_of_both_eyes_matches_statsmodels() -> None:
    # statsmodels 0.15.0: SquareTable(table).homogeneity(); Stuart (1955) has 11.96.
    table = [[1520, 266, 124, 66], [234, 1512, 432, 78], [117, 362, 1772, 205], [36, 82, 179, 492]]
    result = stuart_maxwell(np.array(table))
    assert result.statistic == pytest.approx(11.95656962298254)
    assert result.df == 3
    assert result.p_value == pytest.approx(0.007533425054800591)


def test_two_categories_are_mcnemar_s_test() -> None:
    result = stuart_maxwell(np.array([[1, 7], [1, 12]]))
    assert result.statistic == pytest.approx((7 - 1) ** 2 / (7 + 1))
    assert result.df == 1


def test_parts_that_exchange_no_pair_are_tested_together() -> None:
    table = np.array([[5, 3, 0, 0], [1, 4, 0, 0], [0, 0, 5, 9], [0, 0, 2, 1]])
    result = stuart_maxwell(table)
    assert result.statistic == pytest.approx((3 - 1) ** 2 / 4 + (9 - 2) ** 2 / 11)
    assert result.df == 2


def test_a_category_that_never_changes_adds_nothing() -> None:
    known = stuart_maxwell(np.array([[4, 7], [1, 6]]))
    result = stuart_maxwell(np.array([[4, 7, 0], [1, 6, 0], [0, 0, 5]]))
    assert result.df == known.df
    assert result.p_value == pytest.approx(known.p_value)


def test_a_table_without_changes_shows_no_difference_and_an_empty_one_nothing() -> None:
    assert stuart_maxwell(np.diag([3, 4, 5])) == CategoryTest(0.0, 0, 1.0)
    assert stuart_maxwell(np.zeros((3, 3), dtype=int)) == CategoryTest(0.0, 0, None)
