"""Results of checks of a store, and the checks that all engines share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from app.ids import id_time, is_uuid7

OK, WARN, FAIL = "ok", "warn", "fail"

CLOCK_SECONDS = 5.0
"""How far two clocks may differ without a warning."""

LITTLE_SPACE = 1 << 30
TOO_LITTLE_SPACE = 64 << 20


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check; `verdict` is OK, WARN or FAIL, and `advice` says what to do."""

    check: str
    verdict: str
    says: str
    advice: str = ""


def check_clock(newest_id: str | None) -> CheckResult:
    """Check that the clock is not behind the time in the id of the newest score, a UUIDv7."""
    if newest_id is None or not is_uuid7(newest_id):
        return CheckResult("clock", OK, "there is no score to compare it with yet")
    made = id_time(newest_id)
    behind = made.timestamp() - datetime.now(UTC).timestamp()
    if behind > CLOCK_SECONDS:
        return CheckResult(
            "clock",
            FAIL,
            f"{behind:.0f} seconds behind the newest score, of {made:%Y-%m-%d %H:%M:%S} UTC",
            "set the clock (NTP): new scores would be listed before older ones",
        )
    return CheckResult("clock", OK, f"later than the newest score, of {made:%Y-%m-%d %H:%M:%S} UTC")


def check_deletions(pending: int) -> CheckResult:
    """Report how many deletions are pending."""
    if pending:
        says = f"{pending} of runs are pending: hidden, but not yet removed"
        return CheckResult("deletions", OK, f"{says}; a running service continues them")
    return CheckResult("deletions", OK, "none is pending")


def check_space(free: int, total: int, where: str) -> CheckResult:
    """Check that there is space for more scores."""
    says = f"{free / (1 << 30):.1f} GiB of {total / (1 << 30):.1f} GiB are free {where}"
    advice = "free some space: on a full disk, every write fails with a 503"
    if free < TOO_LITTLE_SPACE:
        return CheckResult("disk", FAIL, says, advice)
    return (
        CheckResult("disk", WARN, says, advice)
        if free < LITTLE_SPACE
        else CheckResult("disk", OK, says)
    )
