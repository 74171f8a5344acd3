"""Agreement: whether judgements of the same examples agree beyond chance, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from app.analysis.statistics.estimates import LEVEL, exponent_of, finite_interval, t_quantile

Values = NDArray[np.float64]
Codes = NDArray[np.int64]
Metric = Literal["nominal", "interval"]
Statistic = Callable[[Values], float | None]

MIN_EXAMPLES = 10
"""Samples of fewer examples resemble each other too much for an interval."""

REPEATS = 2_000
WORK = 5_000_000
"""How many samples the bootstrap draws, and at most how many examples in all of them."""

FEWEST_REPEATS = 200
MOST_UNDEFINED = 0.05
"""The part of the samples that may have no figure, before the interval has none."""


def confusion_table(
    first: Codes, second: Codes, categories: int, weights: Values | None = None
) -> Values:
    """Return how many pairs have which two categories, the first judgement's in rows.

    A category is its place in a scale that both sides share; `weights` counts each pair as often as
    it says.
    """
    cells = np.bincount(first * categories + second, weights, minlength=categories**2)
    return cells.astype(float).reshape(categories, categories)


def kappa(table: Values, points: Values | None = None, power: int = 1) -> float | None:
    """Return Cohen's kappa of a confusion table, or with `points` the weighted kappa.

    `points` are the categories on a scale; a disagreement weighs as their distance, to the power
    1 (linear) or 2 (quadratic). None where chance alone agrees always.
    Source: Cohen (1960), Educ. Psychol. Meas. 20, 37-46; Cohen (1968), Psychol. Bull. 70, 213-220.
    """
    total = table.sum()
    if points is None:
        weights = 1 - np.eye(len(table))
    else:
        weights = np.abs(points[:, None] - points[None, :]) ** power
    expected = float(table.sum(axis=1) @ weights @ table.sum(axis=0))
    return 1 - float((weights * table).sum()) * float(total) / expected if expected else None


def spearman(first: Codes, second: Codes, weights: Values | None = None) -> float | None:
    """Return Spearman's rank correlation, None where either side is constant.

    Each side is `coded` on its own; `weights` counts each pair as often as it says.
    Source: Spearman (1904), Am. J. Psychol. 15, 72-101, with mean ranks of ties.
    """
    counts = np.ones(len(first)) if weights is None else weights
    total = counts.sum()
    ranks = [_mean_ranks(each, counts) - (total + 1) / 2 for each in (first, second)]
    spreads = [_sum(counts, each**2) for each in ranks]
    if not all(spreads):
        return None
    return _sum(counts, ranks[0] * ranks[1]) / math.sqrt(spreads[0]) / math.sqrt(spreads[1])


def krippendorff_alpha(units: Codes, scale: Values, codes: Codes, metric: Metric) -> Statistic:
    """Return the function of Krippendorff's alpha of any number of judgements of each unit.

    `units` says which unit each judgement is of, numbered from 0; a unit with one does not count.
    The judgements are `coded`; only an interval metric needs the scale. The function takes how
    often each unit counts; it gives None if alpha is undefined.
    Source: Krippendorff (2011), Computing Krippendorff's Alpha-Reliability.
    """
    sizes: Values = np.bincount(units).astype(float)
    sizes[sizes < 2] = 0
    is_pairable = sizes[units] > 0
    units, codes = units[is_pairable], codes[is_pairable]
    points = _scaled(scale) if metric == "interval" and len(codes) else np.zeros(0)
    if len(points):
        unequal = _squared_distances(units, points[codes], sizes)
    else:
        unequal = _unequal_pairs(units, codes, sizes)
    unequal /= np.maximum(sizes - 1, 1)

    def alpha(weights: Values) -> float | None:
        of_code: Values = np.bincount(codes, weights[units], len(points)).astype(float)
        if np.count_nonzero(of_code) < 2:
            return None
        total = float(of_code.sum())
        if len(points):
            mean = _sum(of_code, points) / total
            all_pairs = 2 * total * _sum(of_code, (points - mean) ** 2)
        else:
            all_pairs = total**2 - float((of_code**2).sum())
        return 1 - (total - 1) * _sum(weights, unequal) / all_pairs if all_pairs else None

    return alpha


def _unequal_pairs(units: Codes, codes: Codes, sizes: Values) -> Values:
    """Return the number of unequal pairs in each unit."""
    categories = int(codes.max(initial=0)) + 1
    cells, counts = np.unique(units * categories + codes, return_counts=True)
    return sizes**2 - np.bincount(cells // categories, counts.astype(float) ** 2, len(sizes))


def _squared_distances(units: Codes, values: Values, sizes: Values) -> Values:
    """Return the sum of the squared distances of all pairs in each unit."""
    means = np.bincount(units, values, len(sizes)) / np.maximum(sizes, 1)
    return 2 * sizes * np.bincount(units, (values - means[units]) ** 2, len(sizes))


def bootstrap_intervals(
    statistics: Callable[[Values], Sequence[float | None]],
    number: int,
    examples: int,
    level: float = LEVEL,
    seed: int = 0,
) -> list[dict[str, Any] | None]:
    """Return the intervals of statistics over examples by the expanded percentile bootstrap.

    `statistics` computes this number of figures where each example counts as often as its argument
    says. The same seed gives the same intervals. None of fewer than MIN_EXAMPLES, where too many
    samples have no figure, and where all have the same.
    Source: Hesterberg (2015), American Statistician 69, 371-386.
    """
    if examples < MIN_EXAMPLES or not number:
        return [None] * number
    rng = np.random.default_rng(seed)
    repeats = min(REPEATS, max(FEWEST_REPEATS, WORK // examples))
    samples = []
    for _ in range(repeats):
        drawn = np.bincount(rng.integers(0, examples, examples), minlength=examples)
        samples.append(statistics(drawn.astype(float)))
    tail = float(ndtr(-math.sqrt(examples / (examples - 1)) * t_quantile(examples - 1, level)))
    return [_interval_of(each, tail, level) for each in zip(*samples, strict=True)]


def _interval_of(
    figures: Sequence[float | None], tail: float, level: float
) -> dict[str, Any] | None:
    found = [each for each in figures if each is not None]
    if len(found) < (1 - MOST_UNDEFINED) * len(figures):
        return None
    low, high = np.quantile(found, [tail, 1 - tail]).tolist()
    return finite_interval("bootstrap", low, high, level) if low < high else None


def _sum(weights: Values, values: Values) -> float:
    """Return a weighted sum; `@` would start threads for it, which wait for busy processors."""
    return float((weights * values).sum())


def _mean_ranks(codes: Codes, counts: Values) -> Values:
    """Return the mean rank of each value, where each counts as often as `counts` says."""
    of_code = np.bincount(codes, counts)
    ranks: Values = (np.cumsum(of_code) - (of_code - 1) / 2)[codes]
    return ranks


def _scaled(scale: Values) -> Values:
    """Return the values of a scale divided by a power of two, so that no square overflows."""
    scaled: Values = np.ldexp(scale, -exponent_of(float(scale[0]), float(scale[-1])))
    return scaled
