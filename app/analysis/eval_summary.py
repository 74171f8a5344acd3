"""The summary of evaluation results: statistics of the scores of each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.analysis.eval_reading import Source
from app.analysis.eval_trials import Row, Trial
from app.analysis.scorer_stats import ScorerStats
from app.stores.model import EvaluationRun


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
