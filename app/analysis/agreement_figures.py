"""Agreement figures: measures of two lists of values, and the sentence that says them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.analysis.statistics.agreement import (
    MIN_EXAMPLES,
    Metric,
    Statistic,
    bootstrap_intervals,
    confusion_table,
    kappa,
    krippendorff_alpha,
    spearman,
)
from app.analysis.statistics.clusters import mean_of_clusters
from app.services.lists import ClientCheck

MAX_CATEGORIES = 50
"""With more different values there is no confusion table and no kappa."""

PREVALENT = 0.8
"""From this part on, a value is so frequent that the sentence warns of it."""

NOTHING = "no prediction has a value by both"
TOO_MANY = f"there are over {MAX_CATEGORIES} different values"
NO_ORDER = "these values have no order"
NO_VARIATION = "the values do not vary"

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Figure = dict[str, Any]


class AgreementFigures:
    """The values of two judges, prediction by prediction, and how far they are equal."""

    def __init__(
        self,
        kind: str,
        values: Sequence[tuple[Any, Any]],
        examples: Sequence[str],
        check_client: ClientCheck,
    ) -> None:
        """Compute the figures; predictions of one example, in `examples`, are not independent."""
        self._kind, self._n, self._check_client = kind, len(values), check_client
        found = {each for pair in values for each in pair}
        self._scale = [False, True] if kind == "boolean" else sorted(found)
        code = {value: place for place, value in enumerate(self._scale)}
        pairs = [code[one] * len(code) + code[two] for one, two in values]
        # Figures depend on how often each different pair of values occurs, and on nothing else.
        cells, self._cells = np.unique(np.array(pairs, np.int64), return_inverse=True)
        self._first, self._second = np.divmod(cells, max(len(code), 1))
        self._both = np.concatenate((self._first, self._second))
        number = {key: place for place, key in enumerate(dict.fromkeys(examples))}
        self._num_examples = len(number)
        self._examples = np.array([number[key] for key in examples], np.int64)
        self._frequencies = self._weights(np.ones(self._num_examples))
        self.agreement = self._agreement()
        no_order = None if kind == "number" else NO_ORDER
        self.kappa, self.weighted_kappa, self.alpha, self.spearman = self._figures(
            (self._kappa, self._why_no_kappa()),
            (self._weighted_kappa, no_order or self._why_no_kappa()),
            (self._alpha(), None),
            (self._spearman, no_order),
        )

    def response(self) -> dict[str, Any]:
        """Return the figures of an AgreementRes."""
        return {
            "agreement": self.agreement,
            "by_chance": self._by_chance(),
            "kappa": self.kappa,
            "weighted_kappa": self.weighted_kappa,
            "alpha": self.alpha,
            "spearman": self.spearman,
            "table": self._table(),
        }

    # Figures

    def _weights(self, drawn: Floats) -> Floats:
        """Return how often each pair of values occurs in a sample with `drawn` of each example."""
        weights = np.bincount(self._cells, drawn[self._examples], len(self._first))
        return weights.astype(float)

    def _figures(self, *wanted: tuple[Statistic, str | None]) -> Iterator[Figure]:
        """Yield figures with their intervals, all from the same samples.

        Each has a statistic of weights, or says why it makes no sense.
        """
        found = [self._value(statistic, why) for statistic, why in wanted]
        statistics = [
            statistic
            for (statistic, _), figure in zip(wanted, found, strict=True)
            if figure["value"] is not None
        ]

        def of_sample(drawn: Floats) -> list[float | None]:
            self._check_client()
            weights = self._weights(drawn)
            return [statistic(weights) for statistic in statistics]

        intervals = iter(bootstrap_intervals(of_sample, len(statistics), self._num_examples))
        for figure in found:
            if figure["value"] is not None:
                interval = next(intervals)
                figure |= {"interval": interval, "why": self._why_no_interval(interval)}
            yield figure

    def _value(self, statistic: Statistic, why: str | None) -> Figure:
        why = why or (None if self._n else NOTHING)
        value = None if why else statistic(self._frequencies)
        missing = None if value is not None else why or NO_VARIATION
        return {"value": value, "interval": None, "why": missing}

    def _why_no_interval(self, interval: Any) -> str | None:
        if interval is not None:
            return None
        if self._num_examples < MIN_EXAMPLES:
            return f"an interval needs {MIN_EXAMPLES} examples"
        return "samples of these examples do not vary enough for an interval"

    def _agreement(self) -> Figure:
        if not self._n:
            return {"value": None, "interval": None, "why": NOTHING}
        equal = (self._first == self._second)[self._cells].astype(float)
        sizes = np.bincount(self._examples)
        clustered = mean_of_clusters(np.bincount(self._examples, equal) / sizes, sizes)
        interval = clustered and clustered.rate_interval()
        return {
            "value": float(equal.mean()),
            "interval": interval,
            "why": None if interval else "an interval needs 2 examples",
        }

    def _why_no_kappa(self) -> str | None:
        return TOO_MANY if len(self._scale) > MAX_CATEGORIES else None

    def _counts(self, weights: Floats) -> Floats:
        return confusion_table(self._first, self._second, len(self._scale), weights)

    def _kappa(self, weights: Floats) -> float | None:
        return kappa(self._counts(weights))

    def _weighted_kappa(self, weights: Floats) -> float | None:
        points = np.array(self._scale, float)
        largest = np.abs(points).max()  # Without it, a square might overflow.
        return kappa(self._counts(weights), points / largest if largest else points, power=2)

    def _alpha(self) -> Statistic:
        units = np.tile(np.arange(len(self._first)), 2)
        is_number = self._kind == "number"
        scale = np.array(self._scale if is_number else (), float)
        metric: Metric = "interval" if is_number else "nominal"
        return krippendorff_alpha(units, scale, self._both, metric)

    def _spearman(self, weights: Floats) -> float | None:
        return spearman(self._first, self._second, weights)

    def _by_chance(self) -> float | None:
        if not self._n:
            return None
        size = len(self._scale)
        parts = [
            np.bincount(each, self._frequencies, size) / self._n
            for each in (self._first, self._second)
        ]
        return float(parts[0] @ parts[1])

    def _table(self) -> dict[str, Any] | None:
        if not self._n or self._why_no_kappa():
            return None
        return {
            "categories": self._scale,
            "counts": self._counts(self._frequencies).astype(int).tolist(),
        }

    # The sentence

    def reason(self, first: str, second: str) -> str:
        """Return in one sentence what the figures say."""
        names = f"{first} and {second}"
        if not self._n:
            return f"No prediction has a value by both {names}."
        predictions = "1 prediction" if self._n == 1 else f"{self._n} predictions"
        same = f"{names} give the same value to {_percent(self.agreement['value'])}"
        sentence = f"{same} of {predictions}"
        if self._kind == "number":
            return f"{sentence}{self._beyond_equal()}."
        return f"{sentence}{self._beyond_chance()}{self._prevalence()}."

    def _beyond_equal(self) -> str:
        """Return the sentence about numbers, which may agree without being equal."""
        if self.alpha["value"] is None:
            return ", and all values are the same, so nothing shows whether they tell any apart"
        said = f"; how near the others are says Krippendorff's alpha, {_stated(self.alpha)}"
        said += ", where 1 is full agreement and 0 what chance gives"
        if self.spearman["value"] is not None:
            said += f"; their orders agree with Spearman's correlation {_stated(self.spearman)}"
        return said

    def _beyond_chance(self) -> str:
        figure = self.alpha if self.kappa["value"] is None else self.kappa
        name = "Krippendorff's alpha" if figure is self.alpha else "Cohen's kappa"
        if figure["value"] is None:
            return ", always this one value, so nothing shows whether they tell any apart"
        by_chance = _percent(self._by_chance() or 0.0)
        said = f"; by chance it would be {by_chance}, so {name} is {_stated(figure)}"
        if figure["value"] <= 0:
            return f"{said}: they agree no more often than by chance"
        return f"{said}: they reach {_percent(figure['value'])} of what chance leaves open"

    def _prevalence(self) -> str:
        counts = np.bincount(self._both, np.tile(self._frequencies, 2))
        share = float(counts.max()) / (2 * self._n)
        if share < PREVALENT or share == 1:
            return ""
        value = self._scale[int(counts.argmax())]
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        frequent = f"{_percent(share)} of all values are {shown}"
        return f"; {frequent}, so they are often equal by chance, and kappa hangs on the few others"


def _stated(figure: Figure) -> str:
    """Return a figure with its interval."""
    interval, value = figure["interval"], f"{figure['value']:.2f}"
    if interval is None:
        return f"{value} ({figure['why']})"
    return f"{value} (95 % interval {interval['low']:.2f} to {interval['high']:.2f})"


def _percent(part: float) -> str:
    return f"{100 * part:.3g} %"
