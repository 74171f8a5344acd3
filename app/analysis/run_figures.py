"""Figures of one metric in one run, whose trials of an example are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.analysis.pairs import KIND_TYPES, ComparedMetric, Floats
from app.analysis.run_scores import RunScores
from app.analysis.statistics.clusters import mean_of_clusters
from app.analysis.statistics.estimates import (
    mean_interval,
    means_of_rows,
    moments_of,
    rate_interval,
)
from app.analysis.summaries import ScoreGroup

Interval = dict[str, Any]


def leaf_summary(run: RunScores, metric: ComparedMetric, *, histograms: bool) -> dict[str, Any]:
    """Return the counts of a metric in a run, and the figures of its kind, as a LeafSummary."""
    group = run.groups.get(metric.scorer, ScoreGroup())
    figures = group.figures(metric.path, histograms=histograms)
    kinds = {kind: figures.pop(kind, None) for kind in KIND_TYPES}
    shown = kinds[metric.kind]
    if shown and "interval" in shown:
        are_rates = metric.kind == "boolean" or group.leaves[metric.path].numbers.are_rates
        plain = replace(metric, true_when=None, is_rate=are_rates) if metric.true_when else metric
        _, shown["interval"] = mean_and_interval(run, plain)
    rate = _rate(run, metric) if metric.true_when else None
    return {**figures, metric.kind: shown, **({"rate": rate} if rate else {})}


def _rate(run: RunScores, metric: ComparedMetric) -> dict[str, Any] | None:
    """Return the rate of the values that are declared to be true; None if there are no values."""
    known = [metric.value_in(each) for each in run.scores.get(metric.scorer, ())]
    n, true = sum(value is not None for value in known), sum(value is True for value in known)
    if not (metric.is_rate and n):
        return None
    _, interval = mean_and_interval(run, metric)
    return {"n": n, "true": true, "false": n - true, "rate": true / n, "interval": interval}


def mean_and_interval(
    run: RunScores, metric: ComparedMetric
) -> tuple[float | None, Interval | None]:
    """Return the mean or rate of all values, and its interval; trials of an example are a cluster.

    None without values, or of texts; also on overflow.
    """
    clusters = [
        values
        for scores in run.paired.get(metric.scorer, {}).values()
        if (values := [value for value in metric.values_in(scores) if value is not None])
    ]
    if not clusters or metric.is_text:
        return None, None
    if all(len(values) == 1 for values in clusters):
        return _of_singles(np.array([values[0] for values in clusters], float), metric)
    sizes = np.array([len(values) for values in clusters])
    clustered = mean_of_clusters(_means(clusters, sizes), sizes)
    if clustered is None:
        return None, None
    interval = clustered.rate_interval() if metric.is_rate else clustered.interval()
    return clustered.mean, interval


def _means(clusters: Sequence[Sequence[Any]], sizes: NDArray[np.int64]) -> Floats:
    """Return the mean of each cluster; those of one size are computed together."""
    means = np.empty(len(clusters))
    for size in np.unique(sizes):
        places = np.flatnonzero(sizes == size)
        alike = [clusters[place] for place in places.tolist()]
        means[places] = means_of_rows(np.array(alike, float))
    return means


def _of_singles(values: Floats, metric: ComparedMetric) -> tuple[float | None, Interval | None]:
    moments = moments_of(values)
    if metric.is_rate:
        return moments.mean, rate_interval(int(values.sum()), len(values))
    return moments.mean, mean_interval(moments.n, moments.mean, moments.deviation)
