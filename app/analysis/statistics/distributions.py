"""Distributions: collect numbers, booleans and texts one by one, in bounded memory."""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from app.analysis.statistics.estimates import (
    Moments,
    are_rates,
    mean_interval,
    moments_of,
    note_on_mean,
    rate_interval,
)
from app.analysis.statistics.histograms import Counts, Values, histogram, quantiles

MOST_FREQUENT = 10
"""The number of texts in a summary."""

SKETCH_SIZE = 1_024
"""The number of hashes that estimate how many texts are distinct."""

STANDARD_ERROR = round((SKETCH_SIZE - 2) ** -0.5, 3)
"""The relative standard error of that estimate."""

_HASHES = 1 << 64


class Numbers:
    """The numbers of one group, for a summary of them.

    Each call of `shrink` halves one level: it drops every other of the sorted numbers, and doubles
    the weight of the rest. Ranks of quantiles are then wrong by at most `rank_error`; count, mean,
    deviation, minimum and maximum stay exact.
    """

    def __init__(self) -> None:
        self.values = array("d")
        """The numbers with weight 1."""
        self.beyond = 0
        """The number of integers too large for a double; they are counted, but in no figure."""
        self.rank_error = 0
        self._levels: list[array[float]] = []
        """The numbers with weights 2, 4, 8 and so on."""
        self._shrunk = Moments()
        """The moments of all numbers that were shrunk."""
        self._shrunk_are_rates = True
        self._offset = 0

    def add(self, leaf: Mapping[str, Any], times: int = 1) -> None:
        """Add the number of a leaf, `times` times."""
        if "number" not in leaf:
            self.beyond += times
        elif times == 1:
            self.values.append(leaf["number"])
        else:
            self.values.extend(array("d", (leaf["number"],)) * times)

    @property
    def n(self) -> int:
        """The number of numbers that were added."""
        return self._shrunk.n + len(self.values) + self.beyond

    @property
    def are_rates(self) -> bool:
        """Whether all numbers are 0 or 1."""
        values = np.array(self.values)
        is_rate = self._shrunk_are_rates and (not len(values) or are_rates(values))
        return is_rate and not self.beyond

    @property
    def held(self) -> int:
        """The number of numbers in memory."""
        return len(self.values) + sum(map(len, self._levels))

    def shrink(self) -> None:
        """Halve the level with the most numbers."""
        levels = [self.values, *self._levels, array("d")]
        level = max(range(len(levels)), key=lambda each: len(levels[each]))
        ordered = np.sort(np.array(levels[level]))
        paired = len(ordered) // 2 * 2
        if level == 0 and paired:
            self._shrunk = self._shrunk.merge(moments_of(ordered[:paired]))
            self._shrunk_are_rates &= are_rates(ordered[:paired])
        levels[level] = array("d", ordered[paired:].tolist())
        # Keep the lower and the upper of two alternately, so that errors cancel out.
        levels[level + 1].frombytes(ordered[self._offset : paired : 2].tobytes())
        self.values, *self._levels = levels if levels[-1] else levels[:-1]
        self._offset = 1 - self._offset
        self.rank_error += 1 << level

    def _weighted(self, values: Values) -> tuple[Values, Counts]:
        """Return all numbers sorted, and their cumulative weights."""
        if not self._levels:
            return values, np.arange(1, len(values) + 1)
        levels = [values, *(np.array(level) for level in self._levels)]
        numbers = np.concatenate(levels)
        weights = np.repeat([1 << level for level in range(len(levels))], list(map(len, levels)))
        order = np.argsort(numbers)
        return numbers[order], np.cumsum(weights[order])

    def summary(self, *, with_histogram: bool = False) -> dict[str, Any]:
        """Return the figures of a NumberSummary, for at least one number."""
        # Sorted, so that the last digit of the mean does not depend on the order of arrival.
        values = np.sort(np.array(self.values))
        moments = self._shrunk.merge(moments_of(values))
        figures = {"n": self.n, "beyond_double": self.beyond}
        if not moments.n:
            return figures
        numbers, cumulative = self._weighted(values)
        shown = {
            **figures,
            "mean": moments.mean,
            **(_interval_of_rate(moments) if self.are_rates else _interval_of_mean(moments)),
            "standard_deviation": moments.deviation,
            "min": moments.low,
            **quantiles(numbers, cumulative),
            "max": moments.high,
            "quantiles": {"method": "linear", "rank_error": self.rank_error / moments.n},
        }
        if with_histogram:
            shown["histogram"] = histogram(numbers, cumulative, moments.low, moments.high)
        return shown


def _interval_of_rate(moments: Moments) -> dict[str, Any]:
    """Return the interval of numbers that are all 0 or 1, whose mean is a rate."""
    return {"interval": rate_interval(round(moments.mean * moments.n), moments.n), "note": None}


def _interval_of_mean(moments: Moments) -> dict[str, Any]:
    deviation = moments.deviation
    return {
        "interval": mean_interval(moments.n, moments.mean, deviation),
        "note": note_on_mean(moments.n, deviation, moments.sample_skewness),
    }


class Booleans:
    """The booleans of one group, for a summary of them."""

    def __init__(self) -> None:
        self.counts = Counter[bool]()

    @property
    def n(self) -> int:
        """The number of booleans that were added."""
        return self.counts.total()

    def add(self, leaf: Mapping[str, Any], times: int = 1) -> None:
        """Add the boolean of a leaf, `times` times."""
        self.counts[leaf["number"] == 1] += times

    def summary(self) -> dict[str, Any]:
        """Return the figures of a BooleanSummary, for at least one boolean."""
        n, true = self.n, self.counts[True]
        interval = rate_interval(true, n)
        return {"n": n, "true": true, "false": n - true, "rate": true / n, "interval": interval}


class Texts:
    """The texts of one group, for a summary of them.

    `shrink` drops rare texts: counts are then too low by at most `count_error`, and the number of
    distinct texts is an estimate.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.count_error = 0
        self._dropped = 0
        """The number of texts that the counts no longer include."""
        self._hashes = array("Q")
        """The smallest hashes of all texts up to the last `shrink`, sorted."""

    def add(self, leaf: Mapping[str, Any], times: int = 1) -> None:
        """Add the text of a leaf, `times` times."""
        self.counts[leaf["text"]] += times

    @property
    def n(self) -> int:
        """The number of texts that were added."""
        return self.counts.total() + self._dropped

    @property
    def held(self) -> int:
        """The number of distinct texts in memory."""
        return len(self.counts)

    def shrink(self) -> None:
        """Keep at most half of the distinct texts, the most frequent.

        Source: Misra and Gries (1982), in the form of Agarwal et al. (2012).
        """
        self._hashes = self._smallest_hashes()
        kept = len(self.counts) // 2
        less = self.counts.most_common(kept + 1)[kept][1]
        total = self.counts.total()
        self.counts = Counter({text: n - less for text, n in self.counts.items() if n > less})
        self._dropped += total - self.counts.total()
        self.count_error += less

    def _smallest_hashes(self) -> array[int]:
        hashes = {*self._hashes, *map(_hash, self.counts)}
        return array("Q", heapq.nsmallest(SKETCH_SIZE, hashes))

    def distinct(self) -> int:
        """Return the number of distinct texts, estimated once some were dropped.

        Source: Beyer et al. (2007), the unbiased estimator of the k-minimum-values sketch.
        """
        if not self._hashes:
            return len(self.counts)
        hashes = self._smallest_hashes()
        if len(hashes) < SKETCH_SIZE:
            return len(hashes)
        return round((SKETCH_SIZE - 1) * _HASHES / hashes[-1])

    def summary(self) -> dict[str, Any]:
        """Return the figures of a TextSummary, for at least one text."""
        n = self.n
        by_frequency = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return {
            "n": n,
            "distinct": self.distinct(),
            "distinct_error": STANDARD_ERROR if self._hashes else 0,
            "most_frequent": [
                {"text": text, "count": count, "share": count / n}
                for text, count in by_frequency[:MOST_FREQUENT]
            ],
            "count_error": self.count_error,
        }


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) or 1


def shrink_largest(collections: Iterable[Numbers | Texts], most: int) -> None:
    """Shrink the largest until together they hold half of `most`, if they hold more than `most`."""
    largest = [(-each.held, position, each) for position, each in enumerate(collections)]
    heapq.heapify(largest)
    held = -sum(negative for negative, _, _ in largest)
    if held <= most:
        return
    while held > most // 2 and largest[0][0] < -1:
        before, position, each = largest[0]
        each.shrink()
        held += before + each.held
        heapq.heapreplace(largest, (-each.held, position, each))
