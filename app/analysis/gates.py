"""Gates: whether a run is good enough to go on, check by check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from app.analysis.leaf_summaries import Group, ancestors, shrink
from app.errors import InvalidParameter
from app.leaves import old_name
from app.services.lists import Check, no_check
from app.stores.base import ScoreQuery, Store

CHECKS = ("min", "max", "max_drop", "max_rise", "min_coverage")
RELATIVE = ("max_drop", "max_rise")

SLACK = 1e-12
"""What arithmetic may add to a figure: a drop from 0.85 to 0.83 is one of 0.02."""


def gate_run(
    store: Store, entity: str, project: str, wanted: dict[str, Any], check: Check = no_check
) -> dict[str, Any]:
    """Hold one leaf of a run to the bounds that `wanted`, a loaded GateQuery, sets.

    A check that finds no data fails. Raises InvalidParameter where there is nothing to check,
    and what `check` raises.
    """
    bounds = {name: wanted[name] for name in CHECKS if wanted[name] is not None}
    if not bounds:
        raise InvalidParameter("min", None, f"give at least one of {', '.join(CHECKS)}")
    if wanted["baseline"] is None and any(name in RELATIVE for name in bounds):
        raise InvalidParameter("baseline", None, "a drop or rise is one from a baseline")
    query = ScoreQuery(entity, project, scorer=wanted["scorer"])
    run = _figures(store, replace(query, evaluation_run_id=wanted["run"]), wanted["leaf"], check)
    baseline = None
    if wanted["baseline"] is not None:
        of_baseline = replace(query, evaluation_run_id=wanted["baseline"])
        baseline = _figures(store, of_baseline, wanted["leaf"], check)
    checks = [_check(name, bound, run, baseline) for name, bound in bounds.items()]
    return {
        "passed": all(check["passed"] for check in checks),
        **{name: wanted[name] for name in ("run", "baseline", "scorer", "leaf")},
        "checks": checks,
        "summaries": {"run": run, "baseline": baseline},
    }


def _figures(store: Store, query: ScoreQuery, leaf: str, check: Check) -> dict[str, Any]:
    group = Group(only={leaf, *ancestors(leaf)})
    renamed: set[str] = set()
    for tally in store.tally_leaves(query, ()):
        check()
        group.add_counted(tally.scores, tally.leaves, tally.counts)
        shrink([group])
        renamed.update(each["path"] for each in tally.leaves if old_name(each["path"]) == leaf)
    if leaf not in group.leaves:
        refuse_old_name("leaf", leaf, renamed)
    return group.figures(leaf)


def refuse_old_name(parameter: str, leaf: str, present: Iterable[str]) -> None:
    """Raise InvalidParameter where `leaf` is the name that present leaves had in release 0.1.0."""
    new = sorted({path for path in present if old_name(path) == leaf != path})
    if new:
        message = f"the leaf {leaf!r} is now named {' or '.join(map(repr, new))}"
        raise InvalidParameter(parameter, leaf, message)


def _check(
    name: str, bound: float, run: dict[str, Any], baseline: dict[str, Any] | None
) -> dict[str, Any]:
    """One bound, what was found, and whether that keeps it."""
    found, why = _found(name, run, baseline)
    passed = found is not None and _keeps(name, bound, found)
    return {"name": name, "wanted": bound, "found": found, "passed": passed, "why": why}


def _keeps(name: str, bound: float, found: float) -> bool:
    over = found - bound if name.startswith("max") else bound - found
    return over <= SLACK * max(1.0, abs(bound))


def _found(
    name: str, run: dict[str, Any], baseline: dict[str, Any] | None
) -> tuple[float | None, str | None]:
    """What a bound is held against; or None, and why there is nothing."""
    if name == "min_coverage":
        return run["coverage"], None if run["attempted"] else "the run has no scores by this scorer"
    mean, why = _mean("the run", run)
    if name not in RELATIVE or baseline is None or mean is None:
        return mean, why
    before, why = _mean("the baseline", baseline)
    if before is None:
        return None, why
    return (before - mean if name == "max_drop" else mean - before), None


def _mean(whose: str, figures: dict[str, Any]) -> tuple[float | None, str | None]:
    """The mean of numbers or the rate of booleans; or None, and why there is none."""
    kinds = [kind for kind in ("number", "boolean", "text") if kind in figures]
    if not figures["attempted"]:
        return None, f"{whose} has no scores by this scorer"
    if not kinds:
        return None, f"{whose} has no values at this leaf"
    if len(kinds) > 1:
        return None, f"{whose} has values of several kinds at this leaf: {', '.join(kinds)}"
    if kinds == ["text"]:
        return None, f"{whose} has texts at this leaf, which have no mean"
    mean = figures["boolean"]["rate"] if kinds == ["boolean"] else figures["number"].get("mean")
    return mean, None if mean is not None else f"{whose} has no number here that a double can hold"
