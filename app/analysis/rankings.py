"""Rankings: several runs in order, metric by metric, with the ranks that each of them may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from app.analysis.comparisons import (
    Comparison,
    adjust_p_values,
    read_compared,
)
from app.analysis.metrics import metrics_of
from app.analysis.pairs import ComparedMetric
from app.analysis.prices import NO_PRICES, Prices
from app.analysis.run_figures import mean_and_interval
from app.analysis.run_scores import RunScores
from app.analysis.statistics.ranking import is_order_shown, rank_ranges
from app.analysis.statistics.significance import ALPHA
from app.analysis.summaries import ScoreGroup
from app.analysis.verdicts import name_of
from app.errors import InvalidParameter
from app.services.lists import ClientCheck, no_client_check
from app.services.run_references import RunFinder
from app.stores.base import Store

FIRST_IS_BETTER = {"better": False, "higher": False, "worse": True, "lower": True}
"""Whether the first of two runs is the better one, by the verdict of the second."""


def rank_runs(
    store: Store,
    entity: str,
    project: str,
    wanted: dict[str, Any],
    check_client: ClientCheck = no_client_check,
    prices: Prices = NO_PRICES,
) -> dict[str, Any]:
    """Rank several runs, and return a CompareRes with `rankings`.

    `wanted` is a loaded CompareQuery with `run`. All pairs of all metrics are one family of tests.
    Raises what `compare_runs` raises.
    """
    finder = RunFinder(store, entity, project, check_client)
    run_ids = finder.find_all("run", wanted["run"])
    if len(run_ids) < 2:
        message = f"all of these are the same run, {run_ids[0]}: give at least two different runs"
        raise InvalidParameter("run", wanted["run"], message)
    read = read_compared(
        store, entity, project, run_ids, wanted, check_client, prices, parameter="run"
    )
    finder.check_unchanged()
    rankings = []
    for metric in metrics_of(read.runs, read.declared, read.pair_by, wanted["leaf"]):
        if not metric.is_text:
            check_client()
            rankings.append(Ranking(metric, read.runs, wanted))
    adjust_p_values([each for ranking in rankings for each in ranking.comparisons.values()])
    return {
        "pair_by": read.pair_by,
        "repeats": wanted["repeats"],
        "failures": wanted["failures"],
        "superseded": {run.run_id: run.superseded for run in read.runs},
        "alpha": ALPHA,
        "correction": "holm",
        "rankings": [ranking.response() for ranking in rankings],
    }


def _comparison(
    metric: ComparedMetric, one: RunScores, two: RunScores, wanted: dict[str, Any]
) -> Comparison:
    """Compare two runs; of all pairs of runs, the pairs of examples would not fit into memory."""
    comparison = Comparison(metric, one, two, wanted, both_ways=True)
    comparison.forget_pairs()
    return comparison


class Ranking:
    """One metric of several runs."""

    def __init__(
        self, metric: ComparedMetric, runs: Sequence[RunScores], wanted: dict[str, Any]
    ) -> None:
        """Order the runs by their means; those without one come last."""
        self.metric = metric
        self._figures = {run.run_id: _figures(run, metric) for run in runs}
        sign = 1 if metric.direction == "lower" else -1

        def place(run: RunScores) -> tuple[bool, float]:
            mean = self._figures[run.run_id]["mean"]
            return mean is None, 0.0 if mean is None else sign * mean

        self._runs = sorted(runs, key=place)
        self.comparisons = {
            (one, two): _comparison(metric, self._runs[one], self._runs[two], wanted)
            for one, two in combinations(range(len(runs)), 2)
        }
        """By the places of two runs; the first one is the baseline."""

    def response(self) -> dict[str, Any]:
        """Return the ranking as a RankingRes, once the p-values are adjusted."""
        is_better = self._shown()
        ranks = rank_ranges(is_better)
        return {
            **self.metric.response(),
            "reason": self._reason(is_better, ranks),
            "runs": [
                {
                    "run": run.run_id,
                    **self._figures[run.run_id],
                    "best_rank": best,
                    "worst_rank": worst,
                }
                for run, (best, worst) in zip(self._runs, ranks, strict=True)
            ],
            "pairs": [comparison.short_response() for comparison in self.comparisons.values()],
        }

    def _shown(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return which run was shown to be better than which, by their places."""
        shown = np.zeros((len(self._runs), len(self._runs)), bool)
        for (one, two), comparison in self.comparisons.items():
            first = FIRST_IS_BETTER.get(comparison.verdict.word or "")
            if first is not None:
                shown[(one, two) if first else (two, one)] = True
        return shown

    def _reason(
        self, is_better: np.ndarray[Any, np.dtype[np.bool_]], ranks: Sequence[tuple[int, int]]
    ) -> str:
        """Return in one sentence what the order shows."""
        names = [run.run_id for run in self._runs]
        order = f"By {name_of(self.metric)}, {_undeclared(self.metric)}"
        if not is_better.any():
            return f"{order}there is no evidence for the order: no two runs are shown to differ."
        if is_order_shown(is_better, list(range(len(names)))):
            return f"{order}the order {', '.join(names)} is shown."
        unclear = [
            f"{names[one]} and {names[two]}"
            for one, two in pairwise(range(len(names)))
            if not is_better[one, two]
        ]
        best, worst = ranks[0]
        rank = f"rank {best}" if best == worst else f"rank {best} to {worst}"
        return (
            f"{order}{names[0]} comes first ({rank} of {len(names)}); "
            f"there is no evidence for the order of {', nor of '.join(unclear)}."
        )


def _undeclared(metric: ComparedMetric) -> str:
    return "highest first because no direction is declared, " if metric.direction is None else ""


def _figures(run: RunScores, metric: ComparedMetric) -> Mapping[str, Any]:
    counts = run.groups.get(metric.scorer, ScoreGroup()).figures(metric.path)
    mean, interval = mean_and_interval(run, metric)
    return {
        **{name: counts[name] for name in ("attempted", "scored", "coverage")},
        "mean": mean,
        "interval": interval,
    }
