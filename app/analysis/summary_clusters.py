"""Clusters of a summary: the values of one example or prediction, which are not independent."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.analysis.statistics.clusters import ClusteredMean, mean_of_clusters
from app.analysis.statistics.estimates import exponent_of
from app.services.lists import ClientCheck
from app.stores.base import DocumentQuery, Key, ScoreQuery, Store
from app.stores.model import Leaf, Leaves, Prediction
from app.true_when import TrueWhen

Hashes = NDArray[np.int64]

MAX_VALUES = 4_000_000
"""The most values whose clusters are known, over all groups: 64 MB."""

MAX_PREDICTIONS = 4_000_000
"""The most predictions whose examples are known: 64 MB."""

NOUNS = {"example": "example", "prediction_id": "prediction"}
"""What a cluster is called, by the parameter `cluster`."""


class Examples:
    """The examples of the predictions of a project, each known by its hash."""

    def __init__(self) -> None:
        self._predictions: Hashes = np.array([], np.int64)
        self._examples: Hashes = np.array([], np.int64)
        self.are_repeated = False
        """Whether several predictions are of one example."""
        self.are_too_many = False

    def read(
        self, store: Store, query: ScoreQuery, check_client: ClientCheck, *, by_run: bool
    ) -> None:
        """Read the examples of a query's predictions; `by_run` if other runs' are no repeats."""
        predictions, examples, places = array("q"), array("q"), array("q")
        run_id = query.evaluation_run_id
        filters = {} if run_id is None else {"evaluation_run_id": [run_id]}
        wanted = DocumentQuery(query.entity, query.project, filters=filters)
        names = ("id", "example_key", "evaluation_run_id")
        for page in store.read_fields(Prediction, wanted, names):
            check_client()
            known = [row for row in page if row[2] is not None]
            predictions.extend(hash(row[1]) for row in known)
            examples.extend(hash(row[2]) for row in known)
            places.extend(hash(row[2:] if by_run else row[2]) for row in known)
            if len(predictions) > MAX_PREDICTIONS:
                self.are_repeated = self.are_too_many = True
                return
        order = np.argsort(np.array(predictions))
        self._predictions = np.array(predictions)[order]
        self._examples = np.array(examples)[order]
        self.are_repeated = len(np.unique(np.array(places))) < len(places)

    def of(self, predictions: Hashes) -> Hashes:
        """Return the examples of predictions; one without an example is its own."""
        if not len(self._predictions):
            return predictions
        places = np.searchsorted(self._predictions, predictions)
        places[places == len(self._predictions)] = 0
        is_known = self._predictions[places] == predictions
        return np.where(is_known, self._examples[places], predictions)


class ClusteredValues:
    """The values of one kind at one leaf, each with the hash of its prediction."""

    def __init__(self) -> None:
        self.predictions = array("q")
        self.values = array("d")

    def mean(self, examples: Examples) -> ClusteredMean | None:
        """Return the mean of the values, which are clustered by example."""
        # Sorted, so that the last digit does not depend on the order of arrival.
        order = np.argsort(np.array(self.values), kind="stable")
        values = np.array(self.values)[order]
        clusters = examples.of(np.array(self.predictions))[order]
        _, which, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
        low, high = float(values[0]), float(values[-1])
        exponent = exponent_of(low, high)
        means = np.bincount(which, np.ldexp(values, -exponent)) / sizes
        means = np.clip(np.ldexp(means, exponent), low, high)
        by_mean = np.lexsort((sizes, means))
        return mean_of_clusters(means[by_mean], sizes[by_mean])


class Clusters:
    """The clusters of the values of all groups, if they are wanted."""

    def __init__(self, noun: str, examples: Examples) -> None:
        self._noun = noun
        self._examples = examples
        self._values: defaultdict[tuple[Key, str, str], ClusteredValues]
        self._values = defaultdict(ClusteredValues)
        self._held = 0
        self._are_too_many = examples.are_too_many

    def add(
        self, key: Key, prediction_id: str | None, leaves: Leaves, rules: Mapping[str, TrueWhen]
    ) -> None:
        """Add the leaves of one score of a group; `rules` say by leaf which values are true."""
        prediction = hash(prediction_id)
        for leaf in () if self._are_too_many else leaves:
            path, kind = leaf["path"], leaf["kind"]
            if kind in ("number", "boolean") and "number" in leaf:
                self._add((key, path, kind), prediction, leaf["number"])
            truth = truth_in(leaf, rules[path]) if path in rules else None
            if truth is not None:
                self._add((key, path, "rate"), prediction, float(truth))
        if self._held > MAX_VALUES:
            self._values.clear()
            self._are_too_many, self._held = True, 0

    def _add(self, place: tuple[Key, str, str], prediction: int, value: float) -> None:
        values = self._values[place]
        values.predictions.append(prediction)
        values.values.append(value)
        self._held += 1

    def correct(self, key: Key, path: str, kind: str, shown: dict[str, Any]) -> None:
        """Put the interval of clustered values into their figures, where several are in one."""
        if "interval" not in shown:  # All are integers too large for a double.
            return
        if self._are_too_many:
            shown["interval"] = None
            shown["note"] = (
                f"too many values to see which are of one {self._noun}, so the mean has no "
                "interval: add a filter, or take cluster=none"
            )
            return
        found = self._values[key, path, kind].mean(self._examples)
        if found is None or found.n == found.clusters:
            return
        is_rate = kind in ("boolean", "rate") or (shown["interval"] or {}).get("method") == "wilson"
        shown["clusters"] = found.clusters
        shown["interval"] = found.rate_interval() if is_rate else found.interval()
        if found.clusters == 1:
            shown["note"] = f"all values are of one {self._noun}, so the mean has no interval"
        elif shown["interval"] is None and not shown.get("note"):
            shown["note"] = f"the means of all {self._noun}s are equal: their spread is unknown"


def truth_in(leaf: Leaf, rule: TrueWhen) -> bool | None:
    """Return whether a leaf counts as true; None of another kind, and beyond a double."""
    is_figure = leaf["kind"] == "text" or "number" in leaf
    return rule.truth(leaf) if is_figure else None


def fields_of_repeats(fields: Sequence[str]) -> list[str]:
    """Return the fields that several scores of a group share if they are of one prediction."""
    names = ["prediction_id"]
    if "evaluation_run_id" in fields:
        names.append("evaluation_run_id")
    if {"scorer", "scorer_name"} & set(fields):
        names.append("scorer_name")
    return names
