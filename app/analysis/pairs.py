"""Pairs: read two evaluation runs and match their predictions, to compare them value by value."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.analysis.statistics import significance
from app.analysis.statistics.significance import Difference
from app.analysis.summaries import ScoreGroup
from app.services.lists import ClientCheck, no_client_check
from app.stores.base import Leaf, Leaves, ScoreQuery, Store

Value = float | bool | str | None

KIND_TYPES: dict[str, type] = {"number": float, "boolean": bool, "text": str}

MIN_PAIRS = 6
"""With fewer pairs, no exact sign test can show a difference at the level of 5 %."""

MIN_PAIRED_PART = 0.1
"""Pairs are also too few below this part of the smaller run's values."""

FAILED = {
    (True, False): "failed_in_baseline",
    (False, True): "failed_in_candidate",
    (True, True): "failed_in_both",
}

UNCOMPARED = (*FAILED.values(), "only_in_baseline", "only_in_candidate")
"""The reasons why a prediction is not compared."""


class ScoreValues(NamedTuple):
    """The values of one score, by path."""

    score_id: str
    prediction_id: str
    values: dict[str, Value]


@dataclass
class RunScores:
    """The scores of one evaluation run."""

    run_id: str
    num_scores: int = 0
    num_values: int = 0
    groups: defaultdict[str, ScoreGroup] = field(default_factory=lambda: defaultdict(ScoreGroup))
    """All scores, by scorer."""
    newest: defaultdict[str, dict[object, ScoreValues]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """The newest score of each prediction, by scorer and pairing key."""
    repeated: Counter[str] = field(default_factory=Counter)
    """By scorer, the number of scores that a newer score of the same prediction replaces."""


def read_run(
    store: Store,
    query: ScoreQuery,
    pair_by: str,
    max_scores: int,
    max_values: int,
    check_client: ClientCheck = no_client_check,
) -> RunScores:
    """Read the scores of the evaluation run in `query`; stop once a maximum is exceeded.

    `pair_by` is the rule of a CompareQuery. Raises whatever `check_client` raises.
    """
    run = RunScores(query.evaluation_run_id or "")
    pairing_key = _pairing_key(pair_by)
    for keys, page, _ in store.read_leaves(query, ("scorer", "score_id", "prediction_id")):
        check_client()
        for key, leaves in zip(keys, page, strict=True):
            scorer, score_id, prediction_id = (part or "" for part in key)
            group = run.groups[scorer]
            score = ScoreValues(score_id, prediction_id, _values(leaves))
            paired_by = pairing_key(group.attempted, score)
            run.repeated[scorer] += paired_by in run.newest[scorer]
            run.newest[scorer][paired_by] = score
            group.add(leaves)
        run.num_scores += len(keys)
        run.num_values += sum(map(len, page))
        if run.num_scores > max_scores or run.num_values > max_values:
            break
    return run


def _values(leaves: Leaves) -> dict[str, Value]:
    """Return the values by path; all scores share one string per path, to save memory."""
    return {intern(leaf["path"]): _value(leaf) for leaf in leaves}


def _value(leaf: Leaf) -> Value:
    """Return the value of a leaf: None for null, and for an integer too large for a double."""
    if leaf["kind"] == "boolean":
        return bool(leaf["number"])
    value: Value = leaf.get("text" if leaf["kind"] == "text" else "number")
    return value


def _pairing_key(pair_by: str) -> Callable[[int, ScoreValues], object]:
    """Return a function that takes a score and its position in the run and returns its key."""
    rule, _, argument = pair_by.partition(":")

    def key(position: int, score: ScoreValues) -> object:
        if rule == "order":
            return position
        if rule == "before":
            return score.prediction_id.partition(argument)[0]
        if rule == "after":
            return score.prediction_id.rpartition(argument)[2]
        return _leaf_key(score, argument) if rule == "leaf" else score.prediction_id

    return key


def _leaf_key(score: ScoreValues, path: str) -> object:
    """Return the type and value at `path`, because True == 1; without a value, the score's id."""
    value = score.values.get(path)
    return (type(value), score.score_id if value is None else value)


@dataclass(frozen=True)
class Metric:
    """One leaf of one scorer, of one kind, and its direction."""

    scorer: str
    path: str
    kind: str
    lower_is_better: bool

    def value_in(self, score: ScoreValues) -> Value:
        """Return the value of a score; None when it is null, missing or of another kind."""
        value = score.values.get(self.path)
        return value if type(value) is KIND_TYPES[self.kind] else None


class Pairs:
    """The scores of one metric in two runs, matched by pairing key."""

    def __init__(self, metric: Metric, baseline: RunScores, candidate: RunScores) -> None:
        self.metric = metric
        self.compared: list[tuple[ScoreValues, ScoreValues]] = []
        """The pairs in which both scores have a value, the baseline's first."""
        self.uncompared: Counter[str] = Counter()
        """The number of other predictions, by reason."""
        self._baseline = baseline.newest.get(metric.scorer, {})
        self._candidate = candidate.newest.get(metric.scorer, {})
        for key, score in self._baseline.items():
            self._add(score, self._candidate.get(key))
        only = len(self._candidate.keys() - self._baseline.keys())
        self.uncompared["only_in_candidate"] = only

    def _add(self, before: ScoreValues, after: ScoreValues | None) -> None:
        if after is None:
            self.uncompared["only_in_baseline"] += 1
            return
        failed = (self.metric.value_in(before) is None, self.metric.value_in(after) is None)
        if failed in FAILED:
            self.uncompared[FAILED[failed]] += 1
        else:
            self.compared.append((before, after))

    def changes(self) -> NDArray[np.float64]:
        """Return the candidate's value less the baseline's, for each pair in `compared`."""
        before, after = (
            np.array([self.metric.value_in(pair[side]) for pair in self.compared], dtype=float)
            for side in (0, 1)
        )
        with np.errstate(over="ignore"):  # An overflow is reported as None later.
            changes: NDArray[np.float64] = after - before
            return changes

    def num_changed(self) -> int:
        """Return the number of pairs in `compared` whose values differ."""
        value = self.metric.value_in
        return sum(value(before) != value(after) for before, after in self.compared)

    def difference(self, changes: NDArray[np.float64]) -> tuple[Difference | None, str | None]:
        """Return the difference between the runs, and a note when it was not tested by pairs.

        The difference is None when there are no values to compare.
        """
        before, after = self._sample(self._baseline), self._sample(self._candidate)
        smaller, n = min(len(before), len(after)), len(changes)
        if smaller >= MIN_PAIRS and (n < MIN_PAIRS or n < MIN_PAIRED_PART * smaller):
            note = f"too few pairs ({n}): compared as two samples"
            return _difference_of_samples(self.metric.kind, before, after), note
        if not n:
            return None, None
        if self.metric.kind == "boolean":
            wins, losses = int((changes > 0).sum()), int((changes < 0).sum())
            return significance.of_paired_booleans(n, wins, losses), None
        return significance.of_pairs(changes), None

    def _sample(self, scores: Mapping[object, ScoreValues]) -> NDArray[np.float64]:
        values = map(self.metric.value_in, scores.values())
        return np.array([value for value in values if value is not None], dtype=float)

    def regressions(self, changes: NDArray[np.float64], most: int) -> list[dict[str, Any]]:
        """Return at most `most` of the pairs that got worse, the worst first."""
        sign = -1 if self.metric.lower_is_better else 1
        worse = (
            (sign * change, position)
            for position, change in enumerate(changes)
            if sign * change < 0
        )
        return [self._regression(position) for _, position in heapq.nsmallest(most, worse)]

    def _regression(self, position: int) -> dict[str, Any]:
        before, after = self.compared[position]
        return {
            "prediction_id": before.prediction_id,
            "candidate_prediction_id": after.prediction_id,
            "baseline_score_id": before.score_id,
            "candidate_score_id": after.score_id,
            "baseline_value": self.metric.value_in(before),
            "candidate_value": self.metric.value_in(after),
        }


def _difference_of_samples(
    kind: str, before: NDArray[np.float64], after: NDArray[np.float64]
) -> Difference:
    if kind == "boolean":
        baseline, candidate = ((int(each.sum()), len(each)) for each in (before, after))
        return significance.of_rates(baseline, candidate)
    return significance.of_samples(before, after)
