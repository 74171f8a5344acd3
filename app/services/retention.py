"""Delete what is older than a retention period: runs by their last activity, and the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from app.ids import first_id_at, new_id, utc_text
from app.services.audit import audited
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
    kept_archived: int = 0
    """How many archived runs are as old, but were kept."""

    def add(self, runs: int, predictions: int, scores: int) -> None:
        """Add what a run holds, or what has no run."""
        self.runs += runs
        self.predictions += predictions
        self.scores += scores


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
    in their ids, and its end. Predictions and scores of no run go by their own times. Archived runs
    are kept unless `archived`.
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
                found.add(1, extent.predictions, extent.scores)
            self.progress(1)
        found.add(0, *self.store.count_unassigned(entity, project, before))
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
                    found.add(1, each.predictions, each.scores)
                self.progress(1)
            is_whole = False
            while not is_whole:
                deleted = self.store.delete_unassigned(entity, project, before, PAGE)
                found.add(0, deleted.predictions, deleted.scores)
                is_whole = deleted.is_whole
            results.update(asdict(found))
        return found

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
