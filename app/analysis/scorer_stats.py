"""Statistics of the scores of one run, by scorer and leaf, as Weave computes them."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from app.stores.model import Leaves

VALUE_TYPES = {"boolean": "binary", "number": "continuous", "text": "text"}
"""The type of a leaf's values by their kind; of several, the last one counts."""

_ORDER = list(VALUE_TYPES)


@dataclass
class LeafStats:
    """The values of one leaf of one scorer that are not null."""

    first: tuple[int, int]
    """The place of the first trial that has it, and how many leaves were added before."""
    kind: str = _ORDER[0]
    known: int = 0
    booleans: int = 0
    trues: int = 0
    numbers: array[float] = field(default_factory=lambda: array("d"))

    def add(self, kind: str, number: float | None) -> None:
        """Add one value; a number without `number` is too large for a double."""
        self.kind = max(self.kind, kind, key=_ORDER.index)
        self.known += 1
        if kind == "boolean":
            self.booleans += 1
            self.trues += bool(number)
        elif number is not None:
            self.numbers.append(number)

    def figures(self) -> dict[str, Any]:
        """Return the figures of a ScorerStats."""
        return {
            "value_type": VALUE_TYPES[self.kind],
            "trial_count": self.known,
            "numeric_count": len(self.numbers),
            "numeric_mean": _mean(self.numbers),
            "pass_true_count": self.trues,
            "pass_known_count": self.booleans,
            "pass_rate": self.trues / self.booleans if self.booleans else None,
            "pass_signal_coverage": self.booleans / self.known,
        }


def _mean(numbers: array[float]) -> float | None:
    if not numbers:
        return None
    try:
        return math.fsum(numbers) / len(numbers)
    except OverflowError:
        return math.fsum(number / len(numbers) for number in numbers)


class ScorerStats:
    """The statistics of one run, by scorer and leaf."""

    def __init__(self) -> None:
        self._leaves: dict[tuple[str, str], LeafStats] = {}
        self._added = 0

    def add(self, scorer: str, leaves: Leaves, place: int = 0) -> None:
        """Add the leaves of one score; nulls and items of lists are left out, as in Weave.

        `place` is that of its trial. The scores of a trial are added in their order.
        """
        for leaf in leaves:
            if leaf["kind"] == "null" or _is_in_list(leaf["path"]):
                continue
            self._added += 1
            first = (place, self._added)
            stats = self._leaves.get((scorer, leaf["path"]))
            if stats is None:
                stats = self._leaves[scorer, leaf["path"]] = LeafStats(first)
            stats.first = min(stats.first, first)
            stats.add(leaf["kind"], leaf.get("number"))

    def response(self) -> list[dict[str, Any]]:
        """Return a ScorerStats for each leaf, in the order in which trials and scores have them.

        The path of a value that is a scalar is null.
        """
        in_order = sorted(self._leaves.items(), key=lambda each: each[1].first)
        return [
            {"scorer_key": scorer, "path": path or None, **stats.figures()}
            for (scorer, path), stats in in_order
        ]


@lru_cache(maxsize=1_000)
def _is_in_list(path: str) -> bool:
    """Return whether a path has a position in it; in a key, `[` follows a backslash."""
    return "[" in path.replace("\\\\", "").replace("\\[", "")
