"""Run scores: read the scores of an evaluation run into memory, and group them by example."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from sys import intern
from typing import Any, NamedTuple, cast

from app.analysis.attempts import Attempt, failed_attempts
from app.analysis.prices import Prices
from app.analysis.summaries import ScoreGroup
from app.analysis.usage import LEAVES, read_usage
from app.analysis.usage import SCORER as USAGE
from app.errors import InvalidParameter, NotFound, Repeated
from app.leaves import refuse_unknown_name
from app.services.lists import ClientCheck, no_client_check
from app.stores.base import DocumentQuery, LeafPage, ScoreQuery, Store
from app.stores.model import Leaf, Leaves, Prediction
from app.stores.singles import Singles

MAX_SCORES = 1_000_000
MAX_VALUES = 5_000_000
"""Limits of one comparison, over all its runs, which are held in memory."""

Value = float | bool | str | None

FIELDS = ("scorer_name", "score_id", "prediction_id")


class ScoreValues(NamedTuple):
    """The values of one score, by path; those of a judgement that was not made are empty."""

    score_id: str
    prediction_id: str
    values: dict[str, Value]


PairingKey = Callable[[int, ScoreValues], object]
"""A function that takes a score and its position in the run."""

RunCheck = Callable[["RunScores"], None]
"""A function that checks the client, and the limits, while a run is read."""

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
    _key: PairingKey = field(default=lambda _, score: score.prediction_id, repr=False)

    def add(self, page: LeafPage) -> None:
        """Add a page of scores with FIELDS. Raises StoreDamaged when a leaf is malformed."""
        together: defaultdict[str, list[Leaves]] = defaultdict(list)
        keys = cast(list[tuple[str, str, str]], page.keys)
        for (scorer, score_id, prediction_id), leaves in zip(keys, page.leaves, strict=True):
            together[scorer].append(leaves)
            self.scores[scorer].append(ScoreValues(score_id, prediction_id, _values(leaves)))
        for scorer, some in together.items():
            every = list(chain.from_iterable(some))
            self.groups[scorer].add_counted(len(some), every, [1] * len(every))
            self.num_values += len(every)
        self.num_scores += len(keys)
        self.superseded += page.superseded.total()

    def pair(self, pair_by: str, examples: Mapping[str, str]) -> None:
        """Group the scores by a rule of a CompareQuery; `examples` has ids by prediction id."""
        key = self._key = _pairing_key(pair_by, examples)
        for name, scores in self.scores.items():
            by_key: defaultdict[object, list[ScoreValues]] = defaultdict(list)
            for position, score in enumerate(scores):
                by_key[key(position, score)].append(score)
            self.paired[name] = by_key

    def key_of(self, prediction_id: str) -> object:
        """Return the pairing key of a prediction without a score, once `pair` was called."""
        return self._key(0, ScoreValues("", prediction_id, {}))


def read_runs(
    store: Store,
    query: ScoreQuery,
    scorers: Sequence[str],
    run_ids: Iterable[str],
    check_client: ClientCheck = no_client_check,
    *,
    parameter: str,
    prices: Prices | None = None,
) -> list[RunScores]:
    """Read runs of one project, or of these only the scores by `scorers`, given by name.

    With `prices`, the usage of the predictions is read too.

    Raises InvalidParameter at `parameter` if all runs have more than MAX_SCORES scores or
    MAX_VALUES values, and whatever `check_client` raises.
    """
    runs: list[RunScores] = []
    for run_id in dict.fromkeys(run_ids):
        of_run = store.as_of_now(replace(query, evaluation_run_id=run_id))

        def check(run: RunScores) -> None:
            check_client()
            _check_limits([*runs, run], parameter)

        run = _read_run(store, of_run, scorers, check)
        for attempt in _failed_attempts(store, of_run, scorers, check_client):
            run.groups[attempt.scorer_name].attempted += 1
            run.scores[attempt.scorer_name].append(ScoreValues("", attempt.prediction_id, {}))
        if prices is not None:
            _read_usage(store, of_run, run, prices, check)
        runs.append(run)
    return runs


def check_not_empty(runs: Iterable[RunScores], scorers: Sequence[str]) -> None:
    """Raise NotFound if a run has neither scores nor attempts, of `scorers` if these are given."""
    for run in runs:
        if not run.groups:
            by = f" by {' or '.join(scorers)}" if scorers else ""
            raise NotFound(f"Evaluation run {run.run_id} has no scores{by}")


def _read_run(
    store: Store, query: ScoreQuery, scorers: Sequence[str], check: RunCheck
) -> RunScores:
    """Read the scores of a run; look for superseded ones only if two are of one prediction."""
    if query.only_current:
        with suppress(Repeated):
            every = replace(query, only_current=False)
            return _read_scores(store, every, scorers, check, Singles())
    return _read_scores(store, query, scorers, check)


def _read_scores(
    store: Store,
    query: ScoreQuery,
    scorers: Sequence[str],
    check: RunCheck,
    singles: Singles | None = None,
) -> RunScores:
    """Read the scores of a run. Raises Repeated if `singles` are given, and there are others."""
    run = RunScores(query.evaluation_run_id or "")
    for part in _parts(query, scorers):
        for page in store.read_leaves(part, FIELDS):
            if singles:
                singles.add([[key[place] for key in page.keys] for place in (0, 2)])
            run.add(page)
            try:
                check(run)
            except InvalidParameter:
                if singles:  # There may be too many only because some are superseded.
                    singles.check()
                raise
    if singles:
        singles.check()
    return run


def _parts(query: ScoreQuery, scorers: Sequence[str]) -> list[ScoreQuery]:
    return [replace(query, scorer_name=name) for name in scorers] or [query]


def _failed_attempts(
    store: Store, query: ScoreQuery, scorers: Sequence[str], check_client: ClientCheck
) -> Iterator[Attempt]:
    for part in _parts(query, scorers):
        yield from failed_attempts(store, part, check_client)


def _read_usage(
    store: Store, query: ScoreQuery, run: RunScores, prices: Prices, check: RunCheck
) -> None:
    """Read the usage of the predictions into `run`."""
    place = (query.entity, query.project, run.run_id)
    for page in read_usage(store, *place, prices):
        for prediction_id, leaves in page:
            run.groups[USAGE].add(leaves)
            run.scores[USAGE].append(ScoreValues("", prediction_id, _values(leaves)))
        run.num_values += len(page) * len(LEAVES)
        check(run)


def _check_limits(runs: Sequence[RunScores], parameter: str) -> None:
    for number, most, noun in (
        (sum(each.num_scores for each in runs), MAX_SCORES, "scores"),
        (sum(each.num_values for each in runs), MAX_VALUES, "values"),
    ):
        if number > most:
            message = f"the runs have over {most} {noun}: name fewer runs, or one scorer"
            raise InvalidParameter(parameter, runs[-1].run_id, message)


def _values(leaves: Leaves) -> dict[str, Value]:
    """Return the values by path; all scores share one string per path, to save memory."""
    return {intern(leaf["path"]): value_of(leaf) for leaf in leaves}


def value_of(leaf: Leaf) -> Value:
    """Return the value of a leaf: None for null, and for an integer too large for a double."""
    if leaf["kind"] == "boolean":
        return bool(leaf["number"])
    value: Value = leaf.get("text" if leaf["kind"] == "text" else "number")
    return value


def _pairing_key(pair_by: str, examples: Mapping[str, str]) -> PairingKey:
    """Return the function that gives a score its key."""
    rule, _, argument = pair_by.partition(":")
    keys: dict[str, PairingKey] = {
        "example": lambda _, score: examples.get(score.prediction_id, score.prediction_id),
        "prediction_id": lambda _, score: score.prediction_id,
        "order": lambda position, score: position if score.score_id else score.prediction_id,
        "before": lambda _, score: score.prediction_id.partition(argument)[0],
        "after": lambda _, score: score.prediction_id.rpartition(argument)[2],
        "leaf": lambda _, score: _leaf_key(score, argument),
    }
    return keys[rule]


def _leaf_key(score: ScoreValues, path: str) -> object:
    """Return the type and value at `path`, because True == 1; without a value, an id."""
    value = score.values.get(path)
    return (type(value), score.score_id or score.prediction_id if value is None else value)


# Pairing


def pair_runs(
    store: Store,
    entity: str,
    project: str,
    runs: Sequence[RunScores],
    pair_by: str | None,
    check_client: ClientCheck = no_client_check,
) -> str:
    """Pair runs by a rule of a CompareQuery, by default examples if any prediction has one.

    Return the rule. Raises InvalidParameter if no score has the leaf that it names.
    """
    rule, _, leaf = (pair_by or "").partition(":")
    if rule == "leaf":
        refuse_unknown_leaf(runs, "pair_by", leaf, pair_by)
    examples: dict[str, str] = {}
    if pair_by in (None, "example"):
        examples = read_examples(store, entity, project, runs, check_client)
    if pair_by is None:
        pair_by = "example" if examples else "prediction_id"
    for run in runs:
        run.pair(pair_by, examples)
    return pair_by


def refuse_unknown_leaf(
    runs: Iterable[RunScores], parameter: str, leaf: str, given: str | None = None
) -> None:
    """Raise InvalidParameter unless a score of these runs has the leaf that a parameter names."""
    paths = {path for run in runs for group in run.groups.values() for path in group.leaves}
    if leaf not in paths:
        refuse_unknown_name(parameter, leaf, paths, given)


def read_examples(
    store: Store,
    entity: str,
    project: str,
    runs: Iterable[RunScores],
    check_client: ClientCheck,
) -> dict[str, str]:
    """Return the ids of the examples of all predictions, by the ids of the predictions.

    A prediction without an example is left out. Raises whatever `check_client` raises.
    """
    examples: dict[str, str] = {}
    for run in runs:
        for page in read_predictions(store, entity, project, run, "example_key"):
            check_client()
            examples |= {name: intern(key) for name, key in page if key is not None}
    return examples


def read_predictions(
    store: Store, entity: str, project: str, run: RunScores, *names: str
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield pages of the id and some fields of the predictions of a run, and of its scores'.

    The fields of a prediction that only scores name are None.
    """
    left = {score.prediction_id for scores in run.scores.values() for score in scores}
    query = DocumentQuery(entity, project, filters={"evaluation_run_id": [run.run_id]})
    for page in store.read_fields(Prediction, query, ("id", *names)):
        left.difference_update(row[1] for row in page)
        yield [row[1:] for row in page]
    for found in store.find_documents(Prediction, entity, project, list(left)):
        left.discard(found.id)
        yield [(found.id, *(getattr(found, name) for name in names))]
    yield [(prediction_id, *(None for _ in names)) for prediction_id in left]
