"""What an examination finds: well or not, in words, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

OK, WARN, FAIL = "ok", "warn", "fail"

CLOCK_SECONDS = 5.0
"""How far two clocks may be apart before it is worth a word."""

_LAST_MILLISECOND = 253_402_300_799_000
"""Of the last year that a datetime knows."""

LITTLE_SPACE = 1 << 30
TOO_LITTLE_SPACE = 64 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: `verdict` is ok, warn (think about it) or fail (mend it)."""

    check: str
    verdict: str
    says: str
    advice: str = ""


def clock_finding(newest_id: str | None) -> Finding:
    """Whether the clock goes on from where the newest score's id was made (UUIDv7, RFC 9562)."""
    made = _made_at(newest_id)
    if made is None:
        return Finding("clock", OK, "there is no score yet to compare it with")
    behind = made.timestamp() - datetime.now(UTC).timestamp()
    if behind > CLOCK_SECONDS:
        return Finding(
            "clock",
            FAIL,
            f"{behind:.0f} seconds behind the newest score, of {made:%Y-%m-%d %H:%M:%S} UTC",
            "set the clock (NTP): new scores would be listed before older ones",
        )
    return Finding("clock", OK, f"later than the newest score, of {made:%Y-%m-%d %H:%M:%S} UTC")


def _made_at(score_id: str | None) -> datetime | None:
    try:
        number = UUID(score_id or "")
    except ValueError:
        return None
    seconds = min(number.int >> 80, _LAST_MILLISECOND) / 1000
    return datetime.fromtimestamp(seconds, UTC) if number.version == 7 else None


def space_finding(free: int, total: int, where: str) -> Finding:
    """Whether there is space for more scores."""
    says = f"{free / (1 << 30):.1f} GiB of {total / (1 << 30):.1f} GiB are free {where}"
    advice = "make space: on a full disk every write is refused with 503"
    if free < TOO_LITTLE_SPACE:
        return Finding("disk", FAIL, says, advice)
    return Finding("disk", WARN, says, advice) if free < LITTLE_SPACE else Finding("disk", OK, says)
