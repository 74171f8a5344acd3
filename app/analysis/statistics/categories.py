"""Categories: whether two runs put the same examples into different categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc


@dataclass(frozen=True)
class CategoryTest:
    """The test of whether the categories of a candidate are as frequent as the baseline's."""

    statistic: float
    df: int
    """How many frequencies could differ on their own: 0 where no pair changed."""
    p_value: float | None


def stuart_maxwell(table: NDArray[np.int64]) -> CategoryTest:
    """Test the marginal homogeneity of a square table of pairs, old category by new.

    With two categories it is McNemar's test. Where parts of the table never exchange a pair, its
    covariance is singular: its rank is then the number of degrees of freedom.
    Source: Stuart (1955), Biometrika 42, 412-416; Maxwell (1970), Brit. J. Psychiatry 116, 651-655.
    """
    moved = table - np.diag(np.diag(table))
    leaving, arriving = moved.sum(axis=1), moved.sum(axis=0)
    gains = (arriving - leaving).astype(float)
    covariance = np.diag(leaving + arriving) - moved - moved.T
    if not moved.any():
        return CategoryTest(0.0, 0, 1.0 if table.any() else None)
    df = int(np.linalg.matrix_rank(covariance, hermitian=True))
    statistic = float(gains @ np.linalg.pinv(covariance, hermitian=True) @ gains)
    return CategoryTest(statistic, df, float(chdtrc(df, statistic)))
