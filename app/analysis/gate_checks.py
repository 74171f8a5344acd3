"""Checks of a gate: one metric of a run, and of its baseline, against each of its limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.analysis.differences import Tested, why_not_comparable
from app.analysis.pairs import ComparedMetric, Pairs
from app.analysis.statistics.decisions import (
    Outcome,
    at_least,
    at_most,
    is_above,
    is_below,
    not_worse_by,
)
from app.analysis.statistics.significance import ALPHA, ONE_SIDED

BEYOND = "has integers too large for a double"


@dataclass(frozen=True)
class Check:
    """The outcome of one check, with what was wanted and found."""

    name: str
    wanted: float | None
    outcome: Outcome
    found: float | None = None
    interval: dict[str, Any] | None = None
    why: str | None = None
    fails_at: Callable[[float], bool] | None = field(default=None, repr=False, compare=False)
    """Says of a margin whether the interval at a level is beyond it."""

    def response(self) -> dict[str, Any]:
        """Return the check as a GateCheck."""
        return {
            "name": self.name,
            "wanted": self.wanted,
            "found": self.found,
            "interval": self.interval,
            "outcome": self.outcome,
            "passed": self.outcome == "passed",
            "why": self.why,
        }


@dataclass(frozen=True)
class Figures:
    """What is known of one metric in the run."""

    attempted: int
    scored: int
    failed: int
    """The scores without a value: the scorer failed. Failed predictions are not among them."""
    mean: float | None
    interval: dict[str, Any] | None
    why: str | None
    """Why there is no mean."""
    is_broken: bool = False
    """Whether there is no mean because a value is beyond all limits."""


@dataclass(frozen=True)
class Compared:
    """The comparison of one metric with that of the baseline."""

    metric: ComparedMetric
    pairs: Pairs
    tested: Tested
    is_broken: bool = False
    """Whether the baseline has values beyond all limits."""

    @property
    def share(self) -> float:
        """The part of the baseline's examples with a value that is compared."""
        known = len(self.pairs.known[0])
        return len(self.pairs.compared) / known if known else 0.0

    def why_not(self, min_compared: float) -> str | None:
        """Return why nothing follows from it; None if something does."""
        if self.is_broken:
            return f"the baseline {BEYOND}"
        if not self.pairs.known[0]:
            what = (
                f"{self.metric.kind}, but values of another kind,"
                if self.metric.is_mixed
                else "values"
            )
            return f"the baseline has no {what} at this leaf"
        if self.share < min_compared:
            of_all = f"{len(self.pairs.compared)} of {len(self.pairs.known[0])}"
            return f"only {of_all} examples of the baseline are compared"
        if self.metric.is_text:
            return "the runs have texts at this leaf, which have no difference"
        if self.tested.difference is None:
            return "the runs have no example with a value in both"
        return why_not_comparable(self.pairs, "exclude", 1.0, paired=self.tested.paired)


def checks_of(
    limits: Mapping[str, Any], figures: Figures, compared: Compared | None
) -> Iterator[Check]:
    """Yield the outcome of each limit of a loaded Limits."""
    yield from _checks_of_run(limits, figures)
    if compared is not None:
        yield from _checks_against_baseline(limits, figures, compared)


def _checks_of_run(limits: Mapping[str, Any], figures: Figures) -> Iterator[Check]:
    for name in ("min", "max"):
        if limits[name] is not None:
            yield _check_mean(name, limits[name], figures, confidence=limits["confidence"])
    if limits["min_coverage"] is not None:
        yield _check_coverage(limits["min_coverage"], figures)
    if limits["max_failed"] is not None:
        yield _check_failed(limits["max_failed"], figures)


def _checks_against_baseline(
    limits: Mapping[str, Any], figures: Figures, compared: Compared
) -> Iterator[Check]:
    why = compared.why_not(limits["min_compared"])
    for name in ("max_drop", "max_rise", "not_worse_by"):
        limit = limits[name]
        if limit is None:
            continue
        if figures.is_broken:
            yield Check(name, limit, "failed", why=figures.why)
        elif name == "not_worse_by":
            yield _check_not_worse(limit, compared, why)
        else:
            yield _check_change(name, limit, compared, why)
    outcome: Outcome = "inconclusive" if compared.share < limits["min_compared"] else "passed"
    found, shown = compared.share, why if outcome == "inconclusive" else None
    yield Check("min_compared", limits["min_compared"], outcome, found, why=shown)


def _check_mean(name: str, limit: float, figures: Figures, *, confidence: bool) -> Check:
    mean, interval = figures.mean, figures.interval
    if mean is None:
        outcome: Outcome = "failed" if figures.is_broken else "inconclusive"
        return Check(name, limit, outcome, why=figures.why)
    if not confidence:
        is_beyond = is_below(mean, limit) if name == "min" else is_above(mean, limit)
        return Check(name, limit, "failed" if is_beyond else "passed", mean, interval)
    outcome = at_least(interval, limit) if name == "min" else at_most(interval, limit)
    why = "the mean has no interval" if interval is None else "the limit is within the interval"
    return Check(name, limit, outcome, mean, interval, why if outcome == "inconclusive" else None)


def _check_coverage(limit: float, figures: Figures) -> Check:
    if not figures.attempted:
        return Check("min_coverage", limit, "inconclusive", why=figures.why)
    coverage = figures.scored / figures.attempted
    return Check(
        "min_coverage", limit, "failed" if is_below(coverage, limit) else "passed", coverage
    )


def _check_failed(limit: float, figures: Figures) -> Check:
    if not figures.attempted:
        return Check("max_failed", limit, "inconclusive", why=figures.why)
    share = figures.failed / figures.attempted
    if not is_above(share, limit):
        return Check("max_failed", limit, "passed", share)
    why = f"the scorer failed on {figures.failed} of {figures.attempted}"
    return Check("max_failed", limit, "inconclusive", share, why=why)


def _check_change(name: str, limit: float, compared: Compared, why: str | None) -> Check:
    difference = compared.tested.difference
    if why or difference is None or difference.mean is None:
        return Check(name, limit, "inconclusive", why=why or "the difference overflows")
    found, interval = difference.mean, difference.interval
    if name == "max_drop":
        found = -found
        if interval is not None:
            interval = {**interval, "low": -interval["high"], "high": -interval["low"]}
    operands = [mean for mean in compared.tested.means if mean is not None]
    outcome: Outcome = "failed" if is_above(found, limit, *operands) else "passed"
    return Check(name, limit, outcome, found, interval)


def _check_not_worse(limit: float, compared: Compared, why: str | None) -> Check:
    """Check a margin by the 90 % interval, whose ends are bounds with a confidence of 95 %."""
    name, difference = "not_worse_by", compared.tested.difference
    if why or difference is None or difference.one_sided is None or difference.mean is None:
        return Check(name, limit, "inconclusive", why=why or "the difference has no interval")
    lower, interval_at = compared.metric.direction == "lower", difference.interval_at

    def outcome_at(level: float) -> Outcome:
        return not_worse_by(limit, interval_at(level), lower_is_better=lower)

    outcome = outcome_at(ONE_SIDED)
    within = "the margin is within the interval: more examples are needed"
    why = within if outcome == "inconclusive" else None
    return Check(
        name,
        limit,
        outcome,
        difference.mean,
        difference.one_sided,
        why,
        lambda level: outcome_at(level) == "failed",
    )


def correct_family(checks: Sequence[Check]) -> list[Check]:
    """Return checks, of which a margin only fails if that is shown among all margins.

    Some of many metrics are beyond a margin by chance, so Holm's method decides which fail. That
    all must pass needs no correction. Sources: Holm (1979), Scand. J. Stat. 6, 65-70; Berger
    (1982), Technometrics 24, 295-300: the intersection-union test.
    """
    left = [check for check in checks if check.fails_at]
    size = len(left)
    while left:
        level = 1 - 2 * ALPHA / len(left)
        unshown = [check for check in left if not (check.fails_at and check.fails_at(level))]
        if len(unshown) == len(left):
            break
        left = unshown
    why = f"it is worse by more than the margin, but among {size} such checks this can be chance"
    return [
        replace(check, outcome="inconclusive", why=why)
        if check.outcome == "failed" and any(check is each for each in left)
        else check
        for check in checks
    ]
