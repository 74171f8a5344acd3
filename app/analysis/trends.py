"""Trends: one metric over the newest runs, and whether the newest run differs from earlier ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.analysis.comparisons import Comparison, adjust_p_values, read_compared
from app.analysis.metrics import Declared
from app.analysis.pairs import ComparedMetric
from app.analysis.prices import NO_PRICES, Prices
from app.analysis.run_figures import mean_and_interval
from app.analysis.run_scores import RunScores, pair_runs, read_runs
from app.analysis.scorers import refuse_unknown_scorer
from app.analysis.statistics.significance import ALPHA
from app.analysis.summaries import ScoreGroup
from app.analysis.usage import is_wanted
from app.analysis.verdicts import name_of
from app.errors import InvalidParameter
from app.ids import id_time, utc_text
from app.leaves import refuse_unknown_name, similar_names
from app.schemas.comparisons import CompareQuery
from app.scorers import scorer_name
from app.services.lists import ClientCheck, no_client_check
from app.services.metrics import read_metrics
from app.services.run_references import check_same
from app.services.runs import Run, newest_runs
from app.stores.base import ScoreQuery, Store

MAX_SCORES = 3_000_000
"""The scores that one trend reads, over all its runs; those of one run are held in memory."""

MAX_EMPTY = 1_000
"""How many runs without scores by the scorer are left out before a trend is refused."""

PHRASES = {
    "worse": "is worse than",
    "better": "is better than",
    "lower": "is lower than",
    "higher": "is higher than",
    "not comparable": "is not comparable with",
    "no difference shown": "is not shown to differ from",
    "not enough data": "has too few examples in common with",
}
"""How a sentence says the verdict on the newest run."""


def trend_of(
    store: Store,
    entity: str,
    project: str,
    wanted: Mapping[str, Any],
    check_client: ClientCheck = no_client_check,
    prices: Prices = NO_PRICES,
) -> dict[str, Any]:
    """Return one metric of the newest runs that pass the filters, as a TrendRes.

    `wanted` is a loaded TrendQuery. The newest run is compared with the one before and with the
    first, as one family of tests. Raises InvalidParameter for a scorer or a leaf that is not there,
    for texts without a declared truth, and over the limits above, and whatever `check_client`
    raises.
    """
    trend = Trend(store, entity, project, wanted, prices)
    trend.read(check_client)
    return trend.response(check_client)


@dataclass(frozen=True)
class Point:
    """One run of a trend."""

    run: Run
    figures: Mapping[str, Any]
    is_rate: bool

    def response(self) -> dict[str, Any]:
        """Return the point as a TrendRun."""
        document = self.run.document
        started_at = document.started_at if document else id_time(self.run.first_id)
        return {
            "run": self.run.run_id,
            "name": document and document.name,
            "started_at": utc_text(started_at),
            **self.figures,
        }


class Trend:
    """One metric over runs, read one after the other, the newest first."""

    def __init__(
        self,
        store: Store,
        entity: str,
        project: str,
        wanted: Mapping[str, Any],
        prices: Prices,
    ) -> None:
        """Begin with what is declared of the metric."""
        self._store, self._place, self._wanted = store, (entity, project), wanted
        self._scorer, self._leaf = scorer_name(wanted["scorer"]), wanted["leaf"]
        self._prices = prices
        self._declared = Declared(read_metrics(store, entity, project), {})
        self._points: list[Point] = []
        self._kind: str | None = None
        self._has_leaf = False
        self._paths: Collection[str] = ()
        """The leaves with values of the newest run that has any."""
        self._num_empty = 0

    def read(self, check_client: ClientCheck) -> None:
        """Read the runs. Raises InvalidParameter."""
        num_scores = 0
        for run in newest_runs(self._store, *self._place, self._wanted, check_client):
            scores = self._read_run(run, check_client)
            num_scores += len(scores.scores.get(self._scorer, ()))
            if num_scores > MAX_SCORES:
                self._refuse("limit", f"the runs have over {MAX_SCORES} scores: name fewer runs")
            if scores.groups:
                self._add(run, scores)
            else:
                self._num_empty += 1
            if self._num_empty > MAX_EMPTY:
                why = "no scores by this scorer: filter by evaluation, name or attribute"
                self._refuse("scorer", f"over {MAX_EMPTY} runs have {why}")
            if len(self._points) == self._wanted["limit"]:
                break
        self._check()

    def _read_run(self, run: Run, check_client: ClientCheck) -> RunScores:
        (scores,) = read_runs(
            self._store,
            ScoreQuery(*self._place, only_current=True),
            [self._scorer],
            [run.run_id],
            check_client,
            parameter="scorer",
            prices=self._prices if is_wanted([self._scorer], {}) else None,
        )
        if scores.groups:
            pair_runs(self._store, *self._place, [scores], None, check_client)
        check_same(self._store, *self._place, run)
        return scores

    def _add(self, run: Run, scores: RunScores) -> None:
        group = scores.groups.get(self._scorer, ScoreGroup())
        values = group.leaves.get(self._leaf)
        kinds = values.kinds if values else []
        self._has_leaf |= values is not None
        self._paths = self._paths or [path for path, each in group.leaves.items() if each.kinds]
        self._kind = self._kind or next(iter(kinds), None)
        are_rates = values is None or not values.numbers.n or values.numbers.are_rates
        metric = self._metric(is_rate=self._kind == "boolean" or are_rates)
        counts = group.figures(self._leaf)
        mean, interval = mean_and_interval(scores, metric)
        figures = {
            **{name: counts[name] for name in ("attempted", "scored", "coverage")},
            "mean": mean,
            "interval": interval,
        }
        self._points.append(Point(run, figures, metric.is_rate))

    def _metric(self, *, is_rate: bool) -> ComparedMetric:
        kind = self._kind or "number"
        is_rate = is_rate and kind != "text"
        return self._declared.describe(self._scorer, self._leaf, kind, is_rate=is_rate)

    def _check(self) -> None:
        """Raise InvalidParameter for a scorer or leaf that is not there, and for texts."""
        if not self._points:
            refuse_unknown_scorer(self._store, *self._place, "scorer", self._wanted["scorer"])
        elif self._paths and not self._has_leaf:
            refuse_unknown_name("leaf", self._leaf, self._paths)
        elif self._metric(is_rate=False).is_text:
            why = "has texts, which have no mean: declare which of them are true"
            self._refuse("leaf", f"the leaf '{self._leaf}' {why}")

    def _refuse(self, parameter: str, message: str) -> None:
        raise InvalidParameter(parameter, self._wanted[parameter], message)

    def response(self, check_client: ClientCheck) -> dict[str, Any]:
        """Return the trend as a TrendRes."""
        metric = self._metric(is_rate=all(point.is_rate for point in self._points))
        run_ids = [point.run.run_id for point in self._points]
        comparisons = self._compare(metric, run_ids, check_client)
        return {
            "scorer": self._scorer,
            "leaf": self._leaf,
            "kind": self._kind,
            "is_rate": metric.is_rate,
            "direction": metric.direction,
            "unit": metric.unit or None,
            "alpha": ALPHA,
            "correction": "holm",
            "reason": self._no_values(metric) or _reason(metric, run_ids, comparisons),
            "without_scores": self._num_empty,
            "runs": [point.response() for point in reversed(self._points)],
            "comparisons": [
                {**each.short_response(), "reason": each.verdict.reason} for each in comparisons
            ],
        }

    def _compare(
        self, metric: ComparedMetric, run_ids: Sequence[str], check_client: ClientCheck
    ) -> list[Comparison]:
        """Compare the newest run with the one before and with the first; `run_ids` begin with it.

        The runs are read again, so that no more than three are held in memory.
        """
        if len(run_ids) < 2 or self._kind is None:
            return []
        newest, *earlier = dict.fromkeys((*run_ids[:2], run_ids[-1]))
        wanted = CompareQuery().load({"run": [newest, *earlier], "scorer": [self._scorer]})
        read = read_compared(
            self._store,
            *self._place,
            wanted["run"],
            wanted,
            check_client,
            self._prices,
            parameter="limit",
        )
        by_id = {run.run_id: run for run in read.runs}
        found = [Comparison(metric, by_id[each], by_id[newest], wanted) for each in earlier]
        adjust_p_values(found)
        return found

    def _no_values(self, metric: ComparedMetric) -> str | None:
        """Return a sentence if there are runs, but none has a value, and name leaves that do."""
        if not self._points or self._kind is not None:
            return None
        hint = similar_names(self._leaf, self._paths)
        return f"None of these runs has a value of {name_of(metric)}{hint}."


def _reason(
    metric: ComparedMetric, run_ids: Sequence[str], comparisons: Sequence[Comparison]
) -> str:
    """Return in one sentence what is shown of the newest run."""
    name = name_of(metric)
    if not run_ids:
        return f"No run that passes the filters has scores by {name}."
    if not comparisons:
        return f"By {name}, there is only one run, {run_ids[0]}, and nothing to compare it with."
    roles = ["the run before", f"the first of these {len(run_ids)} runs"]
    earlier = [run_ids[1], run_ids[-1]] if len(comparisons) == 2 else [run_ids[1]]
    shown = ", and ".join(
        f"{PHRASES[each.verdict.word or '']} {run_id}, {role}"
        for each, run_id, role in zip(comparisons, earlier, roles, strict=False)
    )
    return f"By {name}, {run_ids[0]} {shown}."
