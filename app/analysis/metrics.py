"""Metrics of runs: the leaves of their scorers, by kind, with what is declared of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.analysis.pairs import ComparedMetric, Direction
from app.analysis.run_scores import RunScores, refuse_unknown_leaf
from app.errors import InvalidParameter
from app.services.metrics import MetricKey
from app.stores.model import Metric
from app.true_when import TrueWhen, read_true_when

DIRECTIONS: dict[str, Direction] = {"higher": "higher", "lower": "lower"}
"""The declared directions that say what is better."""


@dataclass(frozen=True)
class Declared:
    """What is known of metrics: the declarations of a project, and those of a request."""

    metrics: Mapping[MetricKey, Metric]
    directions: Mapping[str, Direction]
    """By leaf, for all scorers; they come before those of the project."""

    def describe(self, scorer: str, path: str, kind: str, *, is_rate: bool) -> ComparedMetric:
        """Return a metric with what is declared of it; `is_rate` if its values are 0 or 1."""
        metric = self.metrics.get((scorer, path))
        direction = DIRECTIONS.get(metric.direction) if metric else None
        return ComparedMetric(
            scorer,
            path,
            kind,
            direction=self.directions.get(path, direction),
            is_rate=is_rate or self.has_rule_for(scorer, path, kind),
            true_when=self._rule(scorer, path),
            unit=(metric and metric.unit) or "",
            is_primary=metric is not None and metric.is_primary,
        )

    def has_rule_for(self, scorer: str, path: str, kind: str) -> bool:
        """Return whether it is declared which values of a kind count as true."""
        rule = self._rule(scorer, path)
        return rule is not None and kind == ("number" if rule.texts is None else "text")

    def _rule(self, scorer: str, path: str) -> TrueWhen | None:
        metric = self.metrics.get((scorer, path))
        return read_true_when(metric.true_when_json) if metric else None


def declared_of(
    metrics: Mapping[MetricKey, Metric], runs: Collection[RunScores], wanted: Mapping[str, Any]
) -> Declared:
    """Return what a project and a loaded CompareQuery declare. Raises InvalidParameter."""
    found: dict[str, Direction] = {}
    directions: tuple[Direction, Direction] = ("lower", "higher")
    for direction in directions:
        parameter = f"{direction}_is_better"
        for leaf in wanted[parameter]:
            refuse_unknown_leaf(runs, parameter, leaf)
            if found.setdefault(leaf, direction) != direction:
                message = f"the leaf {leaf!r} is also in lower_is_better"
                raise InvalidParameter(parameter, leaf, message)
    return Declared(metrics, found)


def metrics_of(
    runs: Collection[RunScores], declared: Declared, pair_by: str, leaves: Collection[str]
) -> Iterator[ComparedMetric]:
    """Yield the metrics of some runs, all or those at `leaves`, but not the leaf they pair by.

    Raises InvalidParameter if no score has one of the leaves.
    """
    for leaf in leaves:
        refuse_unknown_leaf(runs, "leaf", leaf)
    rule, _, paired_by = pair_by.partition(":")
    keys = {
        (scorer, path, kind)
        for run in runs
        for scorer, group in run.groups.items()
        for path, values in group.leaves.items()
        for kind in values.kinds
        if (not leaves or path in leaves) and not (rule == "leaf" and path == paired_by)
    }
    kinds = Counter((scorer, path) for scorer, path, _ in keys)
    for scorer, path, kind in sorted(keys):
        is_rate = kind == "boolean" or (kind == "number" and _are_rates(runs, scorer, path))
        metric = declared.describe(scorer, path, kind, is_rate=is_rate)
        yield replace(metric, is_mixed=kinds[scorer, path] > 1)


def _are_rates(runs: Iterable[RunScores], scorer: str, path: str) -> bool:
    """Return whether all numbers at a leaf are 0 or 1, in all runs."""
    values = (run.groups[scorer].leaves.get(path) for run in runs if scorer in run.groups)
    return all(each.numbers.are_rates for each in values if each and each.numbers.n)
