"""The summary of evaluation results: statistics of each run by scorer and leaf, as Weave's."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from app.analysis.eval_reading import Source
from app.analysis.eval_trials import Row, Trial
from app.stores.model import EvaluationRun, Leaves

VALUE_TYPES = {"boolean": "binary", "number": "continuous", "text": "text"}
"""The type of a leaf's values by their kind; of several, the last one counts."""

_ORDER = list(VALUE_TYPES)


def summarize_rows(
    source: Source, rows: Sequence[Row], runs: Mapping[str, EvaluationRun | None]
) -> dict[str, Any]:
    """Return an EvalResultsSummary of these rows. Raises InvalidParameter."""
    return {
        "row_count": len(rows),
        "evaluations": [_run_summary(source, rows, run_id, run) for run_id, run in runs.items()],
    }


def _run_summary(
    source: Source, rows: Sequence[Row], run_id: str, run: EvaluationRun | None
) -> dict[str, Any]:
    trials = [trial for row in rows for trial in row.trials.get(run_id, ())]
    tokens = [trial.tokens for trial in trials if trial.tokens is not None]
    return {
        "evaluation_call_id": run_id,
        "trial_count": len(trials),
        "scorer_stats": _statistics(source, run_id, trials),
        "predict_total_tokens": sum(tokens) if tokens else None,
        "predict_total_cost": None,
        "evaluation_ref": run.evaluation if run else None,
        "model_ref": run.model if run else None,
        "display_name": run.name if run else None,
        "trace_id": run_id,
        "started_at": run.started_at.isoformat() if run else None,
    }


def _statistics(source: Source, run_id: str, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return the statistics of the scores of these trials, in the order of the trials."""
    places = {trial.prediction_id: place for place, trial in enumerate(trials)}
    stats = ScorerStats()
    for page in source.current_leaves(run_id, ["prediction_id", "scorer_name"]):
        source.counts.add(values=sum(map(len, page.leaves)))
        for key, leaves in zip(page.keys, page.leaves, strict=True):
            prediction_id, scorer = (part or "" for part in key)
            place = places.get(prediction_id)
            if place is not None:
                stats.add(scorer, leaves, place)
    return stats.response()


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
