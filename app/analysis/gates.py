"""Gates: whether a run meets the limits set for it, such as a minimum or a maximum drop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.analysis.attempts import failed_attempts
from app.analysis.summaries import ScoreGroup, ancestors, shrink
from app.errors import InvalidParameter
from app.leaves import old_name, refuse_unknown_name
from app.scorers import scorer_name
from app.services.lists import ClientCheck, no_client_check
from app.stores.base import ScoreQuery, Store
from app.stores.model import Leaves

CHECKS = ("min", "max", "max_drop", "max_rise", "min_coverage")
RELATIVE = ("max_drop", "max_rise")

MAX_NAMES = 1_000
"""How many names of leaves are kept to suggest some of them."""

TOLERANCE = 1e-12
"""Relative tolerance for rounding errors: 0.85 - 0.83 is a drop of 0.02."""


def gate_run(
    store: Store,
    entity: str,
    project: str,
    wanted: dict[str, Any],
    check_client: ClientCheck = no_client_check,
) -> dict[str, Any]:
    """Check one leaf of a run against the limits in `wanted`, a loaded GateQuery.

    A check without data fails. Raises InvalidParameter when `wanted` has no limit, lacks the
    baseline that a limit needs, or names a leaf that none of the scores has, and whatever
    `check_client` raises.
    """
    limits = {name: wanted[name] for name in CHECKS if wanted[name] is not None}
    if not limits:
        raise InvalidParameter("min", None, f"give at least one of {', '.join(CHECKS)}")
    if wanted["baseline"] is None and any(name in RELATIVE for name in limits):
        raise InvalidParameter("baseline", None, "max_drop and max_rise need a baseline")
    scorer, only_current = scorer_name(wanted["scorer"]), wanted["repeats"] != "all"
    query = ScoreQuery(entity, project, scorer_name=scorer, only_current=only_current)
    named = [run_id for run_id in (wanted["run"], wanted["baseline"]) if run_id is not None]
    figures: dict[str, dict[str, Any]] = {}
    superseded: dict[str, int] = {}
    names: set[str] = set()
    for run_id in dict.fromkeys(named):
        run_query = replace(query, evaluation_run_id=run_id)
        figures[run_id], superseded[run_id] = _figures(
            store, run_query, wanted["leaf"], names, check_client
        )
    if names and wanted["leaf"] not in names:
        refuse_unknown_name("leaf", wanted["leaf"], names)
    run, baseline = figures[wanted["run"]], figures.get(wanted["baseline"])
    checks = [_check(name, limit, run, baseline) for name, limit in limits.items()]
    return {
        "passed": all(check["passed"] for check in checks),
        **{name: wanted[name] for name in ("run", "baseline", "leaf", "repeats")},
        "scorer": scorer,
        "superseded": superseded,
        "checks": checks,
        "summaries": {"run": run, "baseline": baseline},
    }


def _figures(
    store: Store, query: ScoreQuery, leaf: str, names: set[str], check_client: ClientCheck
) -> tuple[dict[str, Any], int]:
    """Return the figures of one leaf in one run, and how many superseded scores were left out.

    Adds the names of the run's leaves to `names`.
    """
    group = ScoreGroup(only={leaf, *ancestors(leaf)})
    superseded, query = 0, store.as_of_now(query)
    for tally in store.tally_leaves(query, ()):
        check_client()
        group.add_counted(tally.scores, tally.leaves, tally.counts)
        shrink([group])
        superseded += tally.superseded
        _note_names(names, tally.leaves, leaf)
    group.attempted += sum(1 for _ in failed_attempts(store, query, check_client))
    return group.figures(leaf), superseded


def _note_names(names: set[str], leaves: Leaves, leaf: str) -> None:
    """Add the names of leaves that have values, and `leaf` if there is a null at it or above it.

    A null of the whole value tells nothing. At most MAX_NAMES others are added.
    """
    above = ancestors(leaf) - {""}
    for each in leaves:
        name, is_null = each["path"], each.get("kind") == "null"
        if name == leaf or (is_null and name in above):
            names.add(leaf)
        elif is_null or name in names:
            continue
        elif len(names) < MAX_NAMES or old_name(name) == leaf:
            names.add(name)


def _check(
    name: str, limit: float, run: dict[str, Any], baseline: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the result of one check, as a GateCheck."""
    found, why = _found(name, run, baseline)
    passed = found is not None and _is_within(name, limit, found)
    return {"name": name, "wanted": limit, "found": found, "passed": passed, "why": why}


def _is_within(name: str, limit: float, found: float) -> bool:
    excess = found - limit if name.startswith("max") else limit - found
    return excess <= TOLERANCE * max(1.0, abs(limit))


def _found(
    name: str, run: dict[str, Any], baseline: dict[str, Any] | None
) -> tuple[float | None, str | None]:
    """Return the figure to compare with a limit; or None, and the reason why there is none."""
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
    """Return the mean of numbers or the rate of booleans; or None, and the reason."""
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
    return mean, None if mean is not None else f"{whose} has only integers too large for a double"
