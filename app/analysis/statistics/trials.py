"""Trials: how often one of k trials of an example passes, or all of them, and which disagree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.analysis.statistics.clusters import ClusteredMean
from app.analysis.statistics.estimates import LEVEL, moments_of

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class PassRate:
    """The probability that k trials of an example pass, as a mean over the examples."""

    rate: float | None
    """None where no example has k trials."""
    interval: dict[str, Any] | None
    """Over the examples; None of fewer than two."""
    examples: int
    """The examples with at least k trials, which count."""
    left_out: int
    """The examples with fewer trials."""


def pass_at_k(trials: Counts, passes: Counts, k: int, level: float = LEVEL) -> PassRate:
    """Return the probability that at least one of k trials passes, given counts by example.

    The estimate is unbiased: 1 - C(n - c, k) / C(n, k), for c passes of n trials.
    Source: Chen et al. (2021), Evaluating Large Language Models Trained on Code, equation 1.
    """
    counts = trials >= k
    rates = 1 - _all_drawn(trials[counts], (trials - passes)[counts], k)
    return _mean(rates, trials[counts], len(trials), level)


def pass_hat_k(trials: Counts, passes: Counts, k: int, level: float = LEVEL) -> PassRate:
    """Return the probability that all of k trials pass (pass^k), given counts by example.

    The estimate is unbiased: C(c, k) / C(n, k), for c passes of n trials.
    Source: Yao et al. (2024), tau-bench.
    """
    counts = trials >= k
    rates = _all_drawn(trials[counts], passes[counts], k)
    return _mean(rates, trials[counts], len(trials), level)


def are_flaky(trials: Counts, passes: Counts) -> NDArray[np.bool_]:
    """Return which examples are flaky: some of their trials passed, and some did not."""
    return (passes > 0) & (passes < trials)


def _all_drawn(trials: Counts, wanted: Counts, k: int) -> NDArray[np.float64]:
    """Return the chance that k of the trials, drawn without replacement, are all wanted ones."""
    chances = np.ones(len(trials))
    for drawn in range(k):
        chances *= np.maximum(wanted - drawn, 0) / (trials - drawn)
    return chances


def _mean(rates: NDArray[np.float64], trials: Counts, examples: int, level: float) -> PassRate:
    """Return the mean over examples, with the interval of a rate whose clusters they are."""
    left_out = examples - len(rates)
    if not len(rates):
        return PassRate(None, None, 0, left_out)
    moments = moments_of(rates)
    error = moments.standard_error
    clustered = ClusteredMean(int(trials.sum()), len(rates), moments.mean, error)
    return PassRate(moments.mean, clustered.rate_interval(level), len(rates), left_out)
