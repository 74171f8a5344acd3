"""Verdicts: what a comparison shows, in one word and in one sentence for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from app.analysis.pairs import ComparedMetric
from app.analysis.statistics.significance import ALPHA

Word = Literal[
    "worse",
    "better",
    "lower",
    "higher",
    "not comparable",
    "no difference shown",
    "not enough data",
]


@dataclass(frozen=True)
class Verdict:
    """A verdict, and the sentence that explains it."""

    word: Word | None
    reason: str


@dataclass(frozen=True)
class Evidence:
    """What a verdict follows from: figures of the compared examples, and the test of them."""

    examples: str
    """How many were compared, such as `100 examples`."""
    baseline: float | None
    candidate: float | None
    """The means or rates of the compared examples."""
    difference: float | None
    interval: dict[str, Any] | None
    """That of the difference."""
    p_adjusted: float | None
    """None where no test is possible."""
    family: int
    """How many comparisons the p-value is corrected for."""
    detectable: float | None
    """The smallest difference that these data would have shown with a probability of 80 %."""
    bounds: tuple[float, float] | None = None
    """The difference with all failures at their worst and best; the interval is about both."""
    unit: str = ""


def name_of(metric: ComparedMetric) -> str:
    """Return how a sentence names a metric."""
    return f"{metric.scorer} {metric.path}".strip()


def not_comparable(metric: ComparedMetric, why: str) -> Verdict:
    """Return the verdict for runs that must not be compared by this metric."""
    return Verdict("not comparable", f"{name_of(metric)} is not comparable: {why}.")


def not_enough(metric: ComparedMetric, n: int, needed: int) -> Verdict:
    """Return the verdict where no result could have shown a difference."""
    examples = "1 example" if n == 1 else f"{n} examples"
    why = f"{examples} with a value in both runs could not show any difference"
    return Verdict("not enough data", f"{name_of(metric)}: {why}; at least {needed} are needed.")


def of_texts(metric: ComparedMetric, n: int, changed: int, p_adjusted: float | None) -> Verdict:
    """Return the verdict of texts: how many changed, which is neither better nor worse.

    `p_adjusted` is that of the test whether the shares of the categories changed.
    """
    examples = "1 example" if n == 1 else f"{n} examples"
    sentence = f"{name_of(metric)} changed in {changed} of {examples}"
    if p_adjusted is not None and p_adjusted < ALPHA:
        sentence += ", and the shares of its categories changed by more than chance"
    return Verdict(None, f"{sentence}.")


def of_difference(metric: ComparedMetric, evidence: Evidence) -> Verdict:
    """Return the verdict of a difference that was tested."""
    difference, p_adjusted = evidence.difference, evidence.p_adjusted
    if p_adjusted is None or p_adjusted >= ALPHA or not difference:
        return Verdict("no difference shown", _none_shown(metric, evidence))
    rose = difference > 0
    moved = f"{name_of(metric)} {'rose' if rose else 'fell'} {_from_to(metric, evidence)}"
    if metric.direction is None:
        undeclared = "no direction is declared, so this is neither better nor worse"
        return Verdict("higher" if rose else "lower", f"{moved}; {undeclared}.")
    is_better = rose == (metric.direction == "higher")
    word: Word = "better" if is_better else "worse"
    return Verdict(word, f"The candidate is {word}: {moved}.")


def _none_shown(metric: ComparedMetric, evidence: Evidence) -> str:
    sentence = f"No difference shown: {name_of(metric)} went {_from_to(metric, evidence)}"
    if evidence.p_adjusted is not None and evidence.family > 1 and _excludes_0(evidence):
        sentence += f"; among {evidence.family} comparisons this can be chance"
    elif _excludes_0(evidence):
        sentence += "; this can be chance, by the test, which is more exact than the interval"
    elif evidence.detectable is not None:
        smallest = _size(metric, evidence.detectable, evidence.unit)
        alone = " in a comparison by itself" if evidence.family > 1 else ""
        sentence += f"; a difference of {smallest} or more would probably have been found{alone}"
    return f"{sentence}."


def _excludes_0(evidence: Evidence) -> bool:
    interval = evidence.interval
    return interval is not None and not interval["low"] <= 0 <= interval["high"]


def _from_to(metric: ComparedMetric, evidence: Evidence) -> str:
    """Return the means, the difference with its interval, and the number of examples."""
    texts = [
        _figure(metric, number, evidence.unit)
        for number in (evidence.baseline, evidence.candidate)
        if number is not None
    ]
    sentence = f"from {texts[0]} to {texts[1]}" if len(texts) == 2 else "by an unknown amount"
    interval, difference = evidence.interval, evidence.difference
    if interval is None or difference is None:
        return f"{sentence} over {evidence.examples}"
    low, high = (_change(metric, interval[end]) for end in ("low", "high"))
    ends = f"95 % interval {low} to {high}"
    if evidence.bounds is None:
        return f"{sentence} ({_change(metric, difference)}, {ends}) over {evidence.examples}"
    least, most = (_change(metric, bound) for bound in evidence.bounds)
    return (
        f"{sentence} over {evidence.examples}; whatever the failures would have been, the "
        f"difference is {least} to {most} ({ends})"
    )


def _figure(metric: ComparedMetric, number: float, unit: str) -> str:
    if metric.is_rate:
        return f"{100 * number:.3g} %"
    return f"{number:.4g} {unit}".strip()


def _size(metric: ComparedMetric, number: float, unit: str) -> str:
    """Return the size of a difference; of rates in points, since 10 % of 50 % is something else."""
    return f"{100 * number:.3g} points" if metric.is_rate else _figure(metric, number, unit)


def _change(metric: ComparedMetric, number: float) -> str:
    return f"{100 * number:+.3g} points" if metric.is_rate else f"{number:+.4g}"
