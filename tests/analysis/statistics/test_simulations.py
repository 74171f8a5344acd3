"""Coverage, size and power by simulation: `make test-simulation` runs it, `make test` does not.

The seed is fixed. SCORELINE_TEST_SAMPLES sets the number of samples of each case.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from app.analysis.statistics import agreement
from app.analysis.statistics.agreement import bootstrap_intervals, confusion_table, kappa
from app.analysis.statistics.categories import stuart_maxwell
from app.analysis.statistics.clusters import mean_of_clusters
from app.analysis.statistics.decisions import not_worse_by
from app.analysis.statistics.estimates import mean_interval, moments_of
from app.analysis.statistics.ranking import rank_ranges
from app.analysis.statistics.significance import (
    ALPHA,
    Difference,
    holm_of_possible,
    of_overlap,
    of_paired_booleans,
    of_pairs,
    of_rates,
    of_samples,
)
from app.analysis.statistics.trials import pass_at_k, pass_hat_k

pytestmark = pytest.mark.simulation

SAMPLES = int(os.environ.get("SCORELINE_TEST_SAMPLES", "2000"))

SIZES = [10, 30, 100, 1_000]

Values = NDArray[np.float64]


@pytest.fixture
def rng() -> Generator:
    return np.random.default_rng(16)


def noise(part: float, samples: int = SAMPLES) -> float:
    """Return what a simulated part may be off by: three standard errors."""
    return 3 * math.sqrt(part * (1 - part) / samples)


def part_of(happens: Callable[[], bool], samples: int = SAMPLES) -> float:
    return sum(happens() for _ in range(samples)) / samples


def contains(interval: dict[str, float] | None, truth: float) -> bool:
    return interval is not None and interval["low"] <= truth <= interval["high"]


def is_shown(difference: Difference) -> bool:
    """Return whether a single comparison would say that there is a difference."""
    (p_value,) = holm_of_possible([difference.p_value or 1.0], [difference.least_p_value])
    return p_value is not None and p_value < ALPHA


def ratings(rng: Generator, n: int) -> Values:
    """Return ratings from 1 to 5 by a judge, mostly high."""
    return rng.choice(np.arange(1.0, 6.0), n, p=[0.05, 0.1, 0.15, 0.3, 0.4])


# Means


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("draw", [Generator.standard_normal, Generator.random, ratings])
def test_the_interval_of_a_mean_covers_it(
    rng: Generator, draw: Callable[[Generator, int], Values], n: int
) -> None:
    truth = float(draw(rng, 1_000_000).mean())

    def covers() -> bool:
        moments = moments_of(draw(rng, n))
        return contains(mean_interval(n, moments.mean, moments.deviation), truth)

    assert 0.93 <= part_of(covers) <= 0.97


@pytest.mark.parametrize("n", [300, 1_000])
def test_the_interval_of_a_skewed_mean_covers_it_where_no_note_is_due(
    rng: Generator, n: int
) -> None:
    def covers() -> bool:
        moments = moments_of(rng.standard_exponential(n))
        return contains(mean_interval(n, moments.mean, moments.deviation), 1.0)

    assert 0.93 <= part_of(covers) <= 0.97


@pytest.mark.parametrize("clusters", SIZES)
def test_the_interval_of_a_clustered_mean_covers_it(rng: Generator, clusters: int) -> None:
    def covers() -> bool:
        sizes = rng.integers(1, 6, clusters)
        means = rng.standard_normal(clusters) + rng.standard_normal(clusters) / np.sqrt(sizes)
        mean = mean_of_clusters(means, sizes)
        return mean is not None and contains(mean.interval(), 0.0)

    assert 0.92 <= part_of(covers) <= 0.97


@pytest.mark.parametrize("clusters", SIZES)
@pytest.mark.parametrize("rate", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("correlation", [0.1, 0.3])
def test_the_interval_of_a_clustered_rate_covers_it(
    rng: Generator, rate: float, correlation: float, clusters: int
) -> None:
    shapes = rate * (1 / correlation - 1), (1 - rate) * (1 / correlation - 1)

    def covers() -> bool:
        passes = rng.binomial(5, rng.beta(*shapes, clusters))
        mean = mean_of_clusters(passes / 5, np.full(clusters, 5))
        return mean is not None and contains(mean.rate_interval(), rate)

    assert part_of(covers) >= 0.93


@pytest.mark.parametrize("estimate", [pass_at_k, pass_hat_k])
@pytest.mark.parametrize("examples", [30, 100])
def test_the_interval_of_a_pass_rate_covers_it(
    rng: Generator, estimate: Callable[..., object], examples: int
) -> None:
    chances = rng.beta(2, 1, 1_000_000)
    is_any = estimate is pass_at_k
    truth = float((1 - (1 - chances) ** 3 if is_any else chances**3).mean())

    def covers() -> bool:
        passes = rng.binomial(8, rng.beta(2, 1, examples))
        result = (pass_at_k if is_any else pass_hat_k)(np.full(examples, 8), passes, 3)
        return contains(result.interval, truth)

    assert part_of(covers) >= 0.92


# Differences


@pytest.mark.parametrize("n", SIZES)
def test_paired_ratings_without_a_difference_are_rarely_said_to_differ(
    rng: Generator, n: int
) -> None:
    results = []

    def is_wrong() -> bool:
        base = ratings(rng, n)
        one, two = (np.where(rng.random(n) < 0.7, base, ratings(rng, n)) for _ in range(2))
        results.append(of_pairs(two - one, 4.0))
        return is_shown(results[-1])

    assert part_of(is_wrong) <= ALPHA + noise(ALPHA)
    assert sum(contains(each.interval, 0.0) for each in results) / SAMPLES >= 0.93


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("changed", [0.02, 0.1, 0.4])
def test_paired_booleans_without_a_difference_are_rarely_said_to_differ(
    rng: Generator, changed: float, n: int
) -> None:
    results = []

    def is_wrong() -> bool:
        wins, losses, _ = rng.multinomial(n, [changed / 2, changed / 2, 1 - changed])
        results.append(of_paired_booleans(n, int(wins), int(losses)))
        return is_shown(results[-1])

    assert part_of(is_wrong) <= ALPHA + noise(ALPHA)
    assert sum(contains(each.interval, 0.0) for each in results) / SAMPLES >= 0.93


@pytest.mark.parametrize("n", SIZES)
def test_a_candidate_that_is_worse_by_the_margin_rarely_passes(rng: Generator, n: int) -> None:
    def passes_booleans() -> bool:
        wins, losses, _ = rng.multinomial(n, [0.05, 0.1, 0.85])
        interval = of_paired_booleans(n, int(wins), int(losses)).one_sided
        return not_worse_by(0.05, interval, lower_is_better=False) == "passed"

    def passes_numbers() -> bool:
        interval = of_pairs(rng.normal(-0.05, 0.3, n)).one_sided
        return not_worse_by(0.05, interval, lower_is_better=False) == "passed"

    assert part_of(passes_numbers) <= ALPHA + noise(ALPHA)
    assert part_of(passes_booleans) <= 0.06 + noise(0.06)


@pytest.mark.parametrize("n", SIZES)
def test_independent_samples_without_a_difference_are_rarely_said_to_differ(
    rng: Generator, n: int
) -> None:
    def is_wrong_of_numbers() -> bool:
        return is_shown(of_samples(rng.normal(0, 1, n), rng.normal(0, 3, 2 * n)))

    def is_wrong_of_rates() -> bool:
        before, after = rng.binomial([n, 2 * n], 0.8)
        return is_shown(of_rates((int(before), n), (int(after), 2 * n)))

    assert part_of(is_wrong_of_numbers) <= ALPHA + noise(ALPHA)
    assert part_of(is_wrong_of_rates) <= ALPHA + noise(ALPHA)


@pytest.mark.parametrize("n", SIZES)
def test_partly_paired_samples_without_a_difference_are_rarely_said_to_differ(
    rng: Generator, n: int
) -> None:
    results = []

    def is_wrong() -> bool:
        shared = rng.standard_normal(n)
        before, after = (shared + rng.standard_normal(n) for _ in range(2))
        alone = rng.normal(0, math.sqrt(2), n // 2), rng.normal(0, math.sqrt(2), n)
        results.append(of_overlap(*alone, before, after))
        return is_shown(results[-1])

    assert part_of(is_wrong) <= ALPHA + noise(ALPHA)
    assert 0.93 <= sum(contains(each.interval, 0.0) for each in results) / SAMPLES <= 0.97


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("stays", [0.9, 0.5])
def test_categories_without_a_difference_are_rarely_said_to_differ(
    rng: Generator, stays: float, n: int
) -> None:
    chances = np.full((3, 3), (1 - stays) / 9) + np.eye(3) * stays / 3

    def is_wrong() -> bool:
        table = rng.multinomial(n, chances.ravel()).reshape(3, 3)
        return (stuart_maxwell(table).p_value or 1.0) < ALPHA

    assert part_of(is_wrong) <= ALPHA + noise(ALPHA)


def test_a_family_without_differences_is_rarely_said_to_have_one(rng: Generator) -> None:
    def is_wrong() -> bool:
        tests = [of_pairs(rng.standard_normal(40)) for _ in range(3)]
        for changed in (0.02, 0.05, 0.3):
            wins, losses, _ = rng.multinomial(60, [changed / 2, changed / 2, 1 - changed])
            tests.append(of_paired_booleans(60, int(wins), int(losses)))
        adjusted = holm_of_possible(
            [each.p_value or 1.0 for each in tests], [each.least_p_value for each in tests]
        )
        return any(p_value is not None and p_value < ALPHA for p_value in adjusted)

    assert part_of(is_wrong) <= ALPHA + noise(ALPHA)


def test_ranges_of_ranks_hold_the_true_ranks(rng: Generator) -> None:
    truth = [0.3, 0.2, 0.2, 0.1, 0.0]

    def holds() -> bool:
        examples = rng.standard_normal((60, 1))
        scores = examples + truth + rng.normal(0, 0.4, (60, 5))
        pairs = [(one, two) for one in range(5) for two in range(one)]
        tests = [of_pairs(scores[:, one] - scores[:, two]) for one, two in pairs]
        adjusted = holm_of_possible(
            [each.p_value or 1.0 for each in tests], [each.least_p_value for each in tests]
        )
        is_better = np.zeros((5, 5), dtype=bool)
        for (one, two), test, p_value in zip(pairs, tests, adjusted, strict=True):
            if p_value is not None and p_value < ALPHA:
                better, worse = (one, two) if (test.mean or 0) > 0 else (two, one)
                is_better[better, worse] = True
        ranges = rank_ranges(is_better)
        ranks = [1, 2, 2, 4, 5], [1, 3, 3, 4, 5]  # The second and the third are equal.
        return all(
            best <= lowest and highest <= worst
            for (best, worst), lowest, highest in zip(ranges, *ranks, strict=True)
        )

    assert part_of(holds, SAMPLES // 4) >= 0.95 - noise(0.95, SAMPLES // 4)


# Power


def test_trials_of_booleans_find_what_the_newest_trial_alone_does_not(rng: Generator) -> None:
    """Find +.1 by 50 examples of 10 trials, as statistics of trial means do."""

    def finds() -> tuple[bool, bool]:
        chances = rng.beta(1, 1, 50) * 0.9
        before, after = rng.binomial(10, chances), rng.binomial(10, chances + 0.1)
        newest = rng.random((2, 50)) < np.stack([chances, chances + 0.1])
        wins, losses = int((newest[1] & ~newest[0]).sum()), int((newest[0] & ~newest[1]).sum())
        means = is_shown(of_pairs((after - before) / 10, 1.0))
        return means, is_shown(of_paired_booleans(50, wins, losses))

    found = np.mean([finds() for _ in range(SAMPLES)], axis=0)
    assert found[0] > 0.9
    assert found[1] < 0.3


@pytest.mark.parametrize("n", SIZES)
def test_a_detectable_difference_is_found_in_four_of_five_runs(rng: Generator, n: int) -> None:
    def finds() -> bool:
        differences = rng.standard_normal(n)
        known = of_pairs(differences)
        return is_shown(of_pairs(differences + (known.detectable or 0) / (known.deviation or 1)))

    assert part_of(finds) == pytest.approx(0.8, abs=0.02 + noise(0.8))


# Agreement


@pytest.mark.parametrize("n", [30, 100])
def test_the_interval_of_kappa_covers_it(
    rng: Generator, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    monkeypatch.setattr(agreement, "REPEATS", 400)
    samples = max(SAMPLES // 10, 100)

    def covers() -> bool:
        first = rng.integers(0, 2, n)
        second = np.where(rng.random(n) < 0.8, first, 1 - first)
        table = partial(confusion_table, first, second, 2)
        (interval,) = bootstrap_intervals(lambda weights: [kappa(table(weights))], 1, n)
        return contains(interval, 0.6)

    assert part_of(covers, samples) >= 0.94 - noise(0.94, samples)
