"""Pairs: read two evaluation runs and match their predictions, to compare them value by value."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import fsum
from sys import intern
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.analysis.attempts import failed_attempts
from app.analysis.statistics import significance
from app.analysis.statistics.significance import Difference
from app.analysis.summaries import ScoreGroup
from app.services.lists import ClientCheck, no_client_check
from app.stores.base import DocumentQuery, ScoreQuery, Store
from app.stores.model import Leaf, Leaves, Prediction

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

FIELDS = ("scorer_name", "score_id", "prediction_id")

UNCOMPARED = (*FAILED.values(), "only_in_baseline", "only_in_candidate")
"""The reasons why an example is not compared."""


class ScoreValues(NamedTuple):
    """The values of one score, by path; those of a judgement that was not made are empty."""

    score_id: str
    prediction_id: str
    values: dict[str, Value]


Scores = dict[object, list[ScoreValues]]
"""The scores by one scorer, by pairing key; those of one key are trials of an example."""


@dataclass
class RunScores:
    """The scores of one evaluation run, and its attempts without a score."""

    run_id: str
    num_scores: int = 0
    num_values: int = 0
    superseded: int = 0
    """The number of scores that were left out."""
    groups: defaultdict[str, ScoreGroup] = field(default_factory=lambda: defaultdict(ScoreGroup))
    """All scores, by the name of the scorer."""
    scores: defaultdict[str, list[ScoreValues]] = field(default_factory=lambda: defaultdict(list))
    """The same scores, oldest first."""
    paired: dict[str, Scores] = field(default_factory=dict)
    """The same scores by pairing key, once `pair` was called."""

    def pair(self, pair_by: str, examples: Mapping[str, str]) -> None:
        """Group the scores by a rule of a CompareQuery; `examples` has ids by prediction id."""
        key = _pairing_key(pair_by, examples)
        for name, scores in self.scores.items():
            by_key: defaultdict[object, list[ScoreValues]] = defaultdict(list)
            for position, score in enumerate(scores):
                by_key[key(position, score)].append(score)
            self.paired[name] = by_key


def read_run(
    store: Store,
    query: ScoreQuery,
    max_scores: int,
    max_values: int,
    check_client: ClientCheck = no_client_check,
) -> RunScores:
    """Read the scores of the evaluation run in `query`; stop once a maximum is exceeded.

    Raises whatever `check_client` raises.
    """
    run, query = RunScores(query.evaluation_run_id or ""), store.as_of_now(query)
    for keys, page, superseded in store.read_leaves(query, FIELDS):
        check_client()
        for key, leaves in zip(keys, page, strict=True):
            scorer, score_id, prediction_id = (part or "" for part in key)
            run.groups[scorer].add(leaves)
            run.scores[scorer].append(ScoreValues(score_id, prediction_id, _values(leaves)))
        run.num_scores += len(keys)
        run.num_values += sum(map(len, page))
        run.superseded += superseded.total()
        if run.num_scores > max_scores or run.num_values > max_values:
            return run
    for attempt in failed_attempts(store, query, check_client):
        run.groups[attempt.scorer_name].attempted += 1
        run.scores[attempt.scorer_name].append(ScoreValues("", attempt.prediction_id, {}))
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


def _pairing_key(pair_by: str, examples: Mapping[str, str]) -> Callable[[int, ScoreValues], object]:
    """Return a function that takes a score and its position in the run and returns its key."""
    rule, _, argument = pair_by.partition(":")

    def key(position: int, score: ScoreValues) -> object:
        if rule == "example":
            return examples.get(score.prediction_id, score.prediction_id)
        if rule == "order":
            return position if score.score_id else score.prediction_id
        if rule == "before":
            return score.prediction_id.partition(argument)[0]
        if rule == "after":
            return score.prediction_id.rpartition(argument)[2]
        return _leaf_key(score, argument) if rule == "leaf" else score.prediction_id

    return key


def _leaf_key(score: ScoreValues, path: str) -> object:
    """Return the type and value at `path`, because True == 1; without a value, an id."""
    value = score.values.get(path)
    return (type(value), score.score_id or score.prediction_id if value is None else value)


# Examples


def read_examples(
    store: Store,
    entity: str,
    project: str,
    runs: Iterable[RunScores],
    check_client: ClientCheck,
    *,
    whole: bool,
) -> dict[str, str] | None:
    """Return the ids of the examples of all predictions, by the ids of the predictions.

    A prediction without an example is left out; with `whole` the result is None if there is one.
    Raises whatever `check_client` raises.
    """
    examples: dict[str, str] = {}
    for run in runs:
        for prediction_id, key in _example_keys(store, entity, project, run):
            check_client()
            if key is not None:
                examples[prediction_id] = intern(key)
            elif whole:
                return None
    return examples


def _example_keys(
    store: Store, entity: str, project: str, run: RunScores
) -> Iterator[tuple[str, str | None]]:
    """Yield the ids of the predictions of a run and of its scores, and the keys of examples."""
    left = {score.prediction_id for scores in run.scores.values() for score in scores}
    query = DocumentQuery(entity, project, filters={"evaluation_run_id": [run.run_id]})
    for page in store.read_fields(Prediction, query, ("id", "example_key")):
        for _, prediction_id, key in page:
            left.discard(prediction_id)
            yield prediction_id, key
    for found in store.find_documents(Prediction, entity, project, list(left)):
        left.discard(found.id)
        yield found.id, found.example_key
    for prediction_id in left:
        yield prediction_id, None


# Pairs


@dataclass(frozen=True)
class Metric:
    """One leaf of one scorer, of one kind, and its direction; `scorer` is the scorer's name."""

    scorer: str
    path: str
    kind: str
    lower_is_better: bool

    def value_in(self, score: ScoreValues) -> Value:
        """Return the value of a score; None when it is null, missing or of another kind."""
        value = score.values.get(self.path)
        return value if type(value) is KIND_TYPES[self.kind] else None


class Mean(NamedTuple):
    """The mean of the trials of one example: of numbers, or of booleans a rate.

    A single value stays as it is. Several texts are the set of them.
    """

    value: float | bool | str | frozenset[str]
    trials: int
    newest: ScoreValues
    """The newest score with a value."""


def mean_of_trials(metric: Metric, scores: Sequence[ScoreValues]) -> Mean | None:
    """Return the mean of the predictions' values, None without any.

    Several current scores of one prediction, by several annotators, are averaged first.
    """
    newest = scores[0]
    if len(scores) == 1:  # Most examples have one, and this takes half the time.
        only = metric.value_in(newest)
        return None if only is None else Mean(only, 1, newest)
    known: dict[str, list[Any]] = {}
    for score in scores:
        value = metric.value_in(score)
        if value is not None:
            known.setdefault(score.prediction_id, []).append(value)
            newest = score
    if not known:
        return None
    if metric.kind == "text":
        texts = {text for each in known.values() for text in each}
        return Mean(texts.pop() if len(texts) == 1 else frozenset(texts), len(known), newest)
    return Mean(_mean([_mean(each) for each in known.values()]), len(known), newest)


def _mean(values: Sequence[float]) -> float:
    if len(values) == 1:
        return values[0]
    return fsum(value / len(values) for value in values)  # The sum itself may overflow.


class Pairs:
    """The scores of one metric in two runs, matched by pairing key."""

    def __init__(self, metric: Metric, baseline: RunScores, candidate: RunScores) -> None:
        self.metric = metric
        self.compared: list[tuple[Mean, Mean]] = []
        """The examples that have a value in both runs, the baseline's first."""
        self.uncompared: Counter[str] = Counter()
        """The number of other examples, by reason."""
        self._baseline, self._candidate = (
            {key: mean_of_trials(metric, scores) for key, scores in run.items()}
            for run in (
                baseline.paired.get(metric.scorer, {}),
                candidate.paired.get(metric.scorer, {}),
            )
        )
        for key, before in self._baseline.items():
            self._add(key, before)
        only = len(self._candidate.keys() - self._baseline.keys())
        self.uncompared["only_in_candidate"] = only

    def _add(self, key: object, before: Mean | None) -> None:
        if key not in self._candidate:
            self.uncompared["only_in_baseline"] += 1
            return
        after = self._candidate[key]
        if before is not None and after is not None:
            self.compared.append((before, after))
        else:
            self.uncompared[FAILED[before is None, after is None]] += 1

    @property
    def trials(self) -> tuple[int, int]:
        """The trials that were averaged in `compared`, those of the baseline first."""
        before = sum(pair[0].trials for pair in self.compared)
        return before, sum(pair[1].trials for pair in self.compared)

    def changes(self) -> NDArray[np.float64]:
        """Return the candidate's value less the baseline's, for each pair in `compared`."""
        before, after = (
            np.array([pair[side].value for pair in self.compared], dtype=float) for side in (0, 1)
        )
        with np.errstate(over="ignore"):  # An overflow is reported as None later.
            changes: NDArray[np.float64] = after - before
            return changes

    def num_changed(self) -> int:
        """Return the number of pairs in `compared` whose values differ."""
        return sum(before.value != after.value for before, after in self.compared)

    def difference(self, changes: NDArray[np.float64]) -> tuple[Difference | None, str | None]:
        """Return the difference between the runs, and a note when it was not tested by pairs.

        The difference is None when there are no values to compare.
        """
        before, after = _known(self._baseline), _known(self._candidate)
        smaller, n = min(len(before), len(after)), len(changes)
        if smaller >= MIN_PAIRS and (n < MIN_PAIRS or n < MIN_PAIRED_PART * smaller):
            note = f"too few pairs ({n}): compared as two samples"
            return _difference_of_samples(before, after), note
        if not n:
            return None, None
        if _are_booleans(chain.from_iterable(self.compared)):
            wins, losses = int((changes > 0).sum()), int((changes < 0).sum())
            return significance.of_paired_booleans(n, wins, losses), None
        return significance.of_pairs(changes), None

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
            "prediction_id": before.newest.prediction_id,
            "candidate_prediction_id": after.newest.prediction_id,
            "baseline_score_id": before.newest.score_id,
            "candidate_score_id": after.newest.score_id,
            "baseline_value": before.value,
            "candidate_value": after.value,
            "baseline_trials": before.trials,
            "candidate_trials": after.trials,
        }


def _known(means: Mapping[object, Mean | None]) -> list[Mean]:
    return [mean for mean in means.values() if mean is not None]


def _are_booleans(means: Iterable[Mean]) -> bool:
    """Return whether all values are booleans, and none is the rate of several."""
    return all(isinstance(mean.value, bool) for mean in means)


def _difference_of_samples(before: list[Mean], after: list[Mean]) -> Difference:
    """Compare the means of examples that are not paired; rates of booleans are numbers."""
    samples = [np.array([mean.value for mean in each], dtype=float) for each in (before, after)]
    if _are_booleans((*before, *after)):
        baseline, candidate = ((int(each.sum()), len(each)) for each in samples)
        return significance.of_rates(baseline, candidate)
    return significance.of_samples(*samples)
