"""Examples and trials: by what predictions of several runs belong together."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence

from app.ids import id_time
from app.stores.base import DocumentQuery, Store
from app.stores.documents import time_text
from app.stores.model import Prediction


def example_id(prediction: Prediction) -> str:
    """Return the id of a prediction's example, which is the same in every run.

    It is the given one, otherwise the digest of the inputs if there are any, otherwise the
    prediction's id.
    """
    return prediction.example_key or prediction.id


def trial_numbers(
    store: Store, entity: str, project: str, run_id: str, predictions: Sequence[Prediction]
) -> dict[str, int]:
    """Return the trials of some predictions of a run, by the ids of the predictions.

    A trial is the given number, otherwise the rank, from 0, among all predictions of the same
    example in the run, in the order of their start (or else their creation) and of their ids.
    """
    keys = sorted({each.example_key for each in predictions if each.example_key is not None})
    filters = {"evaluation_run_id": [run_id], "example_key": keys}
    orders: defaultdict[str | None, list[tuple[str, str]]] = defaultdict(list)
    if keys:
        query = DocumentQuery(entity, project, filters=filters)
        names = ("id", "started_at", "example_key")
        for page in store.read_fields(Prediction, query, names):
            for sort_id, prediction_id, started_at, key in page:
                began = started_at or time_text(id_time(sort_id))
                orders[key].append((began, prediction_id))
    for order in orders.values():
        order.sort()
    return {each.id: _trial(each, orders[each.example_key]) for each in predictions}


def _trial(prediction: Prediction, order: list[tuple[str, str]]) -> int:
    if prediction.trial is not None:
        return prediction.trial
    began = time_text(prediction.started_at or prediction.created_at)
    return bisect_left(order, (began, prediction.id))
