"""Deletions of runs and predictions: what they cover, and the part of a store's contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from app.errors import BeingDeleted
from app.ids import AFTER_ALL, id_time
from app.stores.model import UNASSIGNED, EvaluationRun, Item, Prediction, Score

LEASE_SECONDS = 5.0
"""For how long a worker that continues a deletion keeps others from doing so."""

MAX_FINISHED = 1_000
"""How many finished deletions of a project are kept, to be listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """The deletion of an evaluation run with the predictions and scores in it.

    It covers what has an id up to `bound`, which was the highest id when the deletion began.
    `runs` (0 or 1), `predictions` and `scores` count what was there, and `cleared` how many of
    these have been removed.
    """

    deletion_id: str
    """A UUIDv7 of the time when the deletion began."""
    entity: str
    project: str
    evaluation_run_id: str
    bound: str
    requested_by: str
    """The id of the API key."""
    runs: int
    predictions: int
    scores: int
    cleared: int = 0
    finished_at: datetime | None = None
    """When nothing was left, in whole milliseconds of UTC."""

    @property
    def requested_at(self) -> datetime:
        """The time in `deletion_id`."""
        return id_time(self.deletion_id)

    @property
    def is_pending(self) -> bool:
        """Whether something may be left to remove."""
        return self.finished_at is None

    @property
    def state(self) -> str:
        """The word for it in responses."""
        return "pending" if self.is_pending else "finished"


@dataclass(frozen=True, slots=True)
class RunExtent:
    """How much is in a run, and the highest id of all that, "" if there is nothing."""

    newest_id: str
    runs: int
    predictions: int
    scores: int

    def is_below(self, before: str) -> bool:
        """Return whether anything is in the run, and all of that has ids below `before`."""
        return "" < self.newest_id < before


@dataclass(frozen=True, slots=True)
class Deleted:
    """How many predictions and scores a call deleted, and whether that is all of them."""

    predictions: int
    scores: int
    is_whole: bool


def deletion_of(
    deletion_id: str, run: tuple[str, str, str], bound: str, requested_by: str, found: RunExtent
) -> Deletion:
    """Return the deletion of a run (entity, project, id) in which this much was found."""
    entity, project, run_id = run
    return Deletion(
        deletion_id=deletion_id,
        entity=entity,
        project=project,
        evaluation_run_id=run_id,
        bound=bound,
        requested_by=requested_by,
        runs=found.runs,
        predictions=found.predictions,
        scores=found.scores,
    )


def finished(deletion: Deletion, moment: datetime) -> Deletion:
    """Return a deletion that is not listed any more as it was: only finished ones are forgotten."""
    total = deletion.runs + deletion.predictions + deletion.scores
    moment = moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)
    return replace(deletion, cleared=total, finished_at=moment)


# What pending deletions mean for a write


def by_project(items: Iterable[Item]) -> dict[tuple[str, str], list[Item]]:
    """Return scores or documents by entity and project."""
    found: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        found.setdefault((item.entity, item.project), []).append(item)
    return found


def check_not_covered(pending: Sequence[Deletion], items: Iterable[Item]) -> None:
    """Raise BeingDeleted if a deletion covers the given id of one of `items`."""
    for item in items:
        if item.sort_id != UNASSIGNED and is_covered(item, pending):
            run_id = run_of(item) or ""
            raise BeingDeleted(f"Evaluation run {run_id[:100]} is being deleted, try again later")


def is_covered(item: Item, pending: Iterable[Deletion]) -> bool:
    """Return whether one of some deletions of its project covers a score or document."""
    run_id = run_of(item)
    return any(each.evaluation_run_id == run_id and item.sort_id <= each.bound for each in pending)


def run_of(item: Item) -> str | None:
    """Return the id of the run that a score, prediction or run belongs to."""
    if isinstance(item, Score | Prediction):
        return item.evaluation_run_id
    return item.id if isinstance(item, EvaluationRun) else None


def names_of(items: Iterable[Item]) -> Mapping[str, list[str]]:
    """Return the given ids and idempotency keys of scores or documents, by the field's name."""
    names: dict[str, dict[str, None]] = {"id": {}, "idempotency_key": {}}
    for item in items:
        if item.id != UNASSIGNED:
            names["id"][item.id] = None
        if item.idempotency_key is not None:
            names["idempotency_key"][item.idempotency_key] = None
    return {name: list(texts) for name, texts in names.items() if texts}


# The contract


class Deletions(Protocol):
    """The methods of a store that delete evaluation runs and predictions with what is in them.

    No other method returns or counts what a pending deletion covers, apart from `read_scores`,
    which the ids are given to, and `extent`.
    """

    def begin_deletions(
        self,
        entity: str,
        project: str,
        run_ids: Sequence[str],
        requested_by: str,
        before: str = AFTER_ALL,
    ) -> list[Deletion]:
        """Hide runs with the predictions and scores in them; return a deletion for each.

        Runs of which nothing is there are left out, and so are those in which something has an id
        that is not below `before`. What is written from now on is not covered:
        new ids are higher, and a write with a lower id raises BeingDeleted until the deletion is
        finished. On MongoDB that holds if the machines' clocks agree within CLOCK_SECONDS, and for
        calls that begin so long after this one.
        """

    def continue_deletion(self, deletion: Deletion, worker: str, limit: int) -> Deletion | None:
        """Remove up to `limit` of what a deletion covers, and return the deletion as it is then.

        Returns None if another worker is at it. Killed at any point, it can be called again. A
        deletion that is forgotten meanwhile is finished.
        """

    def list_deletions(
        self,
        entity: str | None = None,
        project: str | None = None,
        *,
        pending: bool | None = None,
        after: str = "",
        limit: int,
    ) -> list[Deletion]:
        """Return the deletions of one or all projects, pending, finished or both, oldest first."""

    def measure_run(self, entity: str, project: str, run_id: str) -> RunExtent:
        """Return how much is in a run that documents or scores name."""

    def count_unassigned(self, entity: str, project: str, before: str) -> tuple[int, int]:
        """Return how many predictions and scores of no run have an id below `before`."""

    def delete_unassigned(self, entity: str, project: str, before: str, limit: int) -> Deleted:
        """Delete up to `limit` predictions and scores of no run with an id below `before`."""

    def delete_predictions(
        self,
        entity: str,
        project: str,
        predictions: Sequence[tuple[str, str | None]],
        limit: int,
    ) -> Deleted:
        """Delete predictions with their scores in one transaction, but at most `limit` scores.

        A prediction is given by its id and its run, or None for no run. Its scores are those in
        this run and, if the prediction is stored, those in no run. If it has more, it stays until a
        call deletes the last ones.
        """
