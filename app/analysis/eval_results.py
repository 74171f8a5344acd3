"""Evaluation results: the predictions of several runs by example, with their current scores."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from app.analysis.eval_filters import (
    Expression,
    Field,
    Values,
    compile_field,
    compile_filter,
    mean_value,
    read_json,
)
from app.analysis.scorer_stats import ScorerStats
from app.errors import InvalidParameter
from app.scorers import scorer_name
from app.services.examples import example_id
from app.services.lists import ClientCheck, no_client_check, walk
from app.stores.base import DocumentQuery, EvaluationRun, Leaves, Prediction, ScoreQuery, Store

LIMITS = {
    "scores": 1_000_000,
    "values": 5_000_000,
    "predictions": 100_000,
    "characters": 32 * 1024 * 1024,
}
"""Limits of one query, over all its runs, which are held in memory.

Characters are those of the inputs, outputs and values that the query needs.
"""

NO_PRICES = "Scoreline does not know prices: every total_cost is null"
_LATE = datetime.max.replace(tzinfo=UTC)


class CurrentScore(NamedTuple):
    """The newest score of a prediction by a scorer and an annotator."""

    score_id: str
    scorer: str
    value_json: str
    leaves: Leaves


@dataclass(slots=True)
class Trial:
    """One prediction of an example in a run; without a stored prediction only its scores."""

    prediction_id: str
    call_id: str
    example_id: str
    number: int | None = None
    started_at: datetime = _LATE
    output_json: str = "null"
    latency: float | None = None
    tokens: int | None = None
    scores: list[CurrentScore] = field(default_factory=list)
    """Oldest first."""

    @property
    def by_scorer(self) -> dict[str, CurrentScore]:
        """The newest score by each scorer, whoever the annotator was."""
        return {score.scorer: score for score in self.scores}


@dataclass(slots=True)
class Row:
    """The trials of one example, by run."""

    example_id: str
    inputs_json: str | None = None
    trials: defaultdict[str, list[Trial]] = field(default_factory=lambda: defaultdict(list))


def query_results(
    store: Store,
    entity: str,
    project: str,
    wanted: dict[str, Any],
    check_client: ClientCheck = no_client_check,
) -> dict[str, Any]:
    """Return the results of evaluation runs by example, with a summary if it is wanted.

    `wanted` is a loaded EvalResultsBody; the answer is for EvalResultsRes. Runs that do not exist
    are left out. Raises InvalidParameter for more than LIMITS and for a filter or sort order that
    cannot be used, and whatever `check_client` raises.
    """
    named = (*(wanted["evaluation_call_ids"] or ()), *(wanted["evaluation_run_ids"] or ()))
    run_ids = list(dict.fromkeys(run_id for run_id in named if run_id))
    view = _View(wanted, run_ids)
    results = _Results(store, entity, project, wanted, check_client)
    for run_id in run_ids:
        results.read(run_id)
    rows = [results.rows[name] for name in sorted(results.rows)]
    found, total = [], 0
    if wanted["include_rows"]:
        selected = view.select(_shared(rows, run_ids, wanted["require_intersection"]), check_client)
        total = len(selected)
        offset, limit = wanted["offset"], wanted["limit"]
        end = None if limit is None else offset + limit
        found = [_row_response(row, run_ids, wanted) for row in selected[offset:end]]
    summary = None
    if wanted["include_summary"]:
        only_shared = wanted["summary_require_intersection"]
        if only_shared is None:
            only_shared = wanted["require_intersection"]
        summary = _summary(_shared(rows, run_ids, only_shared), results.runs)
    warnings = [*view.warnings, *([NO_PRICES] if wanted["include_costs"] else [])]
    return {"rows": found, "total_rows": total, "summary": summary, "warnings": warnings}


def _shared(rows: list[Row], run_ids: Sequence[str], only_shared: bool) -> list[Row]:
    """Return the rows that all runs have, or all rows."""
    return [row for row in rows if not only_shared or all(name in row.trials for name in run_ids)]


# Read


class _Results:
    """Reads runs within LIMITS, and keeps what the query needs of them."""

    def __init__(
        self,
        store: Store,
        entity: str,
        project: str,
        wanted: Mapping[str, Any],
        check_client: ClientCheck,
    ) -> None:
        self.rows: dict[str, Row] = {}
        self.runs: dict[str, EvaluationRun | None] = {}
        """The runs that exist; None for one that only predictions and scores name."""
        self._store = store
        self._place = (entity, project)
        self._check_client = check_client
        self._counts = dict.fromkeys(LIMITS, 0)
        selects = bool(wanted["filters"] or wanted["sort_by"])
        self._keeps_values = wanted["include_rows"]
        self._keeps_inputs = self._keeps_values and (wanted["include_raw_data_rows"] or selects)
        self._keeps_leaves = wanted["include_summary"]

    def read(self, run_id: str) -> None:
        """Add the trials of one run to the rows."""
        run = self._store.find_document(EvaluationRun, *self._place, run_id)
        scores = self._read_scores(run_id)
        trials = list(self._read_trials(run_id, scores))
        if run is None and not trials:
            return
        self.runs[run_id] = run
        for trial in trials:
            self.rows[trial.example_id].trials[run_id].append(trial)
        for name in {trial.example_id for trial in trials}:
            self.rows[name].trials[run_id] = in_order(self.rows[name].trials[run_id])

    def _read_scores(self, run_id: str) -> dict[str, list[CurrentScore]]:
        """Return the current scores of a run by prediction, oldest first."""
        slots: dict[tuple[str, str, str | None], CurrentScore] = {}
        for score in walk(self._store, ScoreQuery(*self._place, evaluation_run_id=run_id)):
            self._check_client()
            value_json = score.value_json if self._keeps_values else "null"
            leaves = score.leaves if self._keeps_leaves else []
            self._count(scores=1, values=len(leaves), characters=len(value_json))
            name = scorer_name(score.scorer)
            slot = (score.prediction_id, name, score.annotator)
            slots.pop(slot, None)  # Ids ascend with created_at, so this one is newer.
            slots[slot] = CurrentScore(score.score_id, name, value_json, leaves)
        found: dict[str, list[CurrentScore]] = {}
        for (prediction_id, *_), each in slots.items():
            found.setdefault(prediction_id, []).append(each)
        return found

    def _read_trials(self, run_id: str, scores: dict[str, list[CurrentScore]]) -> Iterator[Trial]:
        """Yield the predictions of a run, and those that its scores name."""
        query = DocumentQuery(*self._place, filters={"evaluation_run_id": [run_id]})
        for prediction in self._store.read_documents(Prediction, query):
            self._check_client()
            yield self._trial(prediction, scores.pop(prediction.id, []))
        for prediction_id, named in scores.items():
            self._check_client()
            # A score is in the run that it names, whatever the run of its prediction is.
            found = self._store.find_document(Prediction, *self._place, prediction_id)
            if found:
                yield self._trial(found, named)
            else:
                self._count(predictions=1)
                self.rows.setdefault(prediction_id, Row(prediction_id))
                yield Trial(prediction_id, prediction_id, prediction_id, scores=named)

    def _trial(self, prediction: Prediction, scores: list[CurrentScore]) -> Trial:
        name = example_id(prediction)
        row = self.rows.setdefault(name, Row(name))
        output_json = prediction.output_json if self._keeps_values else "null"
        self._count(predictions=1, characters=len(output_json))
        if row.inputs_json is None and self._keeps_inputs:
            row.inputs_json = prediction.inputs_json
            self._count(characters=len(prediction.inputs_json))
        return Trial(
            prediction.id,
            prediction.predict_and_score_call_id,
            name,
            prediction.trial,
            prediction.started_at or prediction.created_at,
            output_json,
            _seconds(prediction),
            total_tokens(read_json(prediction.usage_json)),
            scores,
        )

    def _count(self, **more: int) -> None:
        for name, number in more.items():
            self._counts[name] += number
            if self._counts[name] > LIMITS[name]:
                message = f"the runs have over {LIMITS[name]} {name}: ask for fewer runs"
                raise InvalidParameter("evaluation_run_ids", None, message, place="body")


def in_order(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials of an example by number, which without a given one is the rank in time."""
    ranked = sorted(trials, key=lambda trial: (trial.started_at, trial.prediction_id))
    numbers = [rank if each.number is None else each.number for rank, each in enumerate(ranked)]
    return [ranked[place] for place in sorted(range(len(ranked)), key=numbers.__getitem__)]


def _seconds(prediction: Prediction) -> float | None:
    """Return how long a prediction took, None if that is not known."""
    if prediction.started_at is None or prediction.finished_at is None:
        return None
    return (prediction.finished_at - prediction.started_at).total_seconds()


INPUT_TOKENS = ("input_tokens", "prompt_tokens")
OUTPUT_TOKENS = ("output_tokens", "completion_tokens")


def total_tokens(usage: Any) -> int | None:
    """Return the tokens in a `usage`, or in those of several models by name; None without any.

    They are `total_tokens`, or else the sum of the input (prompt) and output (completion) tokens.
    """
    if not isinstance(usage, dict):
        return None
    total = _first_count(usage, ("total_tokens",))
    if total is not None:
        return total
    parts = [_first_count(usage, names) for names in (INPUT_TOKENS, OUTPUT_TOKENS)]
    if parts == [None, None]:
        parts = [_flat_tokens(each) for each in usage.values()]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _flat_tokens(usage: Any) -> int | None:
    """Return the tokens of one model."""
    if not isinstance(usage, dict) or any(isinstance(each, dict) for each in usage.values()):
        return _first_count(usage, ("total_tokens",)) if isinstance(usage, dict) else None
    return total_tokens(usage)


def _first_count(usage: Mapping[str, Any], names: Iterable[str]) -> int | None:
    return next((usage[name] for name in names if type(usage.get(name)) is int), None)


# Select


@dataclass(frozen=True)
class _Filter:
    """An expression, and the runs that it is about."""

    expression: Expression
    run_ids: Sequence[str]


@dataclass(frozen=True)
class _Sort:
    """A field to sort by, and the runs whose values count."""

    name: str
    value: Field
    run_ids: Sequence[str]
    descending: bool
    by_difference: bool

    def key(self, trials: Mapping[str, list[Values]]) -> float | str | None:
        """Return what a row is sorted by, None if it has no such value."""
        values = [[self.value(each) for each in trials.get(name, ())] for name in self.run_ids]
        if not self.by_difference:
            return mean_value([each for of_run in values for each in of_run])
        means = [mean for mean in map(mean_value, values) if isinstance(mean, float)]
        return max(means) - min(means) if means else None


class _View:
    """The filters and the sort order of a query."""

    def __init__(self, wanted: Mapping[str, Any], run_ids: Sequence[str]) -> None:
        self.warnings: list[str] = []
        self._combine = all if wanted["filter_logic_operator"] == "and" else any
        self._filters = [
            _Filter(compile_filter(each["query"]["$expr"]), _scope("filters", each, run_ids))
            for each in wanted["filters"] or ()
        ]
        self._sorts = [
            _Sort(
                each["field"],
                compile_field("sort_by", each["field"]),
                run_ids if each["mode"] == "difference" else _scope("sort_by", each, run_ids),
                each["direction"] == "desc",
                each["mode"] == "difference",
            )
            for each in wanted["sort_by"] or ()
        ]

    def select(self, rows: list[Row], check_client: ClientCheck) -> list[Row]:
        """Return the rows that pass all filters, in order; those without a value are last."""
        if not self._filters and not self._sorts:
            return rows
        found: list[tuple[Row, list[float | str | None]]] = []
        for row in rows:
            check_client()
            trials = _values(row)
            if all(self._passes(each, trials) for each in self._filters):
                found.append((row, [sort.key(trials) for sort in self._sorts]))
        for place in reversed(range(len(self._sorts))):
            found = self._sorted(found, place)
        return [row for row, _ in found]

    def _passes(self, each: _Filter, trials: Mapping[str, list[Values]]) -> bool:
        """Return whether any trial of any run, or of every run, passes a filter."""
        return self._combine(
            any(each.expression(values) for values in trials.get(name, ())) for name in each.run_ids
        )

    def _sorted(
        self, found: list[tuple[Row, list[float | str | None]]], place: int
    ) -> list[tuple[Row, list[float | str | None]]]:
        sort = self._sorts[place]
        known = [each for each in found if each[1][place] is not None]
        unknown = [each for each in found if each[1][place] is None]
        if found and not known:
            self.warnings.append(f"No row has a value of {sort.name} to sort by")
        # Numbers before texts, which cannot be compared.
        known.sort(
            key=lambda each: (isinstance(each[1][place], str), each[1][place]),
            reverse=sort.descending,
        )
        return known + unknown


def _scope(parameter: str, given: Mapping[str, Any], run_ids: Sequence[str]) -> Sequence[str]:
    """Return the run that a filter or sort order names, or all runs. Raises InvalidParameter."""
    run_id = given["evaluation_call_id"]
    if run_id is None:
        return run_ids
    if run_id not in run_ids:
        message = f"{run_id!r} is not one of the evaluations of this query"
        raise InvalidParameter(parameter, run_id, message, place="body")
    return [run_id]


def _values(row: Row) -> dict[str, list[Values]]:
    """Return the values of each trial of a row, by run."""
    inputs = read_json(row.inputs_json)
    return {
        run_id: [
            {
                "inputs": inputs,
                "outputs": json.loads(trial.output_json),
                "scores": {
                    name: json.loads(score.value_json) for name, score in trial.by_scorer.items()
                },
            }
            for trial in trials
        ]
        for run_id, trials in row.trials.items()
    }


# Responses


def _row_response(row: Row, run_ids: Sequence[str], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row for EvalResultsRes; what was sent as JSON is text."""
    with_ids = wanted["include_predict_and_score_children"]
    return {
        "row_digest": row.example_id,
        "raw_data_row": row.inputs_json or "null",
        "evaluations": [
            {
                "evaluation_call_id": run_id,
                "trials": [_trial_response(trial, with_ids) for trial in row.trials[run_id]],
            }
            for run_id in run_ids
            if run_id in row.trials
        ],
    }


def _trial_response(trial: Trial, with_ids: bool) -> dict[str, Any]:
    scores = trial.by_scorer
    return {
        "predict_and_score_call_id": trial.call_id,
        "predict_call_id": trial.prediction_id if with_ids else None,
        "model_output": trial.output_json,
        "scores": {name: score.value_json for name, score in scores.items()},
        "model_latency_seconds": trial.latency,
        "total_tokens": trial.tokens,
        "total_cost": None,
        "scorer_call_ids": (
            {name: score.score_id for name, score in scores.items()} if with_ids else {}
        ),
        "genai_span_ref": None,
    }


def _summary(rows: list[Row], runs: Mapping[str, EvaluationRun | None]) -> dict[str, Any]:
    """Return an EvalResultsSummary of these rows."""
    return {
        "row_count": len(rows),
        "evaluations": [_run_summary(rows, run_id, run) for run_id, run in runs.items()],
    }


def _run_summary(rows: list[Row], run_id: str, run: EvaluationRun | None) -> dict[str, Any]:
    trials = [trial for row in rows for trial in row.trials.get(run_id, ())]
    stats = ScorerStats()
    for trial in trials:
        for score in trial.scores:
            stats.add(score.scorer, score.leaves)
    tokens = [trial.tokens for trial in trials if trial.tokens is not None]
    return {
        "evaluation_call_id": run_id,
        "trial_count": len(trials),
        "scorer_stats": stats.response(),
        "predict_total_tokens": sum(tokens) if tokens else None,
        "predict_total_cost": None,
        "evaluation_ref": run.evaluation if run else None,
        "model_ref": run.model if run else None,
        "display_name": run.name if run else None,
        "trace_id": run_id,
        "started_at": run.started_at.isoformat() if run else None,
    }
