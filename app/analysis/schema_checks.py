"""Count the current values that are against the declared schemas of their metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from app import jsontext
from app.services.enforced_schemas import fault_of
from app.services.lists import ClientCheck, no_client_check
from app.services.metrics import read_metrics
from app.services.run_references import RunFinder
from app.stores.base import ScoreQuery, Store
from app.stores.model import Metric

MAX_EXAMPLES = 5
"""How many values against the schema of a metric are shown."""

CACHED_VALUES = 10_000
CACHED_CHARACTERS = 100
"""Longer values are checked each time."""


@dataclass
class SchemaCheck:
    """How many values were checked against the schema of a metric, and what was found."""

    metric: Metric
    find_fault: Callable[[str], str | None]
    checked: int = 0
    against: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    def described(self) -> dict[str, Any]:
        """Return the fields of SchemaCheckRes."""
        return {
            "scorer": self.metric.scorer_name,
            "leaf": self.metric.leaf,
            "schema_mode": self.metric.schema_mode,
            "checked": self.checked,
            "against": self.against,
            "examples": self.examples,
        }

    def add(self, score_id: str, value_json: str) -> None:
        """Check the value of one score."""
        self.checked += 1
        fault = self.find_fault(value_json)
        if fault is None:
            return
        self.against += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append({"score_id": score_id, "fault": fault})


def check_values(
    store: Store,
    entity: str,
    project: str,
    wanted: Mapping[str, Any],
    check_client: ClientCheck = no_client_check,
) -> list[SchemaCheck]:
    """Check the current scores of each metric with a schema against it.

    `wanted` is a loaded RunFilter. Nulls are not checked. Raises what `RunFinder.find` raises, and
    whatever `check_client` raises.
    """
    place = (store, entity, project)
    metrics = read_metrics(*place).values()
    run_id = None
    if wanted["run"] is not None:
        run_id = RunFinder(*place, check_client).find("run", wanted["run"]).run_id
    checks = [SchemaCheck(each, _fault_finder(each)) for each in metrics if each.schema_json]
    by_scorer = defaultdict[str | None, list[SchemaCheck]](list)
    for check in checks:
        by_scorer[check.metric.scorer_name].append(check)
    if not checks:
        return []
    query = ScoreQuery(entity, project, evaluation_run_id=run_id, only_current=True)
    for page in store.read_leaves(query, ("scorer_name", "score_id", "value_json")):
        check_client()
        for name, score_id, value_json in page.keys:
            for check in by_scorer.get(name, ()):
                if value_json != "null":
                    check.add(str(score_id), str(value_json))
    return checks


def _fault_finder(metric: Metric) -> Callable[[str], str | None]:
    """Return a function that finds a fault in a value, and remembers that of short values."""

    def find(value_json: str) -> str | None:
        return fault_of(metric, jsontext.read(value_json.encode()))

    remembered = lru_cache(CACHED_VALUES)(find)
    return lambda text: (remembered if len(text) <= CACHED_CHARACTERS else find)(text)
