"""What numbers, booleans and texts are distributed like, in bounded memory."""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

import numpy as np

from app.analysis.statistics import intervals
from app.analysis.statistics.histograms import Counts, Values, histogram, quantiles
from app.analysis.statistics.moments import Moments, moments_of

MOST_FREQUENT = 10
"""How many texts are answered with their shares."""

SKETCHED = 1_024
"""How many hashes stand for all distinct texts when there are too many to hold all."""

STANDARD_ERROR = round((SKETCHED - 2) ** -0.5, 3)
"""Of an estimate of how many texts are distinct, as a part of it."""

_HASHES = 1 << 64


class Numbers:
    """The numbers of one group.

    All are held until `shrink` is called, which lets every other one go of those that stand for
    equally many, in the order of their size. The rank of a quantile is then off by `rank_error`
    at most; count, mean, deviation, least and greatest stay exact.
    """

    def __init__(self) -> None:
        self.fresh = array("d")
        """Numbers that stand for themselves."""
        self.beyond = 0
        """How many integers no double can hold: they are counted, and in no figure."""
        self.rank_error = 0
        self._merged: list[array[float]] = []
        """Numbers that stand for 2, 4, 8 … of them."""
        self._past = Moments()
        self._turn = 0

    def add(self, leaf: Mapping[str, Any], times: int = 1) -> None:
        """Take in a number, so many times."""
        if "number" not in leaf:
            self.beyond += times
        elif times == 1:
            self.fresh.append(leaf["number"])
        else:
            self.fresh.extend(repeat(leaf["number"], times))

    @property
    def n(self) -> int:
        """How many numbers there are."""
        return self._past.n + len(self.fresh) + self.beyond

    @property
    def held(self) -> int:
        """How many numbers are held."""
        return len(self.fresh) + sum(map(len, self._merged))

    def shrink(self) -> None:
        """Let half of the longest level go."""
        levels = [self.fresh, *self._merged, array("d")]
        level = max(range(len(levels)), key=lambda each: len(levels[each]))
        ordered = np.sort(np.array(levels[level]))
        paired = len(ordered) // 2 * 2
        if level == 0:
            self._past = self._past.joined(moments_of(ordered[:paired]))
        levels[level] = array("d", ordered[paired:].tolist())
        # By turns the lower and the upper of two: errors do not all fall to one side.
        levels[level + 1].frombytes(ordered[self._turn : paired : 2].tobytes())
        self.fresh, *self._merged = levels if levels[-1] else levels[:-1]
        self._turn = 1 - self._turn
        self.rank_error += 1 << level

    def _ordered(self, fresh: Values) -> tuple[Values, Counts]:
        """What is held in order, and for how many numbers each and those before it stand."""
        if not self._merged:
            return fresh, np.arange(1, len(fresh) + 1)
        levels = [fresh, *(np.array(level) for level in self._merged)]
        values = np.concatenate(levels)
        weights = np.repeat([1 << level for level in range(len(levels))], list(map(len, levels)))
        order = np.argsort(values)
        return values[order], np.cumsum(weights[order])

    def summary(self) -> dict[str, Any]:
        """Of at least one number, those beyond a double among them."""
        # In order, so that the last digit of a mean does not hang on which number came first.
        fresh = np.sort(np.array(self.fresh))
        moments = self._past.joined(moments_of(fresh))
        figures = {"n": self.n, "beyond_double": self.beyond}
        if not moments.n:
            return figures
        values, upto = self._ordered(fresh)
        return {
            **figures,
            **mean_figures(moments),
            "min": moments.low,
            **quantiles(values, upto),
            "max": moments.high,
            "quantiles": {"method": "linear", "rank_error": self.rank_error / moments.n},
            "histogram": histogram(values, upto, moments.low, moments.high),
        }


def mean_figures(moments: Moments) -> dict[str, Any]:
    """The mean of numbers, how sure it is, and how far they lie apart."""
    deviation = moments.deviation
    return {
        "mean": moments.mean,
        "interval": intervals.of_mean(moments.n, moments.mean, deviation),
        "standard_deviation": deviation,
        "note": intervals.note_on_mean(moments.n, deviation),
    }


class Booleans:
    """The booleans of one group."""

    def __init__(self) -> None:
        self.counts = Counter[bool]()

    @property
    def n(self) -> int:
        """How many booleans there are."""
        return self.counts.total()

    def add(self, leaf: Mapping[str, Any], times: int = 1) -> None:
        """Take in a boolean, so many times."""
        self.counts[leaf["number"] == 1] += times

    def summary(self) -> dict[str, Any]:
        """Of at least one boolean."""
        n, true = self.n, self.counts[True]
        interval = intervals.of_rate(true, n)
        return {"n": n, "true": true, "false": n - true, "rate": true / n, "interval": interval}


class Texts:
    """The texts of one group.

    All are counted until `shrink` is called, which lets the rare ones go: a count is then too low
    by `count_error` at most, and how many are distinct is an estimate.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.count_error = 0
        self._past = 0
        """How many texts the counts do not hold any more."""
        self._hashes = array("Q")
        """The least hashes of the texts that were counted when it was shrunk, in order."""

    def add(self, leaf: Mapping[str, Any], times: int = 1) -> None:
        """Take in a text, so many times."""
        self.counts[leaf["text"]] += times

    @property
    def n(self) -> int:
        """How many texts there are."""
        return self.counts.total() + self._past

    @property
    def held(self) -> int:
        """How many texts are held."""
        return len(self.counts)

    def shrink(self) -> None:
        """Keep at most half (Misra and Gries 1982, as Agarwal et al. 2012 merge their counts)."""
        self._hashes = self._least_hashes()
        kept = len(self.counts) // 2
        less = self.counts.most_common(kept + 1)[kept][1]
        total = self.counts.total()
        self.counts = Counter({text: n - less for text, n in self.counts.items() if n > less})
        self._past += total - self.counts.total()
        self.count_error += less

    def _least_hashes(self) -> array[int]:
        known = {*self._hashes, *map(_hash, self.counts)}
        return array("Q", heapq.nsmallest(SKETCHED, known))

    def distinct(self) -> int:
        """How many different texts there are, about, where not all are held.

        The estimator of Beyer et al. 2007, on the SKETCHED least hashes.
        """
        if not self._hashes:
            return len(self.counts)
        hashes = self._least_hashes()
        if len(hashes) < SKETCHED:
            return len(hashes)
        return round((SKETCHED - 1) * _HASHES / hashes[-1])

    def summary(self) -> dict[str, Any]:
        """Of at least one text."""
        n = self.n
        first = sorted(self.counts.items(), key=lambda found: (-found[1], found[0]))[:MOST_FREQUENT]
        return {
            "n": n,
            "distinct": self.distinct(),
            "distinct_error": STANDARD_ERROR if self._hashes else 0,
            "most_frequent": [
                {"text": text, "count": count, "share": count / n} for text, count in first
            ],
            "count_error": self.count_error,
        }


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) or 1


def shrink_largest(found: Iterable[Numbers | Texts], most: int) -> None:
    """Where they hold over `most` together, shrink the largest until it is half of that."""
    largest = [(-each.held, position, each) for position, each in enumerate(found)]
    heapq.heapify(largest)
    held = -sum(negative for negative, _, _ in largest)
    if held <= most:
        return
    while held > most // 2 and largest[0][0] < -1:
        before, position, each = largest[0]
        each.shrink()
        held += before + each.held
        heapq.heapreplace(largest, (-each.held, position, each))
