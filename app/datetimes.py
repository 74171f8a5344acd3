"""Parse datetimes as pydantic 2 does."""

from __future__ import annotations

import calendar
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]*)?|\.[0-9]+)")
_TIME = re.compile(
    r"[Tt _]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:[.,]([0-9]+))?)?"
    r"(?:([Zz])|([+\-\u2212])([01][0-9]|2[0-3]):?([0-5][0-9]))?"
)
_USUAL = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{6})?(?:Z|\+00:00)", re.ASCII
)
"""The form in which programs write a datetime, which Python reads faster."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
_SECONDS_UP_TO = 20_000_000_000
"""A larger number is in milliseconds."""

_LAST = 253_402_300_800
_FIRST = -62_135_596_800
_YEAR_0 = -62_167_219_200


class InvalidDatetime(ValueError):
    """The text is not a datetime; has pydantic's error type, message and cause."""

    def __init__(self, cause: str) -> None:
        out_of_range = cause.startswith("year")
        self.type = "datetime_parsing" if out_of_range else "datetime_from_date_parsing"
        kind = "datetime" if out_of_range else "datetime or date"
        self.message = f"Input should be a valid {kind}, {cause}"
        self.cause = cause
        super().__init__(self.message)


def parse_datetime(text: str) -> datetime:
    """Return the datetime in `text`, in UTC if it names no zone. Raises InvalidDatetime."""
    if _USUAL.fullmatch(text):
        with suppress(ValueError):  # What is wrong is found below.
            return datetime.fromisoformat(text)
    if _NUMBER.fullmatch(text):
        return _from_number(float(text))
    day = _date(text)
    if len(text) == len("2026-01-02"):
        return day
    match = _TIME.fullmatch(text, len("2026-01-02"))
    if not match:
        raise InvalidDatetime("unexpected extra characters at the end of the input")
    hour, minute, second, fraction, _, sign, zone_hours, zone_minutes = match.groups()
    time = timedelta(
        hours=int(hour),
        minutes=int(minute),
        seconds=int(second or 0),
        microseconds=int(f"{fraction or 0:0<6}"[:6]),
    )
    zone = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
    local = timezone(zone if sign == "+" else -zone)
    return (day + time).replace(tzinfo=local)


def names_zone(text: str) -> bool:
    """Return whether a datetime names its zone; a Unix timestamp counts as UTC."""
    if _NUMBER.fullmatch(text):
        return True
    match = _TIME.fullmatch(text, len("2026-01-02"))
    return bool(match and (match[5] or match[6]))


def _from_number(number: float) -> datetime:
    seconds = number if abs(number) <= _SECONDS_UP_TO else number / 1000
    if seconds >= _LAST:
        raise InvalidDatetime("dates after 9999 are not supported as unix timestamps")
    if seconds < _YEAR_0:
        raise InvalidDatetime("dates before 0000 are not supported as unix timestamps")
    if seconds < _FIRST:
        raise InvalidDatetime("year 0 is out of range")
    return EPOCH + timedelta(seconds=seconds)


def _date(text: str) -> datetime:
    """Return the date at the beginning of `text`, at midnight in UTC. Raises InvalidDatetime."""
    if len(text) < len("2026-01-02"):
        raise InvalidDatetime("input is too short")
    year = _digits(text[:4], "year")
    _separator(text[4])
    month = _digits(text[5:7], "month")
    _separator(text[7])
    day = _digits(text[8:10], "day")
    if not 1 <= month <= 12:
        raise InvalidDatetime("month value is outside expected range of 1-12")
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        raise InvalidDatetime("day value is outside expected range")
    if year == 0:
        raise InvalidDatetime("year 0 is out of range")
    return datetime(year, month, day, tzinfo=UTC)


def _digits(text: str, part: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InvalidDatetime(f"invalid character in {part}")
    return int(text)


def _separator(character: str) -> None:
    if character != "-":
        raise InvalidDatetime("invalid date separator, expected `-`")


def whole_milliseconds(moment: datetime) -> datetime:
    """Return a datetime in UTC, rounded down to milliseconds, which every store can keep."""
    return EPOCH + (moment - EPOCH) // MILLISECOND * MILLISECOND
