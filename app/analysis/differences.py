"""Differences: test whether one metric differs between two runs, by the method that fits it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from app.analysis.pairs import Floats, Pairs
from app.analysis.statistics import power, significance
from app.analysis.statistics.estimates import moments_of
from app.analysis.statistics.significance import ALPHA, Difference

MIN_PAIRS = 6
"""With fewer pairs, no exact test could show a difference."""

MIN_BOOLEANS = 5
"""The same for booleans: McNemar's mid-p test shows a difference if all of five change."""

MIN_PAIRED_PART = 0.1
"""Below this part of the smaller run's examples, pairs are too few to compare only them."""

ROUNDING = 1e-12
"""A mean of changes of rates that is nearer to 0 is 0, apart from the rounding of thirds."""

MOST = 0.5
"""Below this part of the smaller run's values, a note says that most are not paired."""

Failures = Literal["exclude", "worst", "as_false"]


@dataclass(frozen=True)
class Tested:
    """A difference between two runs, and how it was tested."""

    difference: Difference | None
    """None without values to compare."""
    n: int
    """How many examples were compared: pairs, or of two samples the smaller one."""
    means: tuple[float | None, float | None] = (None, None)
    """The mean of these in the baseline and in the candidate."""
    paired: bool = True
    bounds: tuple[float, float] | None = None
    """The difference if every failure were at its worst for the candidate, or for the baseline."""
    notes: tuple[str, ...] = ()
    overlap: Difference | None = None
    """The difference by all values, where some of them are not paired."""
    sizes: tuple[int, int] | None = None
    """Of two samples, the number of examples in the baseline and in the candidate."""

    @property
    def examples(self) -> str:
        """How many examples were compared, for a sentence."""
        if self.sizes is None:
            return _examples(self.n)
        before, after = self.sizes
        return f"{_examples(before)} and {after} others"


def difference_of(pairs: Pairs, failures: Failures) -> Tested:
    """Test the difference between the runs, by pairs where there are enough of them.

    `failures` says what counts for an example that one run failed on: nothing, its worst value, or
    false.
    """
    smaller, n = min(map(len, pairs.known)), len(pairs.compared)
    if smaller >= MIN_PAIRS and _are_samples(pairs):
        return _of_samples(pairs, n, smaller)
    as_false = failures == "as_false" and pairs.metric.is_rate
    before, after = pairs.filled(0.0, 0.0) if as_false else pairs.values()
    if not len(before):
        return Tested(None, 0)
    with np.errstate(over="ignore", invalid="ignore"):  # An overflow is reported as None.
        changes = after - before
    tested = Tested(
        _of_changes(pairs, changes, filled=as_false),
        len(before),
        (_mean_of(before), _mean_of(after)),
        notes=(*_notes_on_pairs(n, smaller), *_notes_on_failures(pairs, failures)),
        overlap=_overlap(pairs) if any(pairs.alone) and failures == "exclude" else None,
    )
    has_failures = len(pairs.matched) > n or pairs.has_failed_trials
    return _at_worst(pairs, tested) if failures == "worst" and has_failures else tested


def why_not_comparable(
    pairs: Pairs,
    failures: Failures,
    max_unpaired: float,
    *,
    paired: bool,
    both_ways: bool = False,
) -> str | None:
    """Return why the runs must not be compared by this metric; None if they may be.

    They must not if they fail on different examples, or on more trials of them, more often than by
    chance (McNemar's exact test), or, if `paired`, if more than `max_unpaired` of the baseline's
    examples have no partner, with `both_ways` also of the candidate's. Two samples must not if one
    failed more often (Fisher's exact test), whatever `failures` says: that is about pairs.
    """
    if not paired:
        return _why_samples_differ(pairs)
    why = _why_failures_differ(pairs) if failures == "exclude" else None
    if why:
        return why
    runs = ("baseline", "candidate")
    for run, other in (runs, runs[::-1]) if both_ways else (runs,):
        alone = pairs.uncompared[f"only_in_{run}"]
        examples = alone + len(pairs.matched)
        if alone > max_unpaired * examples:
            return f"{alone} of the {_examples(examples)} of the {run} are not in the {other}"
    return None


def _why_failures_differ(pairs: Pairs) -> str | None:
    before, after = pairs.num_failed_more
    if significance.sign_test(before, after) >= ALPHA:
        return None
    if pairs.metric.is_mixed:
        kind = pairs.metric.kind
        return (
            f"its values are of several kinds, which are not compared with each other: the "
            f"candidate has no {kind} for {_examples(after)} that the baseline has one for, "
            f"the baseline none for {_examples(before)} that the candidate has one for"
        )
    if pairs.has_failed_trials:
        return (
            f"the candidate failed on more trials than the baseline of {_examples(after)}, "
            f"and on fewer of {_examples(before)}"
        )
    return (
        f"the candidate failed on {_examples(after)} that the baseline has a value for, "
        f"the baseline on {_examples(before)} that the candidate has a value for"
    )


def _why_samples_differ(pairs: Pairs) -> str | None:
    (before, size), (after, other) = (
        (each - len(known), each) for each, known in zip(pairs.sizes, pairs.known, strict=True)
    )
    p_value = significance.of_rates((before, size), (after, other)).p_value
    if p_value is None or p_value >= ALPHA:
        return None
    return (
        f"the candidate failed on {after} of its {_examples(other)}, the baseline on {before} of "
        f"its {_examples(size)}"
    )


def pairs_needed(pairs: Pairs, difference: Difference, effect: float) -> int | None:
    """Return how many pairs would find a difference of `effect`; None if that is unknown."""
    if difference.method == "mcnemar_mid_p":
        changed = sum(one.value != other.value for one, other in pairs.compared)
        return power.pairs_needed_for_rate(len(pairs.compared), changed, effect)
    if difference.deviation is None:
        return None
    return power.pairs_needed(difference.deviation, effect)


def _of_changes(pairs: Pairs, changes: Floats, *, filled: bool) -> Difference:
    """Test the changes; `filled` if failures have values, so that some trials make a rate."""
    if not pairs.has_single_booleans or (filled and pairs.has_failed_trials):
        tested = significance.of_pairs(changes, _reach(pairs))
        is_rounding = tested.mean is not None and abs(tested.mean) < ROUNDING
        return replace(tested, mean=0.0) if pairs.metric.is_rate and is_rounding else tested
    wins, losses = int((changes > 0).sum()), int((changes < 0).sum())
    return significance.of_paired_booleans(len(changes), wins, losses)


def _are_samples(pairs: Pairs) -> bool:
    """Return whether the runs hardly share examples, with or without a value.

    Runs that do are no two samples where their pairs failed: those would compare other examples.
    """
    shared = len(pairs.matched)
    return shared < MIN_PAIRS or shared < MIN_PAIRED_PART * min(pairs.sizes)


def _of_samples(pairs: Pairs, n: int, smaller: int) -> Tested:
    """Compare the means of examples that are not paired; rates of trials are numbers."""
    before, after = pairs.known_values()
    if pairs.has_single_booleans:
        counts = [(int(each.sum()), len(each)) for each in (before, after)]
        difference = significance.of_rates(*counts)
    else:
        difference = significance.of_samples(before, after)
    note = f"too few pairs ({n}): compared as two samples"
    means = (_mean_of(before), _mean_of(after))
    sizes = len(before), len(after)
    return Tested(difference, smaller, means, paired=False, notes=(note,), sizes=sizes)


def _overlap(pairs: Pairs) -> Difference:
    return significance.of_overlap(*pairs.alone_values(), *pairs.values())


def _at_worst(pairs: Pairs, tested: Tested) -> Tested:
    """Return what is shown whatever the values of the failures would have been.

    They are taken to be within the range of the values that are known: at the worst, those of the
    candidate are the lowest and those of the baseline the highest.
    Source: Horowitz and Manski (2000), J. Am. Stat. Assoc. 95, 77-84.
    """
    low, high = _range(pairs)
    extremes = [pairs.filled(high, low), pairs.filled(low, high)]
    with np.errstate(over="ignore", invalid="ignore"):  # An overflow is reported as None.
        changes = [after - before for before, after in extremes]
    least, most = (_of_changes(pairs, each, filled=True) for each in changes)
    difference, means = tested.difference, (least.mean, most.mean)
    if difference is None or means[0] is None or means[1] is None:
        return tested
    crosses_0 = (means[0] > 0) != (means[1] > 0)
    p_values = [each.p_value for each in (least, most) if each.p_value is not None]
    return replace(
        tested,
        difference=replace(
            difference,
            interval=_hull(least.interval, most.interval),
            interval_at=lambda level: _hull(least.interval_at(level), most.interval_at(level)),
            p_value=1.0 if crosses_0 or len(p_values) < 2 else max(p_values),
            least_p_value=max(least.least_p_value, most.least_p_value),
            detectable=None,
        ),
        bounds=(means[0], means[1]),
    )


def _hull(least: dict[str, Any] | None, most: dict[str, Any] | None) -> dict[str, Any] | None:
    return least and most and {**least, "high": most["high"]}


def _range(pairs: Pairs) -> tuple[float, float]:
    """Return the lowest and the highest value of a metric: 0 and 1, or what is known."""
    if pairs.metric.is_rate:
        return 0.0, 1.0
    values = np.concatenate(pairs.known_values())
    return float(values.min()), float(values.max())


def _reach(pairs: Pairs) -> float | None:
    low, high = _range(pairs)
    return high - low if math.isfinite(high - low) else None


def _mean_of(values: Floats) -> float | None:
    mean = moments_of(values).mean
    return mean if math.isfinite(mean) else None


def _notes_on_pairs(n: int, smaller: int) -> tuple[str, ...]:
    if n < MOST * smaller:
        return (f"only {n} of the smaller run's {_examples(smaller)} are paired",)
    return ()


def _notes_on_failures(pairs: Pairs, failures: Failures) -> tuple[str, ...]:
    if failures == "as_false" and not pairs.metric.is_rate:
        return ("failures are left out, because these values are neither true nor false",)
    if failures == "worst" and not pairs.metric.is_rate:
        return ("the worst of a failure is the lowest or highest value of both runs",)
    return ()


def _examples(number: int) -> str:
    return "1 example" if number == 1 else f"{number} examples"
