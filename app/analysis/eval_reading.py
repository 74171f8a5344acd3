"""Read the trials of evaluation runs, and of their content only what a query needs of all."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from app.analysis.eval_selection import Selection
from app.analysis.eval_trials import Row, Trial, in_order
from app.analysis.tokens import total_tokens
from app.errors import InvalidParameter
from app.ids import id_time
from app.services.lists import ClientCheck
from app.stores.base import DocumentQuery, LeafPage, ScoreQuery, Store
from app.stores.documents import encode, time_text
from app.stores.model import EvaluationRun, Prediction

LIMITS = {
    "scores": 1_000_000,
    "values": 5_000_000,
    "predictions": 100_000,
    "characters": 32 * 1024 * 1024,
}
"""Limits of one query, over all its runs.

Characters are those of the values of scores that are filtered or sorted by, of the texts that are
sorted by, and of the inputs, outputs and values that are returned.
"""

FOUND_TOGETHER = 1_000
"""How many predictions are looked up by their ids at a time."""


class Counts:
    """Counts what is read, up to LIMITS."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(LIMITS, 0)

    def add(self, **more: int) -> None:
        """Count more. Raises InvalidParameter above a limit."""
        for name, number in more.items():
            self._counts[name] += number
            if self._counts[name] > LIMITS[name]:
                message = f"the runs have over {LIMITS[name]} {name}: ask for fewer runs"
                raise InvalidParameter("evaluation_run_ids", None, message, place="body")


@dataclass
class Source:
    """The project that a query reads, and what is checked while it does."""

    store: Store
    entity: str
    project: str
    check_client: ClientCheck
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        """Fix which scores are read, because they are read twice."""
        query = ScoreQuery(self.entity, self.project, only_current=True)
        self._scores = self.store.as_of_now(query)

    def current_leaves(self, run_id: str, fields: Sequence[str]) -> Iterator[LeafPage]:
        """Yield pages of `fields` and leaves of the current scores of a run, oldest first."""
        query = replace(self._scores, evaluation_run_id=run_id)
        for page in self.store.read_leaves(query, fields):
            self.check_client()
            yield page


@dataclass
class _Judged:
    """The current scores of one prediction in a run: ids, and values if they are needed."""

    ids: dict[str, str] = field(default_factory=dict)
    """By the name of the scorer; of several annotators' scores the newest, which is read last."""
    values: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, score_id: str, *values: str) -> None:
        """Add the next score, with its value as JSON text if that was read."""
        self.ids[name] = score_id
        for value in values:
            self.values[name] = value


NOT_JUDGED = _Judged()


class RunReader:
    """Reads runs: `rows` has their trials by example, `runs` those that exist."""

    def __init__(self, source: Source, selection: Selection | None, *, with_tokens: bool) -> None:
        """Note in each trial what `selection` needs, and with `with_tokens` its tokens."""
        self.rows: dict[str, Row] = {}
        self.runs: dict[str, EvaluationRun | None] = {}
        """None for a run that only predictions and scores name."""
        self._source = source
        self._selection = selection
        self._prefixes = selection.prefixes if selection else frozenset()
        self._fields = ["sort_id", "id", "example_key", "trial", "started_at"]
        self._fields += ["inputs_json"] if "inputs" in self._prefixes else []
        self._fields += ["output_json"] if "outputs" in self._prefixes else []
        self._fields += ["usage_json"] if with_tokens else []

    def read(self, run_id: str) -> None:
        """Add the trials of one run to the rows."""
        source = self._source
        run = source.store.find_document(EvaluationRun, source.entity, source.project, run_id)
        judged = self._read_scores(run_id)
        trials = [*self._stored(run_id, judged), *self._named(judged)]
        if run is None and not trials:
            return
        self.runs[run_id] = run
        for trial in trials:
            self.rows[trial.example_id].trials.setdefault(run_id, []).append(trial)
        for name in {trial.example_id for trial in trials}:
            self.rows[name].trials[run_id] = in_order(self.rows[name].trials[run_id])

    def _read_scores(self, run_id: str) -> dict[str, _Judged]:
        """Return the current scores of a run by prediction."""
        fields = ["prediction_id", "scorer_name", "score_id"]
        fields += ["value_json"] if "scores" in self._prefixes else []
        judged: defaultdict[str, _Judged] = defaultdict(_Judged)
        for page in self._source.current_leaves(run_id, fields):
            self._source.counts.add(scores=len(page.keys))
            for key in page.keys:
                prediction_id, name, score_id, *values = (part or "" for part in key)
                judged[prediction_id].add(sys.intern(name), score_id, *values)
                self._source.counts.add(characters=sum(map(len, values)))
        return judged

    def _stored(self, run_id: str, judged: dict[str, _Judged]) -> Iterator[Trial]:
        """Yield the stored predictions of a run, and take their scores out of `judged`."""
        source = self._source
        filters = {"evaluation_run_id": [run_id]}
        query = DocumentQuery(source.entity, source.project, filters=filters)
        for rows in source.store.read_fields(Prediction, query, self._fields[1:]):
            source.check_client()
            source.counts.add(predictions=len(rows))
            for row in rows:
                content = dict(zip(self._fields, row, strict=True))
                yield self._trial(content, judged.pop(content["id"], NOT_JUDGED))

    def _named(self, judged: dict[str, _Judged]) -> Iterator[Trial]:
        """Yield the predictions that only scores of the run name, whatever run they are of."""
        source, named = self._source, iter(list(judged))
        source.counts.add(predictions=len(judged))
        while part := list(islice(named, FOUND_TOGETHER)):
            source.check_client()
            place = (source.entity, source.project)
            for prediction in source.store.find_documents(Prediction, *place, part):
                content = {**encode(prediction), "sort_id": prediction.sort_id}
                yield self._trial(content, judged.pop(prediction.id))
        for prediction_id, scores in judged.items():
            yield self._trial({"id": prediction_id}, scores)

    def _trial(self, content: Mapping[str, Any], judged: _Judged) -> Trial:
        """Return the trial of a prediction with these fields, of one that is not stored its id."""
        prediction_id, is_stored = content["id"], "sort_id" in content
        trial = Trial(prediction_id, prediction_id, is_stored=is_stored, scores=judged.ids)
        if is_stored:
            trial.example_id = content["example_key"] or prediction_id
            trial.number = content["trial"]
            trial.started_at = content["started_at"] or time_text(id_time(content["sort_id"]))
            trial.tokens = total_tokens(_value(content.get("usage_json")))
        row = self.rows.setdefault(trial.example_id, Row(trial.example_id))
        if is_stored and row.shown_by is None:
            row.shown_by = prediction_id
        if self._selection:
            self._note(self._selection, trial, content, judged)
        return trial

    def _note(
        self, selection: Selection, trial: Trial, content: Mapping[str, Any], judged: _Judged
    ) -> None:
        """Note in a trial what the selection needs."""
        parts = {"inputs": "inputs_json", "outputs": "output_json"}
        values: dict[str, Any] = {
            prefix: _value(content.get(name))
            for prefix, name in parts.items()
            if prefix in self._prefixes
        }
        values["row_digest"] = trial.example_id
        values["scores"] = {name: json.loads(text) for name, text in judged.values.items()}
        selection.note(trial, values)
        texts = [value for value in trial.sorted_by if isinstance(value, str)]
        self._source.counts.add(characters=sum(map(len, texts)))


def _value(text: str | None) -> Any:
    """Return the value of a JSON text; None without one."""
    return None if text is None else json.loads(text)
