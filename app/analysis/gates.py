"""Gates: whether a run meets the limits of its metrics; the answer may be that it is not known."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from app.analysis.attributes import Attribute, read_attribute
from app.analysis.comparisons import Comparison, Slice, adjust_p_values
from app.analysis.differences import Tested, difference_of
from app.analysis.gate_checks import (
    BEYOND,
    Check,
    Compared,
    Figures,
    checks_of,
    correct_family,
)
from app.analysis.gate_reasons import RELATIVE, reason_of
from app.analysis.gate_slices import check_slices
from app.analysis.metrics import Declared
from app.analysis.pairs import ComparedMetric, Pairs
from app.analysis.passes import ESTIMATORS, check_passes
from app.analysis.prices import NO_PRICES, Prices
from app.analysis.protected import ProtectedExamples
from app.analysis.run_figures import leaf_summary, mean_and_interval
from app.analysis.run_scores import RunScores, pair_runs, read_runs
from app.analysis.scorers import has_scores, refuse_unknown_scorer
from app.analysis.summaries import LeafValues, ScoreGroup, ancestors
from app.analysis.usage import is_wanted
from app.errors import InvalidParameter
from app.leaves import refuse_unknown_name
from app.schemas.gates import OUTCOMES
from app.scorers import scorer_name
from app.services.lists import ClientCheck, no_client_check
from app.services.metrics import MetricKey, read_metrics
from app.services.run_references import RunFinder
from app.stores.base import ScoreQuery, Store
from app.stores.model import EvaluationRun, Metric

LIMITS = (
    *("min", "max", "max_drop", "max_rise", "not_worse_by"),
    *("min_coverage", "max_failed", "slice", "protected"),
    *("min_pass_at_k", "min_pass_hat_k"),
)
OF_RATES = ("protected", "min_pass_at_k", "min_pass_hat_k")
"""The limits of values that are true or false."""

MIN_COMPARED = 0.9
"""The part of the baseline's examples that must be compared, where it is not given."""


def gate_leaf(
    store: Store,
    entity: str,
    project: str,
    wanted: Mapping[str, Any],
    check_client: ClientCheck = no_client_check,
    prices: Prices = NO_PRICES,
) -> dict[str, Any]:
    """Check one leaf of a run against its limits, and return a GateRes.

    `wanted` is a loaded GateQuery. Raises NotFound and InvalidParameter as `RunFinder.find` does,
    InvalidParameter if there is no limit, if a limit lacks the baseline or the direction that it
    needs, or if no score is by the scorer or has the leaf, and whatever `check_client` raises.
    """
    gate = {**wanted, "place": ()}
    result = _gate(store, entity, project, wanted, [gate], check_client, prices)
    (gated,) = result.pop("gates")
    return {**result, **gated}


def gate_run(
    store: Store,
    entity: str,
    project: str,
    wanted: Mapping[str, Any],
    check_client: ClientCheck = no_client_check,
    prices: Prices = NO_PRICES,
) -> dict[str, Any]:
    """Check several leaves of a run, each against its limits, and return a GatesRes.

    `wanted` is a loaded GateBody. Raises what `gate_leaf` raises.
    """
    gates = [{**gate, "place": ("gates", number)} for number, gate in enumerate(wanted["gates"])]
    try:
        return _gate(store, entity, project, wanted, gates, check_client, prices)
    except InvalidParameter as error:
        error.place = "body"
        raise


def _gate(
    store: Store,
    entity: str,
    project: str,
    wanted: Mapping[str, Any],
    gates: Sequence[Mapping[str, Any]],
    check_client: ClientCheck,
    prices: Prices,
) -> dict[str, Any]:
    gates = [_checked(gate, wanted.get("baseline")) for gate in gates]
    finder = RunFinder(store, entity, project, check_client)
    run_id = finder.find("run", wanted["run"]).run_id
    gates = _with_run_ids(finder, gates, run_id)
    # Before the scores are read: of a run that is finished meanwhile, only a part may be read.
    checks = [check.response() for check in _checks_of_run(store, entity, project, run_id)]
    query = ScoreQuery(entity, project, only_current=wanted["repeats"] != "all")
    runs = _read_runs(store, query, run_id, gates, check_client, prices)
    pair_by = pair_runs(store, entity, project, runs, wanted["pair_by"], check_client)
    by_id = {run.run_id: run for run in runs}
    metrics = read_metrics(store, entity, project)
    gated = []
    for gate in gates:
        with _errors_within(gate["place"]):
            gated.append(Gate(gate, by_id[run_id], by_id.get(gate["baseline"]), metrics))
    place = (store, entity, project, runs)
    _slice(gated, place, gates, check_client)
    protected = _read_protected(place, gates, check_client)
    finder.check_unchanged()
    found: list[tuple[Gate, Check]] = []
    for each in gated:
        check_client()
        with _errors_within(each.place):
            found += [(each, check) for check in each.checks(wanted["worst"], protected)]
    corrected = correct_family([check for _, check in found])
    checks += [
        {**each.name, **check.response()} for (each, _), check in zip(found, corrected, strict=True)
    ]
    outcome = next(each for each in OUTCOMES if each in {check["outcome"] for check in checks})
    return {
        "outcome": outcome,
        "passed": outcome == "passed",
        "reason": reason_of(run_id, outcome, checks),
        "run": run_id,
        "pair_by": pair_by,
        "repeats": wanted["repeats"],
        "superseded": {run.run_id: run.superseded for run in runs},
        "checks": checks,
        "gates": [gate.response() for gate in gated],
    }


def _read_runs(
    store: Store,
    query: ScoreQuery,
    run_id: str,
    gates: Sequence[Mapping[str, Any]],
    check_client: ClientCheck,
    prices: Prices,
) -> Sequence[RunScores]:
    """Read a run and the baselines of gates. Raises InvalidParameter for an unknown scorer."""
    baselines = [gate["baseline"] for gate in gates if gate["baseline"] is not None]
    scorers = list(dict.fromkeys(gate["scorer"] for gate in gates))
    usage = prices if is_wanted(scorers, ()) else None
    run_ids = [run_id, *baselines]
    runs = read_runs(store, query, scorers, run_ids, check_client, parameter="run", prices=usage)
    if has_scores(store, query.entity, query.project):
        unknown = set(scorers).difference(*(run.groups for run in runs))
        for gate in gates:
            if gate["scorer"] in unknown:
                with _errors_within(gate["place"]):
                    refuse_unknown_scorer(
                        store, query.entity, query.project, "scorer", gate["scorer"]
                    )
    return runs


@contextmanager
def _errors_within(place: tuple[str | int, ...]) -> Iterator[None]:
    """Say in errors which gate of a body they are about."""
    try:
        yield
    except InvalidParameter as error:
        error.within = place
        raise


def _checked(gate: Mapping[str, Any], baseline: str | None) -> dict[str, Any]:
    """Return a gate with the name of its scorer and its baseline. Raises InvalidParameter."""
    gate = {**gate, "scorer": scorer_name(gate["scorer"]), "baseline": gate["baseline"] or baseline}
    with _errors_within(gate["place"]):
        _check_limits(gate)
    return gate if gate["min_compared"] is not None else {**gate, "min_compared": MIN_COMPARED}


def _check_limits(gate: Mapping[str, Any]) -> None:
    """Raise InvalidParameter unless there is a limit, with all that it needs."""
    limits = [name for name in LIMITS if gate[name] is not None]
    if not limits:
        raise InvalidParameter("min", None, f"give at least one of {', '.join(LIMITS)}")
    if (gate["k"] is None) == any(name in ESTIMATORS for name in limits):
        message = f"{' and '.join(ESTIMATORS)} need k, and the other limits have none"
        raise InvalidParameter("k", gate["k"], message)
    if gate["baseline"] is None and any(name in RELATIVE for name in limits):
        raise InvalidParameter("baseline", None, f"{' and '.join(RELATIVE)} need a baseline")
    if gate["baseline"] is None and gate["min_compared"] is not None:
        raise InvalidParameter("baseline", None, "min_compared needs a baseline")


def _with_run_ids(
    finder: RunFinder, gates: Sequence[Mapping[str, Any]], run_id: str
) -> list[Mapping[str, Any]]:
    """Return gates with the ids of the baselines that they mean, each found once."""
    given = dict.fromkeys(gate["baseline"] for gate in gates if gate["baseline"] is not None)
    found = {each: finder.find("baseline", each, besides=[run_id]).run_id for each in given}
    return [{**gate, "baseline": found.get(gate["baseline"])} for gate in gates]


def _slice(
    gated: Sequence[Gate],
    place: tuple[Store, str, str, Sequence[RunScores]],
    gates: Sequence[Mapping[str, Any]],
    check_client: ClientCheck,
) -> None:
    """Compare the slices that gates name; all of them are one family of tests."""
    attributes = {
        name: read_attribute(*place, name, check_client, parameter="slice")
        for name in dict.fromkeys(gate["slice"] for gate in gates)
        if name is not None
    }
    for each, gate in zip(gated, gates, strict=True):
        if gate["slice"] is not None:
            each.slice(attributes[gate["slice"]], check_client)
    adjust_p_values([part.comparison for each in gated for part in each.slices])


def _read_protected(
    place: tuple[Store, str, str, Sequence[RunScores]],
    gates: Sequence[Mapping[str, Any]],
    check_client: ClientCheck,
) -> ProtectedExamples:
    names = {name for gate in gates for name in gate["protected"] or ()}
    protected = ProtectedExamples()
    if names:
        protected.read(*place, names, check_client)
    return protected


def _checks_of_run(store: Store, entity: str, project: str, run_id: str) -> Iterator[Check]:
    """Yield whether a stored run is finished, and has the predictions that it expects."""
    run = store.find_document(EvaluationRun, entity, project, run_id)
    if run is None or not run.evaluation:  # Scores name it, and nobody says when it ends.
        return
    why = {
        "running": "the run is not finished",
        "failed": "the run has failed",
    }.get(run.status)
    yield Check("finished", None, "inconclusive" if why else "passed", why=why)
    if run.expected is not None:
        found = store.count_run(entity, project, run_id).predictions
        lacks = found < run.expected
        why = f"the run has {found} of {run.expected} predictions" if lacks else None
        yield Check("expected", run.expected, "inconclusive" if lacks else "passed", found, why=why)


class Gate:
    """The limits of one metric of a run, and of its baseline if there is one."""

    def __init__(
        self,
        limits: Mapping[str, Any],
        run: RunScores,
        baseline: RunScores | None,
        metrics: Mapping[MetricKey, Metric],
    ) -> None:
        """Find the metric. Raises InvalidParameter if the limits do not fit the leaf."""
        self._limits = limits
        self.place = limits["place"]
        """Where the gate is in the body."""
        self._run = run
        self._baseline = baseline
        self._runs = [run] if baseline is None else [run, baseline]
        self._scorer, self._leaf = limits["scorer"], limits["leaf"]
        _refuse_unknown(self._runs, self._scorer, self._leaf)
        directions = {self._leaf: limits["direction"]} if limits["direction"] else {}
        self._metric = self._find_metric(Declared(metrics, directions))
        directed = [name for name in ("not_worse_by", "slice") if limits[name] is not None]
        if directed and self._metric.direction is None:
            message = f"{directed[0]} needs a direction: declare the metric, or say what is better"
            raise InvalidParameter("direction", None, message)
        of_rates = [name for name in OF_RATES if limits[name] is not None]
        if of_rates and not self._metric.is_rate:
            message = f"{of_rates[0]} needs values that are true or false: declare true_when"
            raise InvalidParameter(of_rates[0], limits[of_rates[0]], message)
        self.slices: Sequence[Slice] = ()
        """The slices that were compared."""
        self._regressions: list[dict[str, Any]] = []

    @property
    def name(self) -> dict[str, str | None]:
        """The scorer, the leaf and the baseline."""
        return {
            "scorer": self._scorer,
            "leaf": self._leaf,
            "baseline": self._baseline and self._baseline.run_id,
        }

    def slice(self, attribute: Attribute, check_client: ClientCheck) -> None:
        """Compare the slices by an attribute. Raises whatever `check_client` raises."""
        if self._baseline is not None:
            max_unpaired = 1 - self._limits["min_compared"]
            wanted = {"failures": "exclude", "max_unpaired": max_unpaired, "effect": None}
            comparison = Comparison(self._metric, self._baseline, self._run, wanted)
            comparison.slice(attribute, check_client)
            self.slices = comparison.slices

    def checks(self, worst: int, protected: ProtectedExamples) -> Iterator[Check]:
        """Yield the outcome of each limit, and keep the `worst` regressions for the response.

        The pairs are not kept: those of many metrics would not fit into memory.
        """
        compared = None
        if self._baseline is not None:
            pairs = Pairs(self._metric, self._baseline, self._run)
            known = self._values(self._baseline)
            is_broken = known is not None and known.numbers.beyond > 0
            is_text = self._metric.is_text
            tested = Tested(None, 0) if is_text else difference_of(pairs, "exclude")
            compared = Compared(self._metric, pairs, tested, is_broken)
            self._regressions = self._worst_of(pairs, worst)
        yield from checks_of(self._limits, self._figures(), compared)
        yield from check_passes(self._limits, self._run, self._metric)
        if self._limits["slice"] is not None:
            yield check_slices(self.slices, self._limits["min_compared"])
        if self._limits["protected"]:
            names = self._limits["protected"]
            yield protected.check(names, self._metric, self._run, self._baseline)

    def response(self) -> dict[str, Any]:
        """Return the figures of both runs and the regressions, as Gated."""
        return {**self.name, "summaries": self._summaries(), "regressions": self._regressions}

    def _worst_of(self, pairs: Pairs, most: int) -> list[dict[str, Any]]:
        """Return the pairs that got worse; without a direction, by the change that is limited."""
        falls, rises = (self._metric.direction == each for each in ("higher", "lower"))
        if self._metric.direction is None:
            falls, rises = (self._limits[name] is not None for name in ("max_drop", "max_rise"))
        if self._metric.is_text or falls == rises:
            return []
        return pairs.largest(most, -1 if falls else 1)

    def _summaries(self) -> dict[str, Any]:
        run = leaf_summary(self._run, self._metric, histograms=False)
        if self._baseline is None:
            return {"run": run, "baseline": None}
        return {
            "run": run,
            "baseline": leaf_summary(self._baseline, self._metric, histograms=False),
        }

    def _find_metric(self, declared: Declared) -> ComparedMetric:
        """Return the metric, of the kind that the run has, otherwise the baseline."""
        kinds = [kind for run in self._runs for kind in self._kinds(run)] or ["number"]
        values = [each for run in self._runs if (each := self._values(run)) is not None]
        is_rate = kinds[0] == "boolean" or (
            kinds[0] == "number" and all(each.numbers.are_rates for each in values)
        )
        metric = declared.describe(self._scorer, self._leaf, kinds[0], is_rate=is_rate)
        return replace(metric, is_mixed=len(set(kinds)) > 1)

    def _values(self, run: RunScores) -> LeafValues | None:
        group = run.groups.get(self._scorer)
        return group.leaves.get(self._leaf) if group else None

    def _kinds(self, run: RunScores) -> list[str]:
        values = self._values(run)
        return values.kinds if values else []

    def _figures(self) -> Figures:
        group = self._run.groups.get(self._scorer, ScoreGroup())
        counts = group.figures(self._leaf)
        values = self._values(self._run)
        is_broken = values is not None and values.numbers.beyond > 0
        why = self._why_no_mean(counts["attempted"], is_broken=is_broken)
        mean, interval = (None, None) if why else mean_and_interval(self._run, self._metric)
        scores = self._run.scores.get(self._scorer, [])
        failed = sum(bool(each.score_id) and self._metric.value_in(each) is None for each in scores)
        return Figures(
            counts["attempted"], counts["scored"], failed, mean, interval, why, is_broken
        )

    def _why_no_mean(self, attempted: int, *, is_broken: bool) -> str | None:
        kinds = self._kinds(self._run)
        if not attempted:
            return "the run has no scores by this scorer"
        if not kinds:
            return "the run has no values at this leaf"
        if len(kinds) > 1:
            return f"the run has values of several kinds at this leaf: {', '.join(kinds)}"
        if is_broken:
            return f"the run {BEYOND}"
        return (
            "the run has texts at this leaf, which have no mean" if self._metric.is_text else None
        )


def _refuse_unknown(runs: Collection[RunScores], scorer: str, leaf: str) -> None:
    """Raise InvalidParameter if these runs have other leaves of a scorer, but not this one.

    A null at a part of the value that contains the leaf is a null of it; one of all of it is none.
    """
    groups = [run.groups[scorer] for run in runs if scorer in run.groups]
    known = {path for group in groups for path, values in group.leaves.items() if values.scored}
    nulls = {path for group in groups for path, values in group.leaves.items() if values.nulls}
    if known and leaf not in known and not nulls & {leaf, *(ancestors(leaf) - {""})}:
        refuse_unknown_name("leaf", leaf, known)
