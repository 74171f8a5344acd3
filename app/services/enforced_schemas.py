"""Find values against the schemas that a project enforces, without a query for each score."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from app import jsontext
from app.leaves import MAX_LEAVES, scalars
from app.scorers import scorer_name
from app.services.metrics import FRESH_SECONDS, MAX_METRICS
from app.stores.base import DocumentQuery, Store
from app.stores.model import Metric
from app.value_schemas import InvalidSchema, ValueSchema

MAX_PROJECTS = 10_000

Enforced = Mapping[str, Sequence[Metric]]
"""The metrics of a project that enforce a schema, by the name of the scorer."""


class EnforcedSchemas:
    """Reads the enforced schemas of projects, and caches them for FRESH_SECONDS."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str], tuple[float, Enforced]] = {}

    def fault(self, entity: str, project: str, scorer: str, value: Any) -> str | None:
        """Return in what way a value is against a schema that the project enforces, or None."""
        enforced = self._read(entity, project)
        if not enforced:
            return None
        name = scorer_name(scorer)
        for metric in enforced.get(name, ()):
            if fault := fault_of(metric, value):
                place = f" at {metric.leaf}" if metric.leaf else ""
                return f"against the schema of {name}{place}: {fault}"
        return None

    def _read(self, entity: str, project: str) -> Enforced:
        now, place = time.monotonic(), (entity, project)
        known = self._known.get(place)
        if known and now - known[0] < FRESH_SECONDS:
            return known[1]
        filters = {"schema_mode": ["enforce"]}
        query = DocumentQuery(entity, project, filters, limit=MAX_METRICS)
        found = defaultdict[str, list[Metric]](list)
        for metric in self._store.read_documents(Metric, query):
            if metric.schema_json is not None:
                found[metric.scorer_name].append(metric)
        if len(self._known) >= MAX_PROJECTS:
            self._known.clear()
        self._known[place] = (now, found)
        return found


def fault_of(metric: Metric, value: Any) -> str | None:
    """Return in what way a value is against the schema of a metric, or None.

    A null, and a value without the leaf, is not against it.
    """
    part = value if metric.leaf == "" else _part(value, metric.leaf)
    if part is None or metric.schema_json is None:
        return None
    try:
        return _compiled(metric.schema_json).fault(part)
    except InvalidSchema as error:  # It was declared with another release of the library.
        return f"the schema cannot be used: {error}"


def _part(value: Any, leaf: str) -> Any:
    """Return the scalar that a leaf names in a value, or None."""
    return next((part for path, part in scalars(value, MAX_LEAVES) if path == leaf), None)


@lru_cache(maxsize=256)
def _compiled(schema_json: str) -> ValueSchema:
    return ValueSchema(jsontext.read(schema_json.encode()))
