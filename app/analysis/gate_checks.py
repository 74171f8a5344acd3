"""Checks of a gate: one metric of a run, and of its baseline, against each of its limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.analysis.differences import Tested, why_not_comparable
from app.analysis.pairs import ComparedMetric, Pairs

Outcome = Literal["passed", "failed", "inconclusive"]

ULPS = 8
"""By how many units in the last place a figure may exceed a limit: 0.85 - 0.83 is 0.02."""


@dataclass(frozen=True)
class Check:
    """The outcome of one check, with what was wanted and found."""

    name: str
    wanted: float | None
    outcome: Outcome
    found: float | None = None
    interval: dict[str, Any] | None = None
    why: str | None = None

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

    @property
    def share(self) -> float:
        """The part of the baseline's examples with a value that is compared."""
        known = len(self.pairs.known[0])
        return len(self.pairs.compared) / known if known else 0.0

    def why_not(self, min_compared: float) -> str | None:
        """Return why nothing follows from it; None if something does."""
        if not self.pairs.known[0]:
            return "the baseline has no values at this leaf"
        if self.share < min_compared:
            of_all = f"{len(self.pairs.compared)} of {len(self.pairs.known[0])}"
            return f"only {of_all} examples of the baseline are compared"
        if self.tested.difference is None:
            return "the runs have no example with a value in both"
        return why_not_comparable(self.pairs, self.tested, "exclude", 1.0)


def checks_of(
    limits: Mapping[str, Any], figures: Figures, compared: Compared | None
) -> Iterator[Check]:
    """Yield the outcome of each limit of a loaded Limits."""
    yield from _checks_of_run(limits, figures)
    if compared is not None:
        yield from _checks_against_baseline(limits, compared)


def _checks_of_run(limits: Mapping[str, Any], figures: Figures) -> Iterator[Check]:
    for name in ("min", "max"):
        if limits[name] is not None:
            yield _check_mean(name, limits[name], figures, confidence=limits["confidence"])
    if limits["min_coverage"] is not None:
        yield _check_coverage(limits["min_coverage"], figures)
    if limits["max_failed"] is not None:
        yield _check_failed(limits["max_failed"], figures)


def _checks_against_baseline(limits: Mapping[str, Any], compared: Compared) -> Iterator[Check]:
    why = compared.why_not(limits["min_compared"])
    for name in ("max_drop", "max_rise"):
        if limits[name] is not None:
            yield _check_change(name, limits[name], compared, why)
    if limits["not_worse_by"] is not None:
        yield _check_not_worse(limits["not_worse_by"], compared, why)
    outcome: Outcome = "inconclusive" if compared.share < limits["min_compared"] else "passed"
    found, shown = compared.share, why if outcome == "inconclusive" else None
    yield Check("min_compared", limits["min_compared"], outcome, found, why=shown)


def _check_mean(name: str, limit: float, figures: Figures, *, confidence: bool) -> Check:
    mean, interval = figures.mean, figures.interval
    if mean is None:
        outcome: Outcome = "failed" if figures.is_broken else "inconclusive"
        return Check(name, limit, outcome, why=figures.why)
    sign = 1 if name == "min" else -1
    if not confidence:
        is_within = sign * (mean - limit) >= -_slack(mean, limit)
        return Check(name, limit, "passed" if is_within else "failed", mean, interval)
    if interval is None:
        return Check(name, limit, "inconclusive", mean, why="the mean has no interval")
    near, far = (interval["low"], interval["high"])[::sign]
    if sign * (near - limit) >= -_slack(near, limit):
        return Check(name, limit, "passed", mean, interval)
    if sign * (far - limit) < -_slack(far, limit):
        return Check(name, limit, "failed", mean, interval)
    return Check(name, limit, "inconclusive", mean, interval, "the limit is within the interval")


def _check_coverage(limit: float, figures: Figures) -> Check:
    if not figures.attempted:
        return Check("min_coverage", limit, "inconclusive", why=figures.why)
    coverage = figures.scored / figures.attempted
    is_within = coverage >= limit - _slack(coverage, limit)
    return Check("min_coverage", limit, "passed" if is_within else "failed", coverage)


def _check_failed(limit: float, figures: Figures) -> Check:
    if not figures.attempted:
        return Check("max_failed", limit, "inconclusive", why=figures.why)
    share = figures.failed / figures.attempted
    if share <= limit + _slack(share, limit):
        return Check("max_failed", limit, "passed", share)
    why = f"the scorer failed on {figures.failed} of {figures.attempted}"
    return Check("max_failed", limit, "inconclusive", share, why=why)


def _check_change(name: str, limit: float, compared: Compared, why: str | None) -> Check:
    difference = compared.tested.difference
    if why or difference is None or difference.mean is None:
        return Check(name, limit, "inconclusive", why=why or "the difference overflows")
    found = -difference.mean if name == "max_drop" else difference.mean
    operands = [mean for mean in compared.tested.means if mean is not None]
    outcome: Outcome = "passed" if found <= limit + _slack(limit, *operands) else "failed"
    return Check(name, limit, outcome, found, difference.interval)


def _check_not_worse(limit: float, compared: Compared, why: str | None) -> Check:
    """Check that the run is not worse by more than a margin.

    The ends of the 90 % interval are bounds with a confidence of 95 %.
    Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680.
    """
    name, difference = "not_worse_by", compared.tested.difference
    if why or difference is None or difference.one_sided is None or difference.mean is None:
        return Check(name, limit, "inconclusive", why=why or "the difference has no interval")
    bounds = difference.one_sided
    worst, best = bounds["low"], bounds["high"]
    if compared.metric.direction == "lower":
        worst, best = -best, -worst
    if worst > -limit:
        return Check(name, limit, "passed", difference.mean, bounds)
    if best < -limit:
        return Check(name, limit, "failed", difference.mean, bounds)
    why = "the margin is within the interval: more examples are needed"
    return Check(name, limit, "inconclusive", difference.mean, bounds, why)


def _slack(*operands: float) -> float:
    """Return what rounding may add to a difference of these numbers."""
    return ULPS * max(map(math.ulp, operands))
