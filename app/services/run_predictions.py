"""List the predictions of a run, stored or only named by scores, with their current scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from app.ids import id_time
from app.services.examples import example_id, trial_numbers
from app.services.lists import Page
from app.services.runs import check_run
from app.stores.base import Store
from app.stores.listing import ListedPrediction
from app.stores.model import Prediction, Score

MAX_SCORES = 100
"""How many current scores of a prediction are shown."""

TOGETHER = 20
"""How many predictions are held in memory."""


@dataclass(frozen=True)
class RunPrediction:
    """A prediction of a run as it is listed; `document` is None if only scores name it."""

    prediction_id: str
    run_id: str
    created_at: datetime
    document: Prediction | None
    example_id: str | None
    trial: int | None
    scores: list[Score]
    num_scores: int


def list_run_predictions(
    store: Store, entity: str, project: str, wanted: Mapping[str, Any]
) -> Page[RunPrediction]:
    """Return a page of the predictions of a run, newest first. Raises NotFound without the run.

    `wanted` is a loaded RunPredictionListQuery.
    """
    run_id, limit = wanted["run"], wanted["limit"]
    found = store.list_run_predictions(entity, project, run_id, wanted["after"], limit + 1)
    if not found:
        check_run(store, entity, project, run_id)
    page = found[:limit]
    more = len(found) > limit
    found_whole = read_listed(store, entity, project, run_id, page)
    return Page(found_whole, page[-1].first_id if more else None)


def read_listed(
    store: Store, entity: str, project: str, run_id: str, listed: Iterable[ListedPrediction]
) -> Iterator[RunPrediction]:
    """Yield the predictions of a run that still exist, reading some at a time."""
    listing = _Listing(store, entity, project, run_id)
    left = iter(listed)
    while some := list(islice(left, TOGETHER)):
        yield from listing.read(some)


class _Listing:
    """Reads the predictions of a page of one run."""

    def __init__(self, store: Store, entity: str, project: str, run_id: str) -> None:
        self._store = store
        self._place = (entity, project)
        self._run_id = run_id

    def read(self, listed: Sequence[ListedPrediction]) -> Iterator[RunPrediction]:
        """Yield some predictions, which are read together."""
        names = [each.prediction_id for each in listed]
        stored = [each.prediction_id for each in listed if each.is_stored]
        found = list(self._store.find_documents(Prediction, *self._place, stored))
        documents = {each.id: each for each in found}
        trials = trial_numbers(self._store, *self._place, self._run_id, found)
        score_ids = self._store.list_current_scores(*self._place, self._run_id, names)
        for each in listed:
            document = documents.get(each.prediction_id)
            if each.is_stored and document is None:
                continue
            ids = score_ids.get(each.prediction_id, [])
            yield RunPrediction(
                each.prediction_id,
                self._run_id,
                id_time(each.first_id),
                document,
                example_id(document) if document else None,
                trials.get(each.prediction_id),
                self._read_scores(ids[:MAX_SCORES]),
                len(ids),
            )

    def _read_scores(self, score_ids: Sequence[str]) -> list[Score]:
        """Return the scores in the order of `score_ids`."""
        found = {each.score_id: each for each in self._store.read_scores(*self._place, score_ids)}
        return [found[score_id] for score_id in score_ids if score_id in found]
