"""Predictions of two runs in pairs: which won, which failed, and by how much they differ."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.analysis.runs import Judged, Run, Value
from app.analysis.statistics import significance
from app.analysis.statistics.significance import Difference

FEW = 6
"""With fewer pairs no exact sign test can show a difference at the level of 5 %."""

FEW_PART = 0.1
"""Pairs are also few when they are less than this part of the smaller run's values."""

KINDS: dict[str, type] = {"number": float, "boolean": bool, "text": str}

FAILED = {
    (True, False): "failed_in_baseline",
    (False, True): "failed_in_candidate",
    (True, True): "failed_in_both",
}


UNCOMPARED = (*FAILED.values(), "only_in_baseline", "only_in_candidate")
"""What keeps a prediction from being compared."""


@dataclass(frozen=True)
class Leaf:
    """One leaf of one scorer, of one kind, and which way it is better."""

    scorer: str
    path: str
    kind: str
    lower_is_better: bool

    def of(self, score: Judged) -> Value:
        """The score's value here, or None where it is null, missing or of another kind."""
        found = score.values.get(self.path)
        return found if type(found) is KINDS[self.kind] else None


class Pairs:
    """What two runs say of one leaf, prediction by prediction."""

    def __init__(self, leaf: Leaf, baseline: Run, candidate: Run) -> None:
        self.leaf = leaf
        self.compared: list[tuple[Judged, Judged]] = []
        """The pairs of which both have a value."""
        self.uncompared: Counter[str] = Counter()
        """All others, by what keeps them from being compared."""
        self._baseline = baseline.judged.get(leaf.scorer, {})
        self._candidate = candidate.judged.get(leaf.scorer, {})
        for key, score in self._baseline.items():
            self._add(score, self._candidate.get(key))
        only = len(self._candidate.keys() - self._baseline.keys())
        self.uncompared["only_in_candidate"] = only

    def _add(self, one: Judged, other: Judged | None) -> None:
        if other is None:
            self.uncompared["only_in_baseline"] += 1
            return
        failed = (self.leaf.of(one) is None, self.leaf.of(other) is None)
        if failed in FAILED:
            self.uncompared[FAILED[failed]] += 1
        else:
            self.compared.append((one, other))

    def changes(self) -> NDArray[np.float64]:
        """By how much each candidate of `compared` is above its baseline."""
        before, after = (
            np.array([self.leaf.of(pair[side]) for pair in self.compared], dtype=float)
            for side in (0, 1)
        )
        with np.errstate(over="ignore"):  # What is beyond a double is told as None later.
            changes: NDArray[np.float64] = after - before
            return changes

    def num_changed(self) -> int:
        """How many of `compared` are not the same."""
        return sum(self.leaf.of(one) != self.leaf.of(other) for one, other in self.compared)

    def difference(self, changes: NDArray[np.float64]) -> tuple[Difference | None, str | None]:
        """The candidate's mean less the baseline's, and why it is not told by pairs.

        None where there is nothing to tell it by.
        """
        before, after = self._sample(self._baseline), self._sample(self._candidate)
        smaller, n = min(len(before), len(after)), len(changes)
        if smaller >= FEW and (n < FEW or n < FEW_PART * smaller):
            found = _of_samples(self.leaf.kind, before, after)
            return found, f"pairs are few ({n}): compared as two samples"
        if not n:
            return None, None
        if self.leaf.kind == "boolean":
            wins, losses = int((changes > 0).sum()), int((changes < 0).sum())
            return significance.of_paired_booleans(n, wins, losses), None
        return significance.of_pairs(changes), None

    def _sample(self, scores: Mapping[object, Judged]) -> NDArray[np.float64]:
        values = map(self.leaf.of, scores.values())
        return np.array([found for found in values if found is not None], dtype=float)

    def regressions(self, changes: NDArray[np.float64], most: int) -> list[dict[str, Any]]:
        """The pairs that got worse, the worst first."""
        sign = -1 if self.leaf.lower_is_better else 1
        worse = (
            (sign * change, place) for place, change in enumerate(changes) if sign * change < 0
        )
        return [self._regression(place) for _, place in heapq.nsmallest(most, worse)]

    def _regression(self, place: int) -> dict[str, Any]:
        one, other = self.compared[place]
        return {
            "prediction_id": one.prediction_id,
            "candidate_prediction_id": other.prediction_id,
            "baseline_score_id": one.score_id,
            "candidate_score_id": other.score_id,
            "baseline_value": self.leaf.of(one),
            "candidate_value": self.leaf.of(other),
        }


def _of_samples(kind: str, before: NDArray[np.float64], after: NDArray[np.float64]) -> Difference:
    if kind == "boolean":
        baseline, candidate = ((int(each.sum()), len(each)) for each in (before, after))
        return significance.of_rates(baseline, candidate)
    return significance.of_unpaired(before, after)
