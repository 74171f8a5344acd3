"""Comparisons: whether a run is better than its baseline, metric by metric."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.analysis import verdicts
from app.analysis.attributes import Attribute, Label, read_attribute
from app.analysis.categories import changes_of_texts
from app.analysis.differences import (
    MIN_BOOLEANS,
    MIN_PAIRS,
    difference_of,
    pairs_needed,
    why_not_comparable,
)
from app.analysis.metrics import Declared, declared_of, metrics_of
from app.analysis.pairs import UNCOMPARED, ComparedMetric, Pairs
from app.analysis.passes import passes_of
from app.analysis.prices import NO_PRICES, Prices
from app.analysis.run_figures import leaf_summary
from app.analysis.run_scores import RunScores, check_not_empty, pair_runs, read_runs
from app.analysis.scorers import refuse_unknown_scorer
from app.analysis.statistics.significance import ALPHA, Difference, holm_of_possible, sign_test
from app.analysis.usage import is_wanted
from app.analysis.verdicts import Evidence, Verdict
from app.errors import InvalidParameter
from app.schemas.comparisons import VERDICTS
from app.scorers import scorer_name
from app.services.lists import ClientCheck, no_client_check
from app.services.metrics import read_metrics
from app.services.run_references import RunFinder
from app.stores.base import ScoreQuery, Store

MAX_SLICED = 5_000
"""How many slices one answer has, over all comparisons."""

WORST = 10
"""How many regressions of a comparison are listed by default, and twice as many in all."""

CHOSEN = (
    "these examples were chosen by the baseline's values of what is compared, so that chance alone "
    "brings them nearer to the mean"
)
"""Why a slice by the compared leaf has no verdict: regression to the mean (Galton 1886)."""

SHORT = ("mean", "interval", "method", "paired", "p_value", "p_adjusted", "family")
"""The figures of a difference in a ranking."""


def compare_runs(
    store: Store,
    entity: str,
    project: str,
    wanted: dict[str, Any],
    check_client: ClientCheck = no_client_check,
    prices: Prices = NO_PRICES,
) -> dict[str, Any]:
    """Compare each candidate run with the baseline, metric by metric, the worst first.

    `wanted` is a loaded CompareQuery. Raises NotFound if a run does not exist or has neither scores
    nor attempts, InvalidParameter as `RunFinder.find`, `read_runs` and `read_attribute` do, if no
    score has a leaf that is named, and for too many slices, and whatever `check_client` raises.
    """
    finder = RunFinder(store, entity, project, check_client)
    candidates = finder.find_all("candidate", wanted["candidate"])
    run_ids = [finder.find("baseline", wanted["baseline"], besides=candidates).run_id, *candidates]
    read = read_compared(
        store, entity, project, run_ids, wanted, check_client, prices, parameter="candidate"
    )
    by_id = {run.run_id: run for run in read.runs}
    baseline = by_id[run_ids[0]]
    pairs = [
        (metric, by_id[run_id])
        for run_id in candidates
        for metric in metrics_of(
            [baseline, by_id[run_id]], read.declared, read.pair_by, wanted["leaf"]
        )
    ]
    if wanted["worst"] is None:
        wanted = {**wanted, "worst": min(WORST, 2 * WORST // max(len(pairs), 1))}
    comparisons = []
    for metric, candidate in pairs:
        check_client()
        comparisons.append(Comparison(metric, baseline, candidate, wanted))
    if wanted["slice_by"] is not None:
        by = (store, entity, project, read.runs, wanted["slice_by"], check_client)
        slice_comparisons(comparisons, read_attribute(*by, parameter="slice_by"), check_client)
    finder.check_unchanged()
    slices = [part.comparison for each in comparisons for part in each.slices]
    adjust_p_values([*comparisons, *slices])
    comparisons.sort(key=lambda comparison: VERDICTS.index(comparison.verdict.word))
    return {
        "baseline": baseline.run_id,
        "pair_by": read.pair_by,
        "repeats": wanted["repeats"],
        "failures": wanted["failures"],
        "superseded": {run.run_id: run.superseded for run in read.runs},
        "alpha": ALPHA,
        "correction": "holm",
        **({} if wanted["slice_by"] is None else {"slice_by": wanted["slice_by"]}),
        "comparisons": [comparison.response() for comparison in comparisons],
    }


@dataclass(frozen=True)
class Read:
    """Runs that were read to be compared."""

    runs: Sequence[RunScores]
    pair_by: str
    declared: Declared


def read_compared(
    store: Store,
    entity: str,
    project: str,
    run_ids: Sequence[str],
    wanted: Mapping[str, Any],
    check_client: ClientCheck,
    prices: Prices,
    *,
    parameter: str,
) -> Read:
    """Read and pair the runs that a loaded CompareQuery names in `parameter`.

    Raises what `compare_runs` raises.
    """
    scorers = list(dict.fromkeys(map(scorer_name, wanted["scorer"])))
    query = ScoreQuery(entity, project, only_current=wanted["repeats"] != "all")
    metrics = read_metrics(store, entity, project)
    usage = prices if is_wanted(scorers, metrics) else None
    runs = read_runs(
        store, query, scorers, run_ids, check_client, parameter=parameter, prices=usage
    )
    for scorer in set(scorers).difference(*(run.groups for run in runs)):
        refuse_unknown_scorer(store, entity, project, "scorer", scorer)
    check_not_empty(runs, scorers)
    pair_by = pair_runs(store, entity, project, runs, wanted["pair_by"], check_client)
    declared = declared_of(metrics, runs, wanted)
    return Read(runs, pair_by, declared)


def slice_comparisons(
    comparisons: Sequence[Comparison], attribute: Attribute, check_client: ClientCheck
) -> None:
    """Compare the slices of each comparison too. Raises InvalidParameter if there are too many."""
    number = 0
    for comparison in comparisons:
        comparison.slice(attribute, check_client)
        number += len(comparison.slices)
        if number > MAX_SLICED:
            message = f"over {MAX_SLICED} slices of all metrics: name a scorer or a leaf"
            raise InvalidParameter("slice_by", attribute.name, message)


def adjust_p_values(comparisons: Sequence[Comparison]) -> None:
    """Correct the p-values, because some of many comparisons show a difference by chance.

    Primary metrics are a family of their own, which the others do not weaken.
    """
    for is_primary in (True, False):
        family = [each for each in comparisons if each.metric.is_primary is is_primary]
        tested = [(each, each.p_value) for each in family if each.p_value is not None]
        adjusted = holm_of_possible(
            [p_value for _, p_value in tested], [each.least_p_value for each, _ in tested]
        )
        size = sum(p_value is not None for p_value in adjusted)
        for (comparison, _), p_adjusted in zip(tested, adjusted, strict=True):
            comparison.p_adjusted, comparison.family = p_adjusted, size


class Comparison:
    """One metric of a candidate run, compared with the baseline's."""

    def __init__(
        self,
        metric: ComparedMetric,
        baseline: RunScores,
        candidate: RunScores,
        wanted: dict[str, Any],
        *,
        both_ways: bool = False,
        are_chosen: bool = False,
    ) -> None:
        """Compare as a loaded CompareQuery wants it; `both_ways` if neither is the baseline.

        `are_chosen` says that the examples were chosen by the values that are compared.
        """
        self._both_ways = both_ways
        self.are_chosen = are_chosen
        self.metric = metric
        self.p_adjusted: float | None = None
        self.family = 0
        """For how many comparisons the p-value is corrected."""
        self.pairs = Pairs(metric, baseline, candidate)
        self._runs = {"baseline": baseline, "candidate": candidate}
        self._wanted = wanted
        self.slices: Sequence[Slice] = ()
        self.tested = None if metric.is_text else difference_of(self.pairs, wanted["failures"])
        self._changes = changes_of_texts(self.pairs) if metric.is_text else None
        self._compared = len(self.pairs.compared)
        self._rose_and_fell = (0, 0) if metric.is_text else self.pairs.num_risen_and_fallen()
        self._has_single_booleans = self.pairs.has_single_booleans
        self._why = self._why_not_comparable()

    def forget_pairs(self) -> None:
        """Free the memory of the pairs, for a `short_response` only."""
        del self.pairs

    def _why_not_comparable(self) -> str | None:
        wanted, tested = self._wanted, self.tested
        return why_not_comparable(
            self.pairs,
            wanted["failures"] if tested else "exclude",  # A text that failed has no worst value.
            wanted["max_unpaired"],
            paired=tested is None or tested.paired,
            both_ways=self._both_ways,
        )

    @property
    def p_value(self) -> float | None:
        """The p-value of the difference, or of changed categories; None without a test."""
        if self.are_chosen:
            return None
        if self._changes:
            return self._changes.test.p_value if self._changes.test else None
        difference = self.tested and self.tested.difference
        return difference.p_value if difference else None

    @property
    def least_p_value(self) -> float:
        """The smallest p-value that the test could have had."""
        if self._changes:
            return 0.0 if self._compared >= MIN_PAIRS else 1.0
        difference = self.tested and self.tested.difference
        return difference.least_p_value if difference else 1.0

    @property
    def verdict(self) -> Verdict:
        """What the comparison shows, once the p-values are adjusted."""
        tested = self.tested
        if self.are_chosen:
            return verdicts.not_comparable(self.metric, CHOSEN)
        if self._why:
            return verdicts.not_comparable(self.metric, self._why)
        if tested is None:
            changed = self.pairs.num_changed()
            return verdicts.of_texts(self.metric, self._compared, changed, self.p_adjusted)
        are_enough = self._has_single_booleans and not self.family  # Beside others, 6 are.
        needed = MIN_BOOLEANS if are_enough else MIN_PAIRS
        if tested.difference is None or (self.p_adjusted is None and tested.n < needed):
            return verdicts.not_enough(self.metric, tested.n, needed)
        difference = tested.difference
        return verdicts.of_difference(
            self.metric,
            Evidence(
                tested.examples,
                *tested.means,
                difference.mean,
                difference.interval,
                self.p_adjusted,
                self.family,
                difference.detectable,
                tested.bounds,
                self.metric.unit,
            ),
        )

    def slice(self, attribute: Attribute, check_client: ClientCheck) -> None:
        """Compare each slice of the examples by itself."""
        slices = []
        runs = (self._runs["baseline"], self._runs["candidate"])
        for label, parts in attribute.split(self.metric.scorer, *runs).items():
            check_client()
            are_chosen = attribute.leaf == self.metric.path
            comparison = Comparison(self.metric, *parts, self._wanted, are_chosen=are_chosen)
            slices.append(Slice(attribute.describe(label), label, comparison))
        self.slices = slices

    def response(self) -> dict[str, Any]:
        """Return the comparison as a ComparisonRes."""
        counts, k = self.counts(), self._wanted["k"]
        verdict = self.verdict
        return {
            "candidate": self._runs["candidate"].run_id,
            **self.metric.response(),
            "verdict": verdict.word,
            "reason": verdict.reason,
            "summaries": {
                name: {
                    **leaf_summary(run, self.metric, histograms=self._wanted["histograms"]),
                    **({} if k is None else {"passes": passes_of(run, self.metric, self._wanted)}),
                }
                for name, run in self._runs.items()
            },
            "pairs": counts,
            "difference": self.figures(),
            **self._changed_pairs(),
            **({"slices": [each.response() for each in self.slices]} if self.slices else {}),
        }

    def short_response(self) -> dict[str, Any]:
        """Return the comparison as a RankedPair."""
        difference = self.figures() or {}
        return {
            "baseline": self._runs["baseline"].run_id,
            "candidate": self._runs["candidate"].run_id,
            "compared": self._compared,
            "verdict": self.verdict.word,
            **{name: difference.get(name) for name in SHORT},
        }

    def counts(self) -> dict[str, int]:
        """Count the pairs by how they changed, and the examples not compared."""
        pairs = self.pairs
        compared = self._compared
        counts = {"compared": compared}
        if self.metric.is_text:
            changed = pairs.num_changed()
            counts |= {"changed": changed, "unchanged": compared - changed}
        else:
            rose, fell = self._rose_and_fell
            counts |= {"rose": rose, "fell": fell, "ties": compared - rose - fell}
            if self.metric.direction:
                wins, losses = (rose, fell) if self.metric.direction == "higher" else (fell, rose)
                counts |= {"wins": wins, "losses": losses}
        for name in UNCOMPARED:
            counts[name] = pairs.uncompared[name]
        counts["trials_in_baseline"], counts["trials_in_candidate"] = pairs.trials
        return counts

    def figures(self) -> dict[str, Any] | None:
        """Return the difference, its interval and its tests, as a DifferenceRes."""
        tested = self.tested
        if tested is None or tested.difference is None:
            return None
        difference, effect = tested.difference, self._wanted["effect"]
        needed = (
            {} if effect is None else {"pairs_needed": pairs_needed(self.pairs, difference, effect)}
        )
        bounds = tested.bounds and dict(zip(("low", "high"), tested.bounds, strict=True))
        return {
            "mean": difference.mean,
            "baseline": tested.means[0],
            "candidate": tested.means[1],
            "interval": difference.interval,
            "method": difference.method,
            "paired": tested.paired,
            "note": "; ".join(tested.notes) or None,
            "p_value": difference.p_value,
            "p_adjusted": self.p_adjusted,
            "family": self.family,
            "sign_test_p_value": sign_test(*self._rose_and_fell),
            "detectable": difference.detectable,
            **needed,
            **({"bounds": bounds} if bounds else {}),
            **_overlap_figures(tested.overlap),
        }

    def _changed_pairs(self) -> dict[str, Any]:
        """Return the pairs that changed most, on both sides, or how texts changed."""
        most = self._wanted["worst"]
        if self._changes:
            test = {"p_value": self.p_value, "p_adjusted": self.p_adjusted, "family": self.family}
            return {
                "changes": self._changes.response(),
                "categories": {"method": "stuart_maxwell", **test} if self._changes.test else None,
                "regressions": [],
                "improvements": [],
            }
        fallen, risen = (self.pairs.largest(most, sign) for sign in (-1, 1))
        if self.metric.direction is None:
            return {"falls": fallen, "rises": risen, "regressions": [], "improvements": []}
        if self.metric.direction == "lower":
            fallen, risen = risen, fallen
        return {"regressions": fallen, "improvements": risen}


@dataclass(frozen=True)
class Slice:
    """The comparison of the examples with one value of an attribute."""

    name: str
    """What a sentence calls it."""
    label: Label
    comparison: Comparison

    @property
    def verdict(self) -> Verdict:
        """What the comparison shows of the slice."""
        verdict = self.comparison.verdict
        return Verdict(verdict.word, f"{self.name}: {verdict.reason}")

    def response(self) -> dict[str, Any]:
        """Return the slice as a SliceRes."""
        verdict = self.verdict
        return {
            "slice": None if self.label is None else json.loads(self.label),
            "verdict": verdict.word,
            "reason": verdict.reason,
            "pairs": self.comparison.counts(),
            "difference": self.comparison.figures(),
        }


def _overlap_figures(overlap: Difference | None) -> dict[str, Any]:
    """Return the difference by all values, as an OverlapRes, if there is one."""
    if overlap is None:
        return {}
    figures = ("mean", "interval", "method", "p_value")
    return {"overlap": {name: getattr(overlap, name) for name in figures}}
