"""Ranking: which ranks several runs may have, given what was shown of each two."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def rank_ranges(is_better: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the best and the worst rank that each run may have, 1 being the best.

    `is_better[i, j]` says whether run i was shown to be better than run j, in one family of tests.
    Source: Mogstad, Romano, Shaikh and Wilhelm (2024), Review of Economic Studies 91, 476-518.
    """
    best, worst = 1 + is_better.sum(axis=0), len(is_better) - is_better.sum(axis=1)
    return list(zip(best.tolist(), worst.tolist(), strict=True))


def is_order_shown(is_better: NDArray[np.bool_], order: list[int]) -> bool:
    """Return whether each run of an order, the best first, was shown to be better than the next."""
    return all(is_better[one, two] for one, two in pairwise(order))
