"""Comparisons: whether a run is better than its baseline, scorer by scorer and leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from app.analysis.gates import refuse_old_name
from app.analysis.leaf_summaries import Group
from app.analysis.pairs import FEW, KINDS, UNCOMPARED, Leaf, Pairs
from app.analysis.runs import Run, read_run
from app.analysis.statistics.significance import Difference, holm, sign_test
from app.errors import InvalidParameter, NotFound
from app.services.lists import Check, no_check
from app.stores.base import ScoreQuery, Store

MOST_SCORES = 1_000_000
"""How many scores a comparison reads at most: all of them are held."""

MOST_VALUES = 5_000_000
"""How many values, of all leaves of these scores, at most."""

ALPHA = 0.05

VERDICTS = ("worse", "better", "no difference shown", "not enough data", None)
"""In the order that they are answered in; None is what has no better and worse."""


def compare_runs(
    store: Store, entity: str, project: str, wanted: dict[str, Any], check: Check = no_check
) -> dict[str, Any]:
    """Each candidate run beside the baseline, leaf by leaf, the worst first.

    `wanted` is a loaded CompareQuery. Raises NotFound when a run has no scores, InvalidParameter
    when there are over MOST_SCORES or MOST_VALUES, and what `check` raises.
    """
    query = ScoreQuery(entity, project, scorer=wanted["scorer"] or None)
    candidates = list(dict.fromkeys(wanted["candidate"]))
    runs: dict[str, Run] = {}
    for run_id in dict.fromkeys([wanted["baseline"], *candidates]):
        of_run = replace(query, evaluation_run_id=run_id)
        runs[run_id] = _read(store, of_run, wanted["pair_by"], list(runs.values()), check)
    baseline = runs[wanted["baseline"]]
    compared = []
    for run_id in candidates:
        for leaf in _leaves(baseline, runs[run_id], wanted):
            check()
            compared.append(Comparison(leaf, baseline, runs[run_id]))
    _correct(compared)
    compared.sort(key=lambda each: VERDICTS.index(each.verdict))
    return {
        "baseline": baseline.run_id,
        "pair_by": wanted["pair_by"],
        "alpha": ALPHA,
        "correction": "holm",
        "comparisons": [each.answer(wanted["worst"]) for each in compared],
    }


def _correct(compared: Sequence[Comparison]) -> None:
    """Adjust the p-values: many comparisons find a difference by chance sooner than one does."""
    p_values = {place: each.p_value for place, each in enumerate(compared)}
    known = {place: p_value for place, p_value in p_values.items() if p_value is not None}
    for place, p_adjusted in zip(known, holm(list(known.values())), strict=True):
        compared[place].p_adjusted = p_adjusted


def _read(
    store: Store, query: ScoreQuery, pair_by: str, others: Sequence[Run], check: Check
) -> Run:
    """Read a run that is held beside others."""
    most = MOST_SCORES - sum(run.num_scores for run in others)
    most_values = MOST_VALUES - sum(run.num_values for run in others)
    run = read_run(store, query, pair_by, most, most_values, check)
    if not run.num_scores:
        raise NotFound(f"Evaluation run {run.run_id} has no scores")
    if run.num_scores > most or run.num_values > most_values:
        found = f"{MOST_SCORES} scores" if run.num_scores > most else f"{MOST_VALUES} values"
        message = f"the runs have over {found}: compare fewer of them, or one scorer"
        raise InvalidParameter("candidate", run.run_id, message)
    return run


def _leaves(baseline: Run, candidate: Run, wanted: dict[str, Any]) -> Iterator[Leaf]:
    """Every leaf that one of the two runs has, kind by kind, but for what they are paired by."""
    rule, _, paired_by = wanted["pair_by"].partition(":")
    groups = [*baseline.groups.items(), *candidate.groups.items()]
    found = {
        (scorer, path, kind)
        for scorer, group in groups
        for path, summary in group.leaves.items()
        for kind in summary.kinds
        if rule != "leaf" or path != paired_by
    }
    for leaf in wanted["lower_is_better"]:
        if leaf not in (paths := {path for _, path, _ in found}):
            refuse_old_name("lower_is_better", leaf, paths)
            raise InvalidParameter("lower_is_better", leaf, "no score of these runs has this leaf")
    for scorer, path, kind in sorted(found):
        yield Leaf(scorer, path, kind, path in wanted["lower_is_better"])


class Comparison:
    """One leaf of a candidate beside the baseline's."""

    def __init__(self, leaf: Leaf, baseline: Run, candidate: Run) -> None:
        self.leaf = leaf
        self.p_adjusted: float | None = None
        self._runs = {"baseline": baseline, "candidate": candidate}
        self._pairs = Pairs(leaf, baseline, candidate)
        self._is_text = leaf.kind == "text"
        self._note: str | None = None
        self._difference: Difference | None = None
        if not self._is_text:
            self._changes = self._pairs.changes()
            self._difference, self._note = self._pairs.difference(self._changes)

    @property
    def p_value(self) -> float | None:
        """Of the difference; None where nothing can be tested."""
        return self._difference.p_value if self._difference else None

    @property
    def verdict(self) -> str | None:
        """In words, by the adjusted p-value; texts have no better and worse."""
        if self._is_text:
            return None
        if self.p_adjusted is None or not (self._note or len(self._pairs.compared) >= FEW):
            return "not enough data"
        mean = (self._difference.mean if self._difference else None) or 0.0
        if self.p_adjusted >= ALPHA or not mean:
            return "no difference shown"
        return "better" if (mean > 0) != self.leaf.lower_is_better else "worse"

    def answer(self, worst: int) -> dict[str, Any]:
        """All that is said of it, with so many regressions at most."""
        counts = self._counts()
        return {
            "candidate": self._runs["candidate"].run_id,
            "scorer": self.leaf.scorer,
            "leaf": self.leaf.path,
            "kind": self.leaf.kind,
            "lower_is_better": self.leaf.lower_is_better,
            "verdict": self.verdict,
            "summaries": {name: self._summary(run) for name, run in self._runs.items()},
            "pairs": counts,
            "difference": self._told(counts),
            "regressions": [] if self._is_text else self._pairs.regressions(self._changes, worst),
        }

    def _summary(self, run: Run) -> dict[str, Any]:
        """The figures of this leaf and kind in one run."""
        figures = run.groups.get(self.leaf.scorer, Group()).figures(self.leaf.path)
        kinds = {kind: figures.pop(kind, None) for kind in KINDS}
        return {**figures, self.leaf.kind: kinds[self.leaf.kind]}

    def _counts(self) -> dict[str, int]:
        """How many pairs were won, lost and tied, and what became of all the others."""
        compared = len(self._pairs.compared)
        counts = {"compared": compared}
        if self._is_text:
            changed = self._pairs.num_changed()
            counts |= {"changed": changed, "unchanged": compared - changed}
        else:
            up, down = int((self._changes > 0).sum()), int((self._changes < 0).sum())
            wins, losses = (down, up) if self.leaf.lower_is_better else (up, down)
            counts |= {"wins": wins, "losses": losses, "ties": compared - wins - losses}
        for name in UNCOMPARED:
            counts[name] = self._pairs.uncompared[name]
        for name, run in self._runs.items():
            counts[f"repeated_in_{name}"] = run.repeated[self.leaf.scorer]
        return counts

    def _told(self, counts: dict[str, int]) -> dict[str, Any] | None:
        """The difference, its interval and its tests."""
        if not self._difference:
            return None
        return {
            "mean": self._difference.mean,
            "interval": self._difference.interval,
            "method": self._difference.method,
            "paired": self._note is None,
            "note": self._note,
            "p_value": self._difference.p_value,
            "p_adjusted": self.p_adjusted,
            "sign_test_p_value": sign_test(counts["wins"], counts["losses"]),
        }
