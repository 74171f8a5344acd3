"""Pairs: match the values of one metric in two runs by example, and average the trials."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from app.analysis.run_scores import RunScores, Scores, ScoreValues, Value
from app.true_when import TrueWhen

Floats = NDArray[np.float64]

KIND_TYPES: dict[str, type] = {"number": float, "boolean": bool, "text": str}

Direction = Literal["higher", "lower"]
"""Which values of a metric are better."""

FAILED = {
    (True, False): "failed_in_baseline",
    (False, True): "failed_in_candidate",
    (True, True): "failed_in_both",
}

UNCOMPARED = (*FAILED.values(), "only_in_baseline", "only_in_candidate")
"""The reasons why an example is not compared."""


@dataclass(frozen=True)
class ComparedMetric:
    """One leaf of one scorer, of one kind, and what is declared of it."""

    scorer: str
    """The scorer's name."""
    path: str
    kind: str
    direction: Direction | None = None
    """None where it is not declared, or declared as none."""
    is_rate: bool = False
    """Whether the values are booleans, all 0 or 1, or such that some are declared to be true."""
    true_when: TrueWhen | None = None
    unit: str = ""
    is_primary: bool = False
    is_mixed: bool = False
    """Whether the leaf has values of other kinds too, which are not compared."""

    def value_in(self, score: ScoreValues) -> Value:
        """Return the value of a score; None when it is null, missing or of another kind."""
        value = score.values.get(self.path)
        if type(value) is not KIND_TYPES[self.kind]:
            return None
        return self._truth_of(value) if self.is_rate else value

    def values_in(self, scores: Sequence[ScoreValues]) -> list[Value]:
        """Return the value of each score, as `value_in` does, in less time."""
        path, kind = self.path, KIND_TYPES[self.kind]
        values = [score.values.get(path) for score in scores]
        if self.is_rate:
            return [self._truth_of(each) if type(each) is kind else None for each in values]
        return [each if type(each) is kind else None for each in values]

    def _truth_of(self, value: Value) -> bool:
        truth = self.true_when.truth_of(value) if self.true_when else None
        return bool(value) if truth is None else truth

    def response(self) -> dict[str, Any]:
        """Return the metric as a MetricOfRuns."""
        return {
            "scorer": self.scorer,
            "leaf": self.path,
            "kind": self.kind,
            "is_rate": self.is_rate,
            "direction": self.direction,
            "unit": self.unit or None,
            "primary": self.is_primary,
        }

    @property
    def is_text(self) -> bool:
        """Whether the values are categories, which have no difference."""
        return self.kind == "text" and not self.is_rate


class Mean(NamedTuple):
    """The mean of the trials of one example: of numbers, or of booleans a rate.

    A single value stays as it is. Several texts are the set of them.
    """

    value: float | bool | str | frozenset[str]
    trials: int
    newest: ScoreValues
    """The newest score with a value."""
    failed: int = 0
    """The trials without a value, which are left out."""

    def filled(self, value: float) -> float:
        """Return the mean of all trials, those without a value taken to have this one."""
        known = float(cast("float", self.value))  # Texts are never filled.
        if not self.failed:
            return known
        n = self.trials + self.failed
        return known * (self.trials / n) + value * (self.failed / n)


def mean_of_trials(metric: ComparedMetric, scores: Sequence[ScoreValues]) -> Mean | None:
    """Return the mean of the predictions' values, None if there are none.

    Several current scores of one prediction, by several annotators, are averaged first.
    """
    newest = scores[0]
    if len(scores) == 1:  # Most examples have one, and this takes half the time.
        only = metric.value_in(newest)
        return None if only is None else Mean(only, 1, newest)
    known: dict[str, list[Any]] = {}
    for score, value in zip(scores, metric.values_in(scores), strict=True):
        if value is not None:
            known.setdefault(score.prediction_id, []).append(value)
            newest = score
    if not known:
        return None
    failed = len({score.prediction_id for score in scores} - known.keys())
    if metric.is_text:
        texts = {text for each in known.values() for text in each}
        shown = texts.pop() if len(texts) == 1 else frozenset(texts)
        return Mean(shown, len(known), newest, failed)
    return Mean(_mean([_mean(each) for each in known.values()]), len(known), newest, failed)


def _mean(values: Sequence[float]) -> float:
    if len(values) == 1:
        return values[0]
    return fsum(value / len(values) for value in values)  # The sum itself may overflow.


class Pairs:
    """The values of one metric in two runs, matched by pairing key."""

    def __init__(self, metric: ComparedMetric, baseline: RunScores, candidate: RunScores) -> None:
        self.metric = metric
        self.matched: list[tuple[Mean | None, Mean | None]] = []
        """The examples of both runs, the baseline's first; None where a run failed."""
        self.alone: tuple[list[Mean], list[Mean]] = ([], [])
        """The values of each run whose example has none in the other."""
        self.uncompared: Counter[str] = Counter()
        """The number of examples that are not compared, by reason."""
        before = _means(metric, baseline.paired.get(metric.scorer, {}))
        after = _means(metric, candidate.paired.get(metric.scorer, {}))
        self.known = (_known(before), _known(after))
        """The examples of each run that have a value."""
        self.sizes = (len(before), len(after))
        """All examples of each run."""
        for key in {**before, **after}:
            self._add(key, before, after)
        self.compared = [
            (one, other) for one, other in self.matched if one is not None and other is not None
        ]
        """The examples that have a value in both runs."""

    def _add(
        self, key: object, before: Mapping[object, Mean | None], after: Mapping[object, Mean | None]
    ) -> None:
        one, other = before.get(key), after.get(key)
        if key in before and key in after:
            self.matched.append((one, other))
        if one is not None and other is not None:
            return
        if one is not None:
            self.alone[0].append(one)
        if other is not None:
            self.alone[1].append(other)
        if key not in after:
            self.uncompared["only_in_baseline"] += 1
        elif key not in before:
            self.uncompared["only_in_candidate"] += 1
        else:
            self.uncompared[FAILED[one is None, other is None]] += 1

    @property
    def trials(self) -> tuple[int, int]:
        """The trials that were averaged in `compared`, those of the baseline first."""
        before = sum(pair[0].trials for pair in self.compared)
        return before, sum(pair[1].trials for pair in self.compared)

    def values(self) -> tuple[Floats, Floats]:
        """Return the values in `compared`, those of the baseline first; not for texts."""
        before, after = (
            np.array([pair[side].value for pair in self.compared], float) for side in (0, 1)
        )
        return before, after

    def filled(self, before: float, after: float) -> tuple[Floats, Floats]:
        """Return the values of all examples of both runs, with values in place of the failures."""
        return (
            np.array([before if one is None else one.filled(before) for one, _ in self.matched]),
            np.array([after if two is None else two.filled(after) for _, two in self.matched]),
        )

    @cached_property
    def has_failed_trials(self) -> bool:
        """Whether a compared example has trials without a value."""
        return any(mean.failed for pair in self.compared for mean in pair)

    @cached_property
    def num_failed_more(self) -> tuple[int, int]:
        """The numbers of examples on which the baseline failed more often, and the candidate.

        With single trials, these are the examples on which only one of them failed.
        """
        shares = [(_failed_part(one), _failed_part(other)) for one, other in self.matched]
        return sum(one > other for one, other in shares), sum(one < other for one, other in shares)

    def known_values(self) -> tuple[Floats, Floats]:
        """Return the values of all examples of each run, paired or not."""
        return _values(self.known)

    def alone_values(self) -> tuple[Floats, Floats]:
        """Return the values of the examples of each run that have none in the other."""
        return _values(self.alone)

    @cached_property
    def has_single_booleans(self) -> bool:
        """Whether all values are booleans, and none is the rate of several trials."""
        return all(isinstance(mean.value, bool) for each in self.known for mean in each)

    def num_changed(self) -> int:
        """Return the number of pairs in `compared` whose values differ."""
        return sum(before.value != after.value for before, after in self.compared)

    @cached_property
    def changes(self) -> Floats:
        """Return the candidate's value less the baseline's, for each pair in `compared`."""
        before, after = self.values()
        with np.errstate(over="ignore", invalid="ignore"):  # An overflow is reported as None.
            changes: Floats = after - before
            return changes

    def num_risen_and_fallen(self) -> tuple[int, int]:
        """Return the number of pairs in `compared` that rose, and of those that fell."""
        changes = self.changes
        return int((changes > 0).sum()), int((changes < 0).sum())

    def largest(self, most: int, sign: int) -> list[dict[str, Any]]:
        """Return at most `most` of the pairs whose change has this sign, the largest first."""
        sizes = sign * self.changes
        positions = np.flatnonzero(sizes > 0)
        found = zip((-sizes[positions]).tolist(), positions.tolist(), strict=True)
        return [self._change(position) for _, position in heapq.nsmallest(most, found)]

    def _change(self, position: int) -> dict[str, Any]:
        before, after = self.compared[position]
        return {
            "prediction_id": before.newest.prediction_id,
            "candidate_prediction_id": after.newest.prediction_id,
            "baseline_score_id": before.newest.score_id,
            "candidate_score_id": after.newest.score_id,
            "baseline_value": self._shown(before),
            "candidate_value": self._shown(after),
            "baseline_trials": before.trials,
            "candidate_trials": after.trials,
        }

    def _shown(self, mean: Mean) -> Any:
        """Return the value of a single trial as it was sent, of several their mean."""
        is_single = self.metric.is_rate and isinstance(mean.value, bool)
        return mean.newest.values[self.metric.path] if is_single else mean.value


def _failed_part(mean: Mean | None) -> float:
    return 1.0 if mean is None else mean.failed / (mean.trials + mean.failed)


def _means(metric: ComparedMetric, scores: Scores) -> dict[object, Mean | None]:
    return {key: mean_of_trials(metric, each) for key, each in scores.items()}


def _values(means: tuple[Sequence[Mean], Sequence[Mean]]) -> tuple[Floats, Floats]:
    before, after = (np.array([mean.value for mean in each], float) for each in means)
    return before, after


def _known(means: Mapping[object, Mean | None]) -> list[Mean]:
    return [mean for mean in means.values() if mean is not None]
