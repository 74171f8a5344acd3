"""The check of a gate that no slice of the examples is worse than in the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.analysis.comparisons import CHOSEN, Comparison, Slice
from app.analysis.differences import MIN_PAIRS
from app.analysis.gate_checks import Check, Compared

NAMED = 3
"""How many slices a check names."""


def check_slices(slices: Sequence[Slice], min_compared: float) -> Check:
    """Check that no slice is shown to be worse, once the p-values are adjusted.

    It is inconclusive if there is a slice of the baseline of which nothing could be shown: it has
    too few examples, or cannot be compared.
    """
    known = [each for each in slices if _is_in_baseline(each.comparison)]
    unknown = [why for each in known for why in _why_unknown(each, min_compared)]
    worse = [
        each.verdict.reason.rstrip(".")
        for each in known
        if each.verdict.word == "worse" and not any(_why_unknown(each, min_compared))
    ]
    if worse:
        return Check("slice", 0, "failed", len(worse), why=_named(worse))
    if not known:
        unknown = ["the baseline has no examples"]
    if unknown:
        return Check("slice", 0, "inconclusive", 0, why=_named(unknown))
    return Check("slice", 0, "passed", 0)


def _is_in_baseline(comparison: Comparison) -> bool:
    pairs = comparison.pairs
    return bool(pairs.matched or pairs.uncompared["only_in_baseline"])


def _why_unknown(part: Slice, min_compared: float) -> Iterator[str]:
    """Yield why nothing could be shown of a slice, if so."""
    comparison, tested = part.comparison, part.comparison.tested
    if tested is None:
        yield f"{part.name}: these are texts, which are neither better nor worse"
        return
    if comparison.are_chosen:
        yield f"{part.name}: {CHOSEN}"
        return
    why = Compared(comparison.metric, comparison.pairs, tested).why_not(min_compared)
    if why is None and tested.n < MIN_PAIRS:
        why = f"{tested.n} compared of at least {MIN_PAIRS} examples"
    if why is not None:
        yield f"{part.name}: {why}"


def _named(reasons: Sequence[str]) -> str:
    more = f"; and {len(reasons) - NAMED} more slices" if len(reasons) > NAMED else ""
    return "; ".join(reasons[:NAMED]) + more
