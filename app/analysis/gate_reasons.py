"""The sentence of a gate: its outcome, and the checks that it follows from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

RELATIVE = ("max_drop", "max_rise", "not_worse_by", "slice")
"""The limits that need a baseline."""

SHOWN = 3
"""How many checks the sentence of an outcome names."""


def reason_of(run_id: str, outcome: str, checks: Sequence[Mapping[str, Any]]) -> str:
    """Return the outcome in one sentence, with the checks that it follows from."""
    if outcome == "passed":
        return (
            f"{run_id} passed {'its check' if len(checks) == 1 else f'all {len(checks)} checks'}."
        )
    found = [check for check in checks if check["outcome"] == outcome]
    several = len({check["baseline"] for check in checks if check.get("baseline")}) > 1
    shown = "; ".join(_described(check, several=several) for check in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    verb = "" if outcome == "failed" else "is " if len(found) == 1 else "are "
    return f"{run_id}: {len(found)} of {len(checks)} checks {verb}{outcome}: {shown}{more}."


def _described(check: Mapping[str, Any], *, several: bool) -> str:
    """Return a check with its figures, and with its baseline if there are several."""
    name = " ".join(filter(None, (check.get("scorer"), check.get("leaf"), check["name"])))
    if several and check["name"] in (*RELATIVE, "min_compared"):
        name = f"{name} against {check['baseline']}"
    if check["why"]:
        return f"{name} ({check['why']})"
    if check["name"] == "not_worse_by":
        return f"{name} ({_worse(check)})"
    found, wanted = _apart(check["found"], check["wanted"])
    return f"{name} (found {found}, wanted {wanted})"


def _worse(check: Mapping[str, Any]) -> str:
    """Return by how much a run is shown to be worse, and what is allowed."""
    falls = check["interval"]["high"] < 0
    bound, end = ("at most", "high") if falls else ("at least", "low")
    shown, allowed = _apart(
        check["interval"][end], 0.0 - check["wanted"] if falls else check["wanted"]
    )
    return (
        f"a difference of {check['found']:.4g}, with 95 % confidence {bound} {shown}, "
        f"where {allowed} is allowed"
    )


def _apart(one: float, other: float) -> list[str]:
    """Return two different numbers with so many digits that they look different."""
    for digits in (4, 8, 12, 17):
        texts = [f"{number:.{digits}g}" for number in (one, other)]
        if texts[0] != texts[1]:
            break
    return texts
