"""One evaluation run as it is compared: its scores by scorer, each under what it is paired by."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple

from app.analysis.leaf_summaries import Group
from app.services.lists import Check, no_check
from app.stores.base import Leaf, Leaves, ScoreQuery, Store

Value = float | bool | str | None


class Judged(NamedTuple):
    """One score of a run, its values by their paths."""

    score_id: str
    prediction_id: str
    values: dict[str, Value]


@dataclass
class Run:
    """The scores of one run."""

    run_id: str
    num_scores: int = 0
    num_values: int = 0
    groups: defaultdict[str, Group] = field(default_factory=lambda: defaultdict(Group))
    """All scores of each scorer."""
    judged: defaultdict[str, dict[object, Judged]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    """The newest score of each scorer for each prediction, under what pairs it."""
    repeated: Counter[str] = field(default_factory=Counter)
    """How many scores of each scorer had a newer one for the same prediction."""


def read_run(
    store: Store,
    query: ScoreQuery,
    pair_by: str,
    most_scores: int,
    most_values: int,
    check: Check = no_check,
) -> Run:
    """Read the scores of the run that `query` names, until there are over so many."""
    run = Run(query.evaluation_run_id or "")
    paired = _pairing(pair_by)
    for keys, page in store.read_leaves(query, ("scorer", "score_id", "prediction_id")):
        check()
        for key, leaves in zip(keys, page, strict=True):
            scorer, score_id, prediction_id = (part or "" for part in key)
            group = run.groups[scorer]
            score = Judged(score_id, prediction_id, _values(leaves))
            place = paired(group.attempted, score)
            run.repeated[scorer] += place in run.judged[scorer]
            run.judged[scorer][place] = score
            group.add(leaves)
        run.num_scores += len(keys)
        run.num_values += sum(map(len, page))
        if run.num_scores > most_scores or run.num_values > most_values:
            break
    return run


def _values(leaves: Leaves) -> dict[str, Value]:
    """Values by their paths, which are kept once and not for each score."""
    return {intern(leaf["path"]): value(leaf) for leaf in leaves}


def value(leaf: Leaf) -> Value:
    """The value of a leaf; None for null, and for an integer that no double can hold."""
    if leaf["kind"] == "boolean":
        return bool(leaf["number"])
    name = "text" if leaf["kind"] == "text" else "number"
    found: Value = leaf.get(name)
    return found


def _pairing(pair_by: str) -> Callable[[int, Judged], object]:
    """What pairs a score, of its place in its run and itself; a CompareQuery says by which rule."""
    rule, _, by = pair_by.partition(":")

    def key(place: int, score: Judged) -> object:
        if rule == "order":
            return place
        if rule == "before":
            return score.prediction_id.partition(by)[0]
        if rule == "after":
            return score.prediction_id.rpartition(by)[2]
        return _by_leaf(score, by) if rule == "leaf" else score.prediction_id

    return key


def _by_leaf(score: Judged, path: str) -> object:
    """A leaf's value, `true` apart from 1; a score without one is paired with none."""
    found = score.values.get(path)
    return (type(found), score.score_id if found is None else found)
