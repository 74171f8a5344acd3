"""Usage: the latency, the tokens and the cost of predictions, read like the values of a scorer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from app.analysis.prices import Prices
from app.analysis.tokens import total_tokens
from app.ids import id_time
from app.services.metrics import MetricKey
from app.stores.base import DocumentQuery, Store
from app.stores.model import Leaf, Leaves, Prediction

SCORER = "scoreline.usage"
"""The name under which usage is compared; its leaves are those of LEAVES."""

LEAVES = ("latency_seconds", "total_tokens", "cost")

_FIELDS = ("id", "model", "started_at", "finished_at", "usage_json")


def is_wanted(scorers: Iterable[str], declared: Iterable[MetricKey]) -> bool:
    """Return whether usage counts: it is named, or no scorer is and it is declared."""
    named = set(scorers)
    return SCORER in named or (not named and any(name == SCORER for name, _ in declared))


def read_usage(
    store: Store, entity: str, project: str, run_id: str, prices: Prices
) -> Iterator[list[tuple[str, Leaves]]]:
    """Yield pages of the predictions of a run: their ids, and what is known of each as leaves.

    A leaf is null where it is not known: no times, no counts of tokens, or no price of a model.
    """
    query = DocumentQuery(entity, project, filters={"evaluation_run_id": [run_id]})
    for page in store.read_fields(Prediction, query, _FIELDS):
        yield [
            (
                prediction_id,
                _leaves(
                    _seconds(started, finished),
                    json.loads(usage) if usage else None,
                    model,
                    datetime.fromisoformat(started) if started else id_time(sort_id),
                    prices,
                ),
            )
            for sort_id, prediction_id, model, started, finished, usage in page
        ]


def _seconds(started: str | None, finished: str | None) -> float | None:
    if started is None or finished is None:
        return None
    return (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()


def _leaves(
    seconds: float | None, usage: object, model: str, at: datetime, prices: Prices
) -> Leaves:
    values = (seconds, total_tokens(usage), prices.cost(usage, model, at))
    return [_leaf(path, value) for path, value in zip(LEAVES, values, strict=True)]


def _leaf(path: str, value: float | None) -> Leaf:
    if value is None:
        return {"path": path, "kind": "null"}
    return {"path": path, "kind": "number", "number": float(value)}
