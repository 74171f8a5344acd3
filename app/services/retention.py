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


def count_older(
    store: Store,
    entity: str,
    project: str,
    moment: datetime,
    *,
    archived: bool,
    progress: Progress,
) -> Pruned:
    """Return how much of a project `prune` would delete."""
    found, before = Pruned(), first_id_at(moment)
    for run_id in _old_runs(store, entity, project, moment, found, archived=archived):
        extent = store.measure_run(entity, project, run_id)
        if extent.is_below(before):
            found.add(1, extent.predictions, extent.scores)
        progress(1)
    found.add(0, *store.count_unassigned(entity, project, before))
    return found


def prune(
    store: Store,
    entity: str,
    project: str,
    moment: datetime,
    caller: ApiKey,
    *,
    archived: bool,
    progress: Progress,
) -> Pruned:
    """Delete the runs of a project whose last activity was before `moment`, and what has no run.

    The last activity of a run is the newest of it, its predictions and scores, by the times in
    their ids, and its end. Predictions and scores of no run go by their own times. Archived runs
    are kept unless `archived`.
    """
    found, before, worker = Pruned(), first_id_at(moment), new_id()
    target = {"entity": entity, "project": project, "before": utc_text(moment)}
    with audited("store.prune", caller, target) as results:
        for run_id in _old_runs(store, entity, project, moment, found, archived=archived):
            for each in store.begin_deletions(entity, project, [run_id], caller.key_id, before):
                clear(store, each, math.inf, worker)
                found.add(1, each.predictions, each.scores)
            progress(1)
        is_whole = False
        while not is_whole:
            deleted = store.delete_unassigned(entity, project, before, PAGE)
            found.add(0, deleted.predictions, deleted.scores)
            is_whole = deleted.is_whole
        results.update(asdict(found))
    return found


def _old_runs(
    store: Store, entity: str, project: str, moment: datetime, found: Pruned, *, archived: bool
) -> Iterator[str]:
    """Yield the ids of the runs that began and ended before `moment`, if they may be deleted."""
    before = first_id_at(moment)
    for run in store.read_documents(EvaluationRun, DocumentQuery(entity, project, before=before)):
        if run.finished_at is None or run.finished_at < moment:
            if archived or run.archived_at is None:
                yield run.id
            elif store.measure_run(entity, project, run.id).is_below(before):
                found.kept_archived += 1
    bound: str | None = before
    while named := store.list_named_runs(entity, project, bound, RUNS):
        yield from (each.name for each in named)
        bound = named[-1].first_id
