"""Find runs, predictions and scores that did not come as calls, and return them as if they had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from app.parts import in_parts
from app.scorers import scorer_name
from app.services.lists import walk
from app.stores.base import DocumentQuery, ScoreQuery, Store
from app.stores.documents import PRIMARY_KEY, decode
from app.stores.model import FROM_CALLS, EvaluationRun, Prediction, Score
from app.stores.weave import Call, Feedback
from app.weave.contents import Place
from app.weave.facts import EVALUATE, op_name_of
from app.weave.run_views import (
    PREDICT,
    PREDICT_AND_SCORE,
    SCORE,
    SUMMARIZE,
    SUMMARY,
    call_of_score,
    calls_of_prediction,
    calls_of_run,
    feedback_of_score,
)

PART = 100
"""How many predictions or scores are held in memory."""

PART_CHARACTERS = 1 << 20

OUTLINE = (
    *("id", "predict_and_score_call_id", "evaluation_run_id", "model", "wb_user_id"),
    *("started_at", "finished_at", "ended_at"),
)
"""The fields of a prediction that its calls are found by."""


class Views:
    """Finds the calls of runs, predictions and scores in one project, and scores as feedback.

    Calls that are `whole` have inputs and outputs. What Weave's SDK has sent itself is left out: a
    call whose id is that of a stored one, and what was made from stored calls.
    """

    def __init__(self, store: Store, place: Place, *, whole: bool) -> None:
        self._store = store
        self._project = (place.entity, place.project)
        self._whole = whole

    # Calls

    def find(self, ids: Iterable[str]) -> Iterator[Call]:
        """Yield the calls with some ids."""
        wanted = set(ids)
        names = sorted(wanted | {each.removesuffix(SUMMARY) for each in wanted})
        found = chain(
            self._runs(names),
            self._predictions(id=names),
            self._predictions(predict_and_score_call_id=names),
            self._calls_of(self._scores(names)),
        )
        own = ([each for each in part if each.id in wanted] for part in found)
        yield from chain.from_iterable(self._distinct(own))

    def select(self, field: str | None, values: Sequence[str]) -> Iterator[list[Call]]:
        """Yield all calls whose field has one of some values, and some others; without one, all.

        The field is one that lists of calls are read by.
        """
        if field == "parent_id":
            yield from self._distinct(self._below(values))
        elif field == "trace_id":
            yield from self._distinct(self._in_traces(values))
        else:
            names = {op_name_of(each) for each in values} if field else None
            yield from self._distinct(self._of_ops(names))

    def _below(self, ids: Sequence[str]) -> Iterator[list[Call]]:
        """Yield calls below some others."""
        yield from self._runs(ids)
        yield from self._predictions(evaluation_run_id=ids)
        yield from self._predictions(predict_and_score_call_id=ids)
        outlines = self._read_outlines(predict_and_score_call_id=ids)
        for part in in_parts(outlines, PART, lambda _: 0, 1):
            found = self._store.list_scores_of(*self._project, [each.id for each in part])
            yield from self._calls_of(self._scores(found))
        for run_id in ids:
            yield from self._calls_of(self._in_run(run_id), set(ids))

    def _in_traces(self, ids: Sequence[str]) -> Iterator[list[Call]]:
        """Yield the calls of some runs, and predictions and scores that belong to none."""
        yield from self._runs(ids)
        yield from self._predictions(evaluation_run_id=ids)
        for run_id in ids:
            yield from self._calls_of(self._in_run(run_id))
        yield from self._predictions(id=ids)
        yield from self._calls_of(self._scores(ids))

    def _of_ops(self, names: set[str] | None) -> Iterator[list[Call]]:
        """Yield the calls of ops, or all calls."""
        if names is None or names & {EVALUATE, SUMMARIZE}:
            yield from self._runs()
        if names is None or any(
            each == PREDICT_AND_SCORE or each.endswith(PREDICT) for each in names
        ):
            yield from self._predictions()
        if names is None:
            yield from self._calls_of(walk(self._store, ScoreQuery(*self._project)))
        elif any(each.endswith(SCORE) for each in names):
            for scorer in self._store.list_scorers(*self._project):
                if f"{scorer_name(scorer.name)}{SCORE}" in names:
                    query = ScoreQuery(*self._project, scorer=scorer.name)
                    yield from self._calls_of(walk(self._store, query))

    def in_order(self, *, newest_first: bool) -> list[Iterator[Call]]:
        """Return all calls without their content, as iterators that are each in order of start."""
        runs = chain.from_iterable(self._runs())
        by_start = sorted(
            (replace(each, start_json=None) for each in runs if each.started_at),
            key=lambda call: (call.started_at, call.id),
            reverse=newest_first,
        )
        scores = walk(self._store, ScoreQuery(*self._project, newest_first=newest_first))
        return [
            iter(by_start),
            self._predictions_in_order(newest_first=newest_first, started=True),
            self._predictions_in_order(newest_first=newest_first, started=False),
            chain.from_iterable(self._calls_of(scores)),
        ]

    def _predictions_in_order(self, *, newest_first: bool, started: bool) -> Iterator[Call]:
        """Yield the calls of the predictions that have a `started_at`, or of the others."""
        pages = self._store.read_by_start(
            *(Prediction, *self._project, (PRIMARY_KEY, *OUTLINE)),
            newest_first=newest_first,
            started=started,
        )
        outlines = map(self._outline, chain.from_iterable(pages))
        yield from chain.from_iterable(self._calls_of_outlines(outlines))

    def _distinct(self, parts: Iterable[Sequence[Call]]) -> Iterator[list[Call]]:
        """Yield calls once each."""
        seen: set[str] = set()
        for part in parts:
            yield [each for each in part if each.id not in seen]
            seen.update(each.id for each in part)

    def _stored(self, ids: Iterable[str]) -> set[str]:
        """Return which of some ids are those of stored calls, whose start has arrived."""
        rows = self._read_fields(Call, ("id", "started_at"), id=sorted(ids))
        return {call_id for call_id, started_at in rows if started_at is not None}

    def _runs(self, ids: Sequence[str] | None = None) -> Iterator[list[Call]]:
        if ids is None:
            found = self._store.read_documents(EvaluationRun, DocumentQuery(*self._project))
        else:
            found = self._store.find_documents(EvaluationRun, *self._project, ids)
        for part in in_parts(found, PART, lambda run: len(run.summary_json or ""), PART_CHARACTERS):
            stored = self._stored(run.id for run in part)
            yield [call for run in part if run.id not in stored for call in calls_of_run(run)]

    # Predictions

    def _predictions(self, **filters: Sequence[str]) -> Iterator[list[Call]]:
        yield from self._calls_of_outlines(self._read_outlines(**filters))

    def _calls_of_outlines(self, outlines: Iterable[Prediction]) -> Iterator[list[Call]]:
        """Yield the calls of predictions, of which only the OUTLINE is known."""
        for some in in_parts(outlines, PART, lambda _: 0, 1):
            stored = self._stored({each.predict_and_score_call_id for each in some})
            new = [each for each in some if each.predict_and_score_call_id not in stored]
            stored = self._stored(each.id for each in new)
            for part in self._as_wanted(new):
                yield [each for each in self._calls_of_predictions(part) if each.id not in stored]

    def _as_wanted(self, outlines: Sequence[Prediction]) -> Iterator[Sequence[Prediction]]:
        """Yield predictions, with all their fields only if calls are to be whole."""
        if not self._whole:
            yield outlines
            return
        ids = [each.id for each in outlines]
        found = self._store.find_documents(Prediction, *self._project, ids)
        yield from in_parts(found, PART, _characters, PART_CHARACTERS)

    def _read_outlines(self, **filters: Sequence[str]) -> Iterator[Prediction]:
        for row in self._read_fields(Prediction, (PRIMARY_KEY, *OUTLINE), **filters):
            yield self._outline(row)

    def _outline(self, row: Sequence[Any]) -> Prediction:
        """Return a prediction with nothing but its OUTLINE."""
        entity, project = self._project
        given = {"entity": entity, "project": project}
        given |= dict.fromkeys(("body_hash", "inputs_json", "output_json"), "")
        return decode(Prediction, dict(zip((PRIMARY_KEY, *OUTLINE), row, strict=True)) | given)

    def _read_fields(
        self, kind: type[Call] | type[Prediction], names: Sequence[str], **filters: Sequence[str]
    ) -> Iterator[Sequence[Any]]:
        """Yield fields of documents."""
        for query in self._queries(**filters):
            for page in self._store.read_fields(kind, query, names):
                yield from (row[1:] for row in page)

    def _queries(self, **filters: Sequence[str]) -> Iterator[DocumentQuery]:
        """Yield queries with PART values of a filter in each."""
        if not filters:
            yield DocumentQuery(*self._project)
        for name, values in filters.items():
            for part in in_parts(values, PART, lambda _: 0, 1):
                yield DocumentQuery(*self._project, filters={name: part})

    def _calls_of_predictions(self, predictions: Sequence[Prediction]) -> Iterator[Call]:
        evaluations: Mapping[str, str] = {}
        scores: Mapping[str, Sequence[Score]] = {}
        if self._whole:
            ids = {each.evaluation_run_id for each in predictions if each.evaluation_run_id}
            runs = self._store.find_documents(EvaluationRun, *self._project, sorted(ids))
            evaluations = {run.id: run.evaluation for run in runs}
            scores = self._current_scores(predictions)
        for each in predictions:
            evaluation = evaluations.get(each.evaluation_run_id or "") or None
            of_each = scores.get(each.id, ())
            yield from calls_of_prediction(each, evaluation, of_each, whole=self._whole)

    def _current_scores(self, predictions: Sequence[Prediction]) -> dict[str, list[Score]]:
        """Return the current scores of predictions in their runs, by prediction."""
        by_run: dict[str, list[str]] = {}
        for each in predictions:
            by_run.setdefault(each.evaluation_run_id or "", []).append(each.id)
        by_run.pop("", None)
        found: dict[str, list[Score]] = {}
        for run_id, ids in by_run.items():
            current = self._store.list_current_scores(*self._project, run_id, ids)
            score_ids = list(chain.from_iterable(current.values()))
            for score in self._store.read_scores(*self._project, score_ids):
                found.setdefault(score.prediction_id, []).append(score)
        return found

    # Scores

    def _scores(self, ids: Sequence[str]) -> Iterator[Score]:
        for part in in_parts(ids, PART, lambda _: 0, 1):
            yield from self._store.read_scores(*self._project, part)

    def _in_run(self, run_id: str) -> Iterator[Score]:
        return walk(self._store, ScoreQuery(*self._project, evaluation_run_id=run_id))

    def _calls_of(
        self, scores: Iterable[Score], parents: set[str] | None = None
    ) -> Iterator[list[Call]]:
        """Yield the calls of scorers, or of those below some `parents`."""
        own = (each for each in scores if not (each.annotator or each.retry_hash == FROM_CALLS))
        for part in in_parts(own, PART, lambda each: len(each.value_json), PART_CHARACTERS):
            ids = sorted({each.prediction_id for each in part})
            known = {each.id: each for each in self._read_outlines(id=ids)}
            stored = self._stored(each.score_id for each in part)
            calls = [
                (score, call_of_score(score, known.get(score.prediction_id), whole=False))
                for score in part
                if score.score_id not in stored
            ]
            wanted = [each for each in calls if parents is None or each[1].parent_id in parents]
            if self._whole:
                yield from self._whole_calls([score for score, _ in wanted], known)
            else:
                yield [call for _, call in wanted]

    def _whole_calls(
        self, scores: Sequence[Score], known: Mapping[str, Prediction]
    ) -> Iterator[list[Call]]:
        """Yield the calls of scores, with inputs and outputs of the `known` predictions."""
        yield [
            call_of_score(each, None, whole=True)
            for each in scores
            if each.prediction_id not in known
        ]
        ids = {each.prediction_id for each in scores} & known.keys()
        for predictions in self._as_wanted([known[each] for each in sorted(ids)]):
            by_id = {each.id: each for each in predictions}
            yield [
                call_of_score(each, by_id[each.prediction_id], whole=True)
                for each in scores
                if each.prediction_id in by_id
            ]

    # Feedback

    def find_feedback(self, ids: Iterable[str]) -> Iterator[Feedback]:
        """Yield the feedback with some ids."""
        yield from self._feedback_of(self._scores(sorted(ids)))

    def feedback_on(self, call_ids: Sequence[str]) -> Iterator[Feedback]:
        """Yield the feedback on some calls."""
        for part in in_parts(call_ids, PART, lambda _: 0, 1):
            found = self._store.list_scores_of(*self._project, part)
            yield from self._feedback_of(self._scores(found))

    def all_feedback(self) -> Iterator[Feedback]:
        """Yield all feedback."""
        yield from self._feedback_of(walk(self._store, ScoreQuery(*self._project)))

    def _feedback_of(self, scores: Iterable[Score]) -> Iterator[Feedback]:
        for score in scores:
            if score.retry_hash != FROM_CALLS:
                yield feedback_of_score(score)


def _characters(prediction: Prediction) -> int:
    return len(prediction.inputs_json) + len(prediction.output_json)
