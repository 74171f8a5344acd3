"""Delete what is older than a retention period: runs by their last activity, and the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from app.ids import first_id_at, new_id, utc_text
from app.services.audit import audited
from app.services.call_deletions import (
    count_calls,
    delete_calls,
    delete_loose_feedback,
    read_loose_calls,
    read_loose_feedback,
)
from app.services.clearing import PAGE, clear
from app.stores.base import DocumentQuery, Store
from app.stores.model import ApiKey, EvaluationRun

RUNS = 1_000
"""How many runs that only scores or predictions name are read at a time."""

Progress = Callable[[int], None]
"""A callback that gets the number of runs that were compared with the period."""


@dataclass
class Pruned:
    """How much is older than the period; it was deleted, or only counted."""

    runs: int = 0
    predictions: int = 0
    """Stored predictions, with those of no run."""
    scores: int = 0
    """Scores, with those of no run."""
    calls: int = 0
    """Calls of no run."""
    feedback: int = 0
    """Feedback that is neither about a call nor about anything in a run."""
    kept_archived: int = 0
    """How many archived runs are as old, but were kept."""

    def add(self, other: Pruned) -> None:
        """Add what a run or another project holds, or what has no run."""
        for name, number in vars(other).items():
            setattr(self, name, getattr(self, name) + number)


def projects_of(store: Store) -> list[tuple[str, str]]:
    """Return entity and project of all that a store holds."""
    return [
        (entity, project.name)
        for entity in store.list_entities()
        for project in store.list_projects(entity)
    ]


@dataclass(frozen=True)
class Retention:
    """Counts and deletes what is older than `moment` in a store.

    A run is as old as its last activity: the newest of it, its predictions and scores, by the times
    in their ids, and its end. Predictions, scores, calls and feedback of no run go by their own
    times; a call below another one goes with it or later. Archived runs are kept unless `archived`.
    """

    store: Store
    moment: datetime
    archived: bool
    progress: Progress

    def count(self, entity: str, project: str) -> Pruned:
        """Return how much of a project `prune` would delete."""
        found, before = Pruned(), first_id_at(self.moment)
        for run_id in self._old_runs(entity, project, found):
            extent = self.store.measure_run(entity, project, run_id)
            if extent.is_below(before):
                found.add(Pruned(1, extent.predictions, extent.scores))
            self.progress(1)
        for call_ids in read_loose_calls(self.store, entity, project, before):
            found.calls += count_calls(self.store, entity, project, call_ids, before)
        for feedback in read_loose_feedback(self.store, entity, project, before):
            found.feedback += len(feedback)
        found.add(Pruned(0, *self.store.count_unassigned(entity, project, before)))
        return found

    def prune(self, entity: str, project: str, caller: ApiKey) -> Pruned:
        """Delete what is old in a project, and return how much that was."""
        found, before, worker = Pruned(), first_id_at(self.moment), new_id()
        target = {"entity": entity, "project": project, "before": utc_text(self.moment)}
        begin = self.store.begin_deletions
        with audited("store.prune", caller, target) as results:
            for run_id in self._old_runs(entity, project, found):
                for each in begin(entity, project, [run_id], caller.key_id, before):
                    clear(self.store, each, math.inf, worker)
                    found.add(Pruned(1, each.predictions, each.scores))
                self.progress(1)
            self._prune_loose_calls(entity, project, found)
            is_whole = False
            while not is_whole:
                deleted = self.store.delete_unassigned(entity, project, before, PAGE)
                found.add(Pruned(0, deleted.predictions, deleted.scores))
                is_whole = deleted.is_whole
            results.update(asdict(found))
        return found

    def _prune_loose_calls(self, entity: str, project: str, found: Pruned) -> None:
        """Delete the old calls and feedback of no run."""
        store, before = self.store, first_id_at(self.moment)
        for call_ids in read_loose_calls(store, entity, project, before):
            found.calls += delete_calls(store, entity, project, call_ids, before=before) or 0
        for feedback in read_loose_feedback(store, entity, project, before):
            found.feedback += delete_loose_feedback(store, entity, project, feedback, before)

    def _old_runs(self, entity: str, project: str, found: Pruned) -> Iterator[str]:
        """Yield the ids of the runs that began and ended before `moment`, if they may go."""
        before, store = first_id_at(self.moment), self.store
        query = DocumentQuery(entity, project, before=before)
        for run in store.read_documents(EvaluationRun, query):
            if run.finished_at is None or run.finished_at < self.moment:
                if self.archived or run.archived_at is None:
                    yield run.id
                elif store.measure_run(entity, project, run.id).is_below(before):
                    found.kept_archived += 1
        bound: str | None = before
        while named := store.list_named_runs(entity, project, bound, RUNS):
            yield from (each.name for each in named)
            bound = named[-1].first_id
