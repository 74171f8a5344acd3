"""Decisions: whether a figure or an interval is within a limit, whatever rounding does."""

from __future__ import annotations

import math
from typing import Any, Literal

Outcome = Literal["passed", "failed", "inconclusive"]

SLACK = 4
"""The rounding error that a figure may have, in units of the last digit of what it is made from."""


def is_above(found: float, limit: float, *operands: float) -> bool:
    """Return whether `found` is above the limit by more than the rounding of its operands.

    The operands are what `found` was computed from: 0.85 - 0.83 is not above 0.02.
    """
    largest = max(map(abs, (found, limit, *operands)))
    return found - limit > SLACK * math.ulp(largest)


def is_below(found: float, limit: float, *operands: float) -> bool:
    """Return whether `found` is below the limit by more than the rounding of its operands."""
    return is_above(-found, -limit, *operands)


def at_least(interval: dict[str, Any] | None, limit: float) -> Outcome:
    """Return whether a value is shown to be at least the limit, or below it; else inconclusive.

    With a two-sided interval of 90 % each of both is shown with 95 % confidence.
    """
    if interval is None:
        return "inconclusive"
    if interval["low"] >= limit:
        return "passed"
    return "failed" if interval["high"] < limit else "inconclusive"


def at_most(interval: dict[str, Any] | None, limit: float) -> Outcome:
    """Return whether a value is shown to be at most the limit, or above it; else inconclusive."""
    return at_least(_mirrored(interval), -limit)


def not_worse_by(
    margin: float, difference: dict[str, Any] | None, *, lower_is_better: bool
) -> Outcome:
    """Return whether a candidate is shown not to be worse by the margin, or to be worse by it.

    `difference` is the interval of the candidate less the baseline at 90 %, so that a candidate
    which is worse by just the margin passes in at most 5 % of all comparisons.
    Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680; Piaggio et al. (2012), JAMA
    308, 2594-2604.
    """
    gain = _mirrored(difference) if lower_is_better else difference
    if gain is None:
        return "inconclusive"
    if gain["low"] > -margin:
        return "passed"
    return "failed" if gain["high"] < -margin else "inconclusive"


def _mirrored(interval: dict[str, Any] | None) -> dict[str, Any] | None:
    return interval and {**interval, "low": -interval["high"], "high": -interval["low"]}
