"""Comparisons: whether a run is better than its baseline, metric by metric."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from app.analysis.pairs import (
    KIND_TYPES,
    MIN_PAIRS,
    UNCOMPARED,
    Metric,
    Pairs,
    RunScores,
    read_examples,
    read_run,
)
from app.analysis.statistics.significance import Difference, holm, sign_test
from app.analysis.summaries import ScoreGroup
from app.errors import InvalidParameter, NotFound
from app.leaves import refuse_unknown_name
from app.scorers import scorer_name
from app.services.lists import ClientCheck, no_client_check
from app.stores.base import ScoreQuery, Store

MAX_SCORES = 1_000_000
MAX_VALUES = 5_000_000
"""Limits of one comparison, over all its runs, which are held in memory."""

ALPHA = 0.05

VERDICTS = ("worse", "better", "no difference shown", "not enough data", None)
"""The verdicts in the order in which comparisons are sorted; None is the verdict for texts."""


def compare_runs(
    store: Store,
    entity: str,
    project: str,
    wanted: dict[str, Any],
    check_client: ClientCheck = no_client_check,
) -> dict[str, Any]:
    """Compare each candidate run with the baseline, metric by metric, the worst first.

    `wanted` is a loaded CompareQuery. Raises NotFound if a run has neither scores nor attempts,
    InvalidParameter if there are more than MAX_SCORES scores or MAX_VALUES values, or if no score
    has a leaf that is named, and whatever `check_client` raises.
    """
    scorer = scorer_name(wanted["scorer"]) if wanted["scorer"] else None
    only_current = wanted["repeats"] != "all"
    query = ScoreQuery(entity, project, scorer_name=scorer, only_current=only_current)
    candidates = list(dict.fromkeys(wanted["candidate"]))
    runs: dict[str, RunScores] = {}
    for run_id in dict.fromkeys([wanted["baseline"], *candidates]):
        run_query = replace(query, evaluation_run_id=run_id)
        runs[run_id] = _read(store, run_query, list(runs.values()), check_client)
    wanted = {**wanted, "pair_by": _pair(store, query, runs.values(), wanted, check_client)}
    _check_leaves(runs.values(), wanted)
    baseline = runs[wanted["baseline"]]
    comparisons = []
    for run_id in candidates:
        for metric in _metrics(baseline, runs[run_id], wanted):
            check_client()
            comparisons.append(Comparison(metric, baseline, runs[run_id]))
    _adjust_p_values(comparisons)
    comparisons.sort(key=lambda comparison: VERDICTS.index(comparison.verdict))
    return {
        "baseline": baseline.run_id,
        "pair_by": wanted["pair_by"],
        "repeats": wanted["repeats"],
        "superseded": {run.run_id: run.superseded for run in runs.values()},
        "alpha": ALPHA,
        "correction": "holm",
        "comparisons": [comparison.response(wanted["worst"]) for comparison in comparisons],
    }


def _adjust_p_values(comparisons: Sequence[Comparison]) -> None:
    """Apply Holm's correction, because some of many comparisons show a difference by chance."""
    tested = [
        (comparison, p_value)
        for comparison in comparisons
        if (p_value := comparison.p_value) is not None
    ]
    adjusted = holm([p_value for _, p_value in tested])
    for (comparison, _), p_adjusted in zip(tested, adjusted, strict=True):
        comparison.p_adjusted = p_adjusted


def _pair(
    store: Store,
    query: ScoreQuery,
    runs: Collection[RunScores],
    wanted: dict[str, Any],
    check_client: ClientCheck,
) -> str:
    """Pair the runs by the rule in `wanted`, by default examples if all predictions have one.

    Return the rule.
    """
    pair_by: str | None = wanted["pair_by"]
    examples: dict[str, str] | None = None
    if pair_by in (None, "example"):
        place, whole = (query.entity, query.project), pair_by is None
        examples = read_examples(store, *place, runs, check_client, whole=whole)
    if pair_by is None:
        pair_by = "prediction_id" if examples is None else "example"
    for run in runs:
        run.pair(pair_by, examples or {})
    return pair_by


def _read(
    store: Store,
    query: ScoreQuery,
    others: Sequence[RunScores],
    check_client: ClientCheck,
) -> RunScores:
    """Read a run within the limits, which it shares with the `others`."""
    max_scores = MAX_SCORES - sum(run.num_scores for run in others)
    max_values = MAX_VALUES - sum(run.num_values for run in others)
    run = read_run(store, query, max_scores, max_values, check_client)
    if not run.groups:
        scorer = f" by {query.scorer_name}" if query.scorer_name else ""
        raise NotFound(f"Evaluation run {run.run_id} has no scores{scorer}")
    if run.num_scores > max_scores or run.num_values > max_values:
        limit = f"{MAX_SCORES} scores" if run.num_scores > max_scores else f"{MAX_VALUES} values"
        message = f"the runs have over {limit}: compare fewer runs, or one scorer"
        raise InvalidParameter("candidate", run.run_id, message)
    return run


def _check_leaves(runs: Iterable[RunScores], wanted: dict[str, Any]) -> None:
    """Check that a score has each leaf that is named. Raises InvalidParameter."""
    paths = {path for run in runs for group in run.groups.values() for path in group.leaves}
    named = [("lower_is_better", leaf, leaf) for leaf in wanted["lower_is_better"]]
    rule, _, leaf = wanted["pair_by"].partition(":")
    if rule == "leaf":
        named.append(("pair_by", wanted["pair_by"], leaf))
    for parameter, given, leaf in named:
        if leaf not in paths:
            refuse_unknown_name(parameter, leaf, paths, given)


def _metrics(baseline: RunScores, candidate: RunScores, wanted: dict[str, Any]) -> Iterator[Metric]:
    """Yield the metrics of the two runs, but not the leaf that they are paired by."""
    rule, _, paired_by = wanted["pair_by"].partition(":")
    groups = [*baseline.groups.items(), *candidate.groups.items()]
    keys = {
        (scorer, path, kind)
        for scorer, group in groups
        for path, values in group.leaves.items()
        for kind in values.kinds
        if rule != "leaf" or path != paired_by
    }
    for scorer, path, kind in sorted(keys):
        yield Metric(scorer, path, kind, path in wanted["lower_is_better"])


class Comparison:
    """One metric of a candidate run, compared with the baseline's."""

    def __init__(self, metric: Metric, baseline: RunScores, candidate: RunScores) -> None:
        self.metric = metric
        self.p_adjusted: float | None = None
        self._runs = {"baseline": baseline, "candidate": candidate}
        self._pairs = Pairs(metric, baseline, candidate)
        self._is_text = metric.kind == "text"
        self._note: str | None = None
        self._difference: Difference | None = None
        if not self._is_text:
            self._changes = self._pairs.changes()
            self._difference, self._note = self._pairs.difference(self._changes)

    @property
    def p_value(self) -> float | None:
        """The p-value of the difference; None when no test is possible."""
        return self._difference.p_value if self._difference else None

    @property
    def verdict(self) -> str | None:
        """One of VERDICTS, by the adjusted p-value."""
        if self._is_text:
            return None
        if self.p_adjusted is None or not (self._note or len(self._pairs.compared) >= MIN_PAIRS):
            return "not enough data"
        mean = (self._difference.mean if self._difference else None) or 0.0
        if self.p_adjusted >= ALPHA or not mean:
            return "no difference shown"
        return "better" if (mean > 0) != self.metric.lower_is_better else "worse"

    def response(self, max_regressions: int) -> dict[str, Any]:
        """Return the comparison as a ComparisonRes, with at most this many regressions."""
        counts = self._counts()
        return {
            "candidate": self._runs["candidate"].run_id,
            "scorer": self.metric.scorer,
            "leaf": self.metric.path,
            "kind": self.metric.kind,
            "lower_is_better": self.metric.lower_is_better,
            "verdict": self.verdict,
            "summaries": {name: self._summary(run) for name, run in self._runs.items()},
            "pairs": counts,
            "difference": self._difference_figures(counts),
            "regressions": (
                [] if self._is_text else self._pairs.regressions(self._changes, max_regressions)
            ),
        }

    def _summary(self, run: RunScores) -> dict[str, Any]:
        """Return the figures of this metric in one run."""
        figures = run.groups.get(self.metric.scorer, ScoreGroup()).figures(self.metric.path)
        kinds = {kind: figures.pop(kind, None) for kind in KIND_TYPES}
        return {**figures, self.metric.kind: kinds[self.metric.kind]}

    def _counts(self) -> dict[str, int]:
        """Count the pairs that were won, lost and tied, and the examples not compared."""
        compared = len(self._pairs.compared)
        counts = {"compared": compared}
        if self._is_text:
            changed = self._pairs.num_changed()
            counts |= {"changed": changed, "unchanged": compared - changed}
        else:
            up, down = int((self._changes > 0).sum()), int((self._changes < 0).sum())
            wins, losses = (down, up) if self.metric.lower_is_better else (up, down)
            counts |= {"wins": wins, "losses": losses, "ties": compared - wins - losses}
        for name in UNCOMPARED:
            counts[name] = self._pairs.uncompared[name]
        counts["trials_in_baseline"], counts["trials_in_candidate"] = self._pairs.trials
        return counts

    def _difference_figures(self, counts: dict[str, int]) -> dict[str, Any] | None:
        """Return the difference, its interval and its tests, as a DifferenceRes."""
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
