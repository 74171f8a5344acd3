"""Make UUIDv7 ids and read their times (RFC 9562), and write UTC as text."""

from __future__ import annotations

import hashlib
import re
import time
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils import uuid7

from app.datetimes import EPOCH, MILLISECOND

AFTER_ALL = "~"
"""A text that sorts after every id."""

_UUID7 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_MAX_MILLISECONDS = 2**48 - 1
"""The time in a UUIDv7 has 48 bits."""

_LAST_MILLISECOND = 253_402_300_799_999
"""The last millisecond that a datetime can hold."""


def new_id() -> str:
    """Return a UUIDv7 of the current time, in lower case."""
    return str(uuid7())


def new_id_at(moment: datetime) -> str:
    """Return a UUIDv7 whose time is the millisecond of `moment`."""
    return _id_at(moment, "f")[:13] + new_id()[13:]


def next_id(floor: str | None) -> str:
    """Return a UUIDv7 of the current time that is higher than `floor`, a UUIDv7 or None.

    If the clock is behind `floor`, return the next higher id. Raises OverflowError if there is
    none.
    """
    made = str(uuid7())
    if floor is None or made > floor:
        return made
    number = int(floor.replace("-", ""), 16)
    # Skip the 6 bits of version and variant; the 74 bits after the time form a counter.
    count = (number >> 80 << 74) | (number >> 64 & 0xFFF) << 62 | number & (1 << 62) - 1
    count += 1
    milliseconds, high, low = count >> 74, count >> 62 & 0xFFF, count & (1 << 62) - 1
    if milliseconds > _MAX_MILLISECONDS:
        raise OverflowError("no id is left")
    return str(UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low))


def id_with(moment: datetime, filling: int) -> str:
    """Return the UUIDv7 of a moment with 80 bits of `filling`, 6 of which are overwritten."""
    bits = (moment - EPOCH) // MILLISECOND << 80 | filling
    bits = bits & ~(0xF << 76) | 7 << 76  # The version.
    bits = bits & ~(0b11 << 62) | 0b10 << 62  # The variant.
    return str(UUID(int=bits))


def derived_id(moment: datetime, seed: str) -> str:
    """Return the UUIDv7 of a moment that is made from the SHA-256 of `seed`."""
    return id_with(moment, int.from_bytes(hashlib.sha256(seed.encode()).digest()[:10]))


def clock_is_behind(score_id: str) -> bool:
    """Return whether the clock is more than a second behind the time in an id."""
    return int(score_id[:8] + score_id[9:13], 16) > time.time_ns() // 1_000_000 + 1_000


def id_time(score_id: str) -> datetime:
    """Return the time in a UUIDv7, in whole milliseconds of UTC."""
    milliseconds = int(score_id[:8] + score_id[9:13], 16)
    return EPOCH + min(milliseconds, _LAST_MILLISECOND) * MILLISECOND


def is_uuid7(text: str) -> bool:
    """Return whether a text is a UUIDv7 in lower case."""
    return bool(_UUID7.fullmatch(text))


def first_id_at(moment: datetime) -> str:
    """Return the lowest id that a score created at `moment` or later can have."""
    return _id_at(moment, "0")


def last_id_at(moment: datetime) -> str:
    """Return the highest id that a score created at `moment` or earlier can have."""
    return _id_at(moment, "f")


def last_id_before(moment: datetime) -> str:
    """Return the highest id that a score created earlier than `moment` can have."""
    return _id_at(moment - MILLISECOND, "f")


def _id_at(moment: datetime, filling: str) -> str:
    """Return an id whose first 48 bits are the milliseconds of `moment`, the rest filled."""
    elapsed = moment - EPOCH
    # Round whole numbers up or down; floats would lose the microseconds of distant years.
    milliseconds = -(-elapsed // MILLISECOND) if filling == "0" else elapsed // MILLISECOND
    digits = f"{min(max(milliseconds, 0), _MAX_MILLISECONDS):012x}"
    rest = filling * 4
    return f"{digits[:8]}-{digits[8:]}-{rest}-{rest}-{filling * 12}"


def utc_text(moment: datetime) -> str:
    """Return UTC in ISO 8601 with milliseconds, so that text order is time order."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return f"{text.removesuffix('+00:00')}Z"
