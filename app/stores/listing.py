"""The part of a store's contract that finds runs, predictions, scorers and projects to list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.stores.model import Document

NAMING_PROJECTS = ("calls", "feedback", "object_versions", "contents")
"""What Weave's SDK sends, as far as a project exists by it alone."""


@dataclass(frozen=True, slots=True)
class Named:
    """Something that is listed by the name that others use for it, such as a run in its scores.

    `first_id` is the lowest id (of a document, its `sort_id`) in which the name occurs. It has the
    time since when the name is used, and lists are in its order.
    """

    name: str
    first_id: str


@dataclass(frozen=True, slots=True)
class ListedPrediction:
    """A prediction of a run, stored or only named by scores."""

    prediction_id: str
    first_id: str
    """The `sort_id` of a stored prediction, otherwise the lowest id of its scores in the run."""
    is_stored: bool


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How much belongs to a run."""

    predictions: int
    """Predictions, stored or only named by scores."""
    scorers: dict[str, int]
    """The number of current scores by the name of the scorer."""
    superseded: int


@dataclass(frozen=True, slots=True)
class ProjectCounts:
    """How much a project holds, superseded scores included.

    `waiting_feedback` is to become scores once its calls have arrived.
    """

    runs: int
    """Runs, stored or only named by scores or predictions."""
    predictions: int
    """Stored predictions."""
    scores: int
    waiting_feedback: int = 0


Fields = tuple[Any, ...]
"""Values of some fields of a document."""

START_TIES = {"calls": "id", "predictions": "_id"}
"""By collection, the field that orders documents with the same `started_at`."""


class Listing(Protocol):
    """What a store lists by the indexes alone, newest first.

    Bounds of ids are exclusive, and None is no bound.
    """

    def list_named_runs(
        self, entity: str, project: str, before: str | None, limit: int
    ) -> list[Named]:
        """Return runs that only scores or predictions name, newest first."""

    def find_named_run(self, entity: str, project: str, run_id: str) -> Named | None:
        """Return a run that scores or predictions name, stored or not, or None."""

    def count_run(self, entity: str, project: str, run_id: str) -> RunCounts:
        """Return how much belongs to a run."""

    def list_run_predictions(
        self, entity: str, project: str, run_id: str, before: str | None, limit: int
    ) -> list[ListedPrediction]:
        """Return predictions of a run, newest first."""

    def list_current_scores(
        self, entity: str, project: str, run_id: str, prediction_ids: Sequence[str]
    ) -> dict[str, list[str]]:
        """Return the ids of the current scores in a run of some predictions, by prediction.

        They are in the order of the names of their scorers and of annotators.
        """

    def list_scores_of(self, entity: str, project: str, prediction_ids: Sequence[str]) -> list[str]:
        """Return the ids of all scores of some predictions, in any run, in order."""

    def find_judged(
        self,
        entity: str,
        project: str,
        run_id: str,
        scorer_name: str,
        prediction_ids: Sequence[str],
    ) -> set[str]:
        """Return which of some predictions have a score in a run by a scorer of this name."""

    def list_entities(self) -> list[str]:
        """Return the entities of all scores, predictions, runs and what Weave's SDK has sent."""

    def list_projects(self, entity: str) -> list[Named]:
        """Return the projects of an entity, in any order."""

    def count_project(self, entity: str, project: str) -> ProjectCounts:
        """Return how much a project holds."""

    def list_scorers(self, entity: str, project: str) -> list[Named]:
        """Return the references of the scorers of a project, in any order."""

    def list_op_names(self, entity: str, project: str) -> list[str]:
        """Return the distinct `op_name` of the calls of a project, in any order."""

    def read_by_start(
        self,
        kind: type[Document],
        entity: str,
        project: str,
        names: Sequence[str],
        *,
        newest_first: bool,
        started: bool = True,
    ) -> Iterator[list[Fields]]:
        """Yield pages of some fields of calls or predictions, in the order in which they began.

        The order is that of `started_at`, then of the id of calls or the `sort_id` of predictions.
        Those without `started_at` are left out; without `started`, they alone are read, in the
        order of their `sort_id`.
        """
