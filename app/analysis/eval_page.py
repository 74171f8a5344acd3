"""Read the content of the rows of evaluation results that are returned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.analysis.eval_reading import Source
from app.analysis.eval_trials import Row, Trial
from app.analysis.tokens import total_tokens
from app.services.lists import PAGE
from app.stores.model import Prediction

ROWS_TOGETHER = 500
"""The content of how many rows is read at a time."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a row shows of a stored prediction."""

    call_id: str
    inputs_json: str
    output_json: str
    latency: float | None
    tokens: int | None


def read_page(
    source: Source, rows: Sequence[Row], run_ids: Sequence[str], wanted: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return rows for EvalResultsRes; what was sent as JSON is text. Raises InvalidParameter.

    `wanted` is a loaded EvalResultsBody.
    """
    found = []
    for start in range(0, len(rows), ROWS_TOGETHER):
        source.check_client()
        part = rows[start : start + ROWS_TOGETHER]
        content = _Content(source, part, wanted)
        found += [content.row(row, run_ids) for row in part]
    return found


class _Content:
    """The predictions and the values of scores of some rows."""

    def __init__(self, source: Source, rows: Sequence[Row], wanted: Mapping[str, Any]) -> None:
        self._with_ids = wanted["include_predict_and_score_children"]
        self._with_inputs = wanted["include_raw_data_rows"] or bool(
            wanted["filters"] or wanted["sort_by"]
        )
        place = (source.entity, source.project)
        trials = [each for row in rows for of_run in row.trials.values() for each in of_run]
        stored = [trial.prediction_id for trial in trials if trial.is_stored]
        scores = [score_id for trial in trials for score_id in trial.scores.values()]
        shown_by = {row.shown_by for row in rows if self._with_inputs}
        self._predictions: dict[str, _Shown] = {}
        for prediction in source.store.find_documents(Prediction, *place, stored):
            shown = _shown(prediction, with_inputs=prediction.id in shown_by)
            source.counts.add(characters=len(shown.inputs_json) + len(shown.output_json))
            self._predictions[prediction.id] = shown
        self._values: dict[str, str] = {}
        for start in range(0, len(scores), PAGE):
            for score in source.store.read_scores(*place, scores[start : start + PAGE]):
                source.counts.add(characters=len(score.value_json))
                self._values[score.score_id] = score.value_json

    def row(self, row: Row, run_ids: Sequence[str]) -> dict[str, Any]:
        """Return one row."""
        shown = self._predictions.get(row.shown_by or "")
        return {
            "row_digest": row.example_id,
            "raw_data_row": shown.inputs_json if shown else "null",
            "evaluations": [
                {
                    "evaluation_call_id": run_id,
                    "trials": [self._trial(trial) for trial in row.trials[run_id]],
                }
                for run_id in run_ids
                if run_id in row.trials
            ],
        }

    def _trial(self, trial: Trial) -> dict[str, Any]:
        name = trial.prediction_id
        shown = self._predictions.get(name) or _Shown(name, "null", "null", None, None)
        scores = {name: each for name, each in trial.scores.items() if each in self._values}
        return {
            "predict_and_score_call_id": shown.call_id,
            "predict_call_id": trial.prediction_id if self._with_ids else None,
            "model_output": shown.output_json,
            "scores": {name: self._values[each] for name, each in scores.items()},
            "model_latency_seconds": shown.latency,
            "total_tokens": shown.tokens,
            "total_cost": None,
            "scorer_call_ids": scores if self._with_ids else {},
            "genai_span_ref": None,
        }


def _shown(prediction: Prediction, *, with_inputs: bool) -> _Shown:
    usage = prediction.usage_json
    return _Shown(
        prediction.predict_and_score_call_id,
        prediction.inputs_json if with_inputs else "null",
        prediction.output_json,
        _seconds(prediction),
        total_tokens(json.loads(usage)) if usage else None,
    )


def _seconds(prediction: Prediction) -> float | None:
    """Return how long a prediction took, None if that is not known."""
    if prediction.started_at is None or prediction.finished_at is None:
        return None
    return (prediction.finished_at - prediction.started_at).total_seconds()
