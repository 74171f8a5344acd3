"""Passes: how often one of k trials of an example is true, or all are, and which disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any, NamedTuple

import numpy as np

from app.analysis.gate_checks import Check
from app.analysis.pairs import ComparedMetric
from app.analysis.run_scores import RunScores
from app.analysis.statistics.bounds import mean_bounds
from app.analysis.statistics.decisions import Outcome, is_below
from app.analysis.statistics.trials import Counts, PassRate, are_flaky, pass_at_k, pass_hat_k

ESTIMATORS = {"min_pass_at_k": pass_at_k, "min_pass_hat_k": pass_hat_k}
"""What each limit of a gate holds for."""


class Example(NamedTuple):
    """The trials of one example: how many there are, how many are true, and one of each kind."""

    trials: int
    passes: int
    passing: str | None
    failing: str | None
    """The newest such trials, by the ids of their predictions."""

    @property
    def place(self) -> tuple[float, int]:
        """Where a flaky example comes in a list: those first whose trials disagree most."""
        return abs(2 * self.passes - self.trials) / self.trials, -self.trials


@dataclass(frozen=True)
class Trials:
    """The trials of a metric in a run, by example."""

    examples: list[Example]
    failed: int
    """The number of trials without a value."""

    @property
    def counts(self) -> tuple[Counts, Counts]:
        """The numbers of trials and of passes of each example."""
        trials = np.array([each.trials for each in self.examples], np.int64)
        return trials, np.array([each.passes for each in self.examples], np.int64)


def trials_of(run: RunScores, metric: ComparedMetric, *, failed: bool | None = None) -> Trials:
    """Return the trials of a rate in a run.

    A trial that several annotators judged passes if all of them say so. One without a value is left
    out, or counts as `failed`.
    """
    examples, num_failed = [], 0
    for scores in run.paired.get(metric.scorer, {}).values():
        judged: dict[str, bool | None] = {}
        for score in scores:
            value = metric.value_in(score)
            known = judged.get(score.prediction_id)
            judged[score.prediction_id] = (
                known if value is None else bool(value) and known is not False
            )
        num_failed += sum(each is None for each in judged.values())
        outcomes = {name: failed if each is None else each for name, each in judged.items()}
        passing = [name for name, each in outcomes.items() if each is True]
        failing = [name for name, each in outcomes.items() if each is False]
        number = len(passing) + len(failing)
        examples.append(Example(number, len(passing), _last(passing), _last(failing)))
    return Trials(examples, num_failed)


def passes_of(
    run: RunScores, metric: ComparedMetric, wanted: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the figures of a metric with the k of a loaded CompareQuery, as a PassesRes.

    None of values that are no rates.
    """
    if not metric.is_rate:
        return None
    k = wanted["k"]
    trials = trials_of(run, metric, failed=None if wanted["failures"] == "exclude" else False)
    counts = trials.counts
    rates = {"pass_at_k": pass_at_k(*counts, k), "pass_hat_k": pass_hat_k(*counts, k)}
    flaky = [trials.examples[place] for place in np.flatnonzero(are_flaky(*counts))]
    rate = rates["pass_at_k"]
    return {
        "k": k,
        "reason": _reason(k, rates, trials.failed, len(flaky)),
        "examples": rate.examples,
        "left_out": rate.left_out,
        "failed_trials": trials.failed,
        **{name: {"rate": each.rate, "interval": each.interval} for name, each in rates.items()},
        "num_flaky": len(flaky),
        "flaky": [
            {
                "trials": each.trials,
                "passes": each.passes,
                "passing_prediction_id": each.passing,
                "failing_prediction_id": each.failing,
            }
            for each in nsmallest(wanted["worst"], flaky, key=lambda each: each.place)
        ],
    }


def check_passes(
    limits: Mapping[str, Any], run: RunScores, metric: ComparedMetric
) -> Iterator[Check]:
    """Yield the outcome of `min_pass_at_k` and `min_pass_hat_k` of loaded Limits.

    A trial without a value may have been true or false, and an example with too few trials may
    always pass or never: what would then be another outcome is inconclusive.
    """
    for name in ESTIMATORS:
        if limits[name] is not None:
            yield _check(name, limits[name], limits, run, metric)


def _check(
    name: str, limit: float, limits: Mapping[str, Any], run: RunScores, metric: ComparedMetric
) -> Check:
    k, estimate = limits["k"], ESTIMATORS[name]
    trials = trials_of(run, metric)
    known, worst, best = (
        estimate(*trials_of(run, metric, failed=failed).counts, k) for failed in (None, False, True)
    )
    if worst.rate is None or best.rate is None:
        return Check(name, limit, "inconclusive", why=f"no example has {k} trials")
    low, high = worst.rate, best.rate
    if limits["confidence"]:
        if worst.interval is None or best.interval is None:
            why = "one example with enough trials has no interval"
            return Check(name, limit, "inconclusive", known.rate, why=why)
        low, high = worst.interval["low"], best.interval["high"]
    low, _ = mean_bounds(low, worst.examples, worst.left_out, 0.0, 1.0)
    _, high = mean_bounds(high, best.examples, best.left_out, 0.0, 1.0)
    why = _why_unknown(k, known, trials.failed)
    if is_below(low, limit) and not is_below(high, limit):
        why = why or "the limit is within the interval"
        return Check(name, limit, "inconclusive", known.rate, known.interval, why)
    outcome: Outcome = "failed" if is_below(low, limit) else "passed"
    shown = why if known.rate is None else None
    return Check(name, limit, outcome, known.rate, known.interval, shown)


def _why_unknown(k: int, rate: PassRate, failed: int) -> str:
    examples = rate.examples + rate.left_out
    few = f"{rate.left_out} of {examples} examples have fewer than {k} trials"
    without = "1 trial has" if failed == 1 else f"{failed} trials have"
    return " and ".join([few] * bool(rate.left_out) + [f"{without} no value"] * bool(failed))


def _reason(k: int, rates: Mapping[str, PassRate], failed: int, flaky: int) -> str:
    """Return the figures in one sentence."""
    rate = rates["pass_at_k"]
    if rate.rate is None:
        return f"No example has {k} trials; {flaky} are flaky."
    some, every = (_shown(each) for each in rates.values())
    few = _why_unknown(k, rate, failed)
    return (
        f"One or more of {k} trials pass with a probability of {some}, all of them with {every}, "
        f"over {rate.examples} examples{f' ({few})' if few else ''}; {flaky} are flaky."
    )


def _shown(rate: PassRate) -> str:
    text = f"{100 * (rate.rate or 0.0):.3g} %"
    if rate.interval is None:
        return text
    low, high = (100 * rate.interval[end] for end in ("low", "high"))
    return f"{text} (95 % interval {low:.3g} to {high:.3g} %)"


def _last(names: list[str]) -> str | None:
    return names[-1] if names else None
