"""Datetimes in queries, bodies and answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import ValidationError, fields

from app.datetimes import InvalidDatetime, names_zone, parse_datetime
from app.ids import utc_text
from app.schemas.fields import MISSING, Reason, Text

NOT_A_DATETIME = Reason("datetime_type", "Input should be a valid datetime")
NO_ZONE = Reason("timezone_aware", "Input should have timezone info")
NOT_IN_THE_FUTURE = Reason("datetime_future", "Input should be in the future")
NOT_IN_THE_PAST = Reason("datetime_past", "Input should be in the past")

CLOCKS_DIFFER = timedelta(minutes=1)
"""How far ahead the clock of another machine may be."""


class Datetime(fields.Field[datetime]):
    """A date, a date with a time or a Unix timestamp in a query; UTC where it names no zone."""

    shape: dict[str, Any] = {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "string", "format": "date"},
            {"type": "string", "pattern": r"^(-[0-9]{1,13}|[0-9]{1,14})(\.[0-9]*)?$"},
        ]
    }

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        try:
            return parse_datetime(value)
        except InvalidDatetime as error:
            reason = Reason(error.type, error.message, {"error": error.cause})
            raise ValidationError(reason) from None


class ZonedDatetime(Datetime):
    """A moment in a body, as text, that names its zone or is a Unix timestamp."""

    shape = {"type": "string", "format": "date-time"}
    default_error_messages = {"required": MISSING, "null": NOT_A_DATETIME}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        if not isinstance(value, str):
            raise ValidationError(NOT_A_DATETIME)
        moment = super()._deserialize(value)
        if not names_zone(value):
            raise ValidationError(NO_ZONE)
        return moment


class FutureDatetime(ZonedDatetime):
    """A moment to come."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        moment = super()._deserialize(value)
        if moment <= datetime.now(UTC):
            raise ValidationError(NOT_IN_THE_FUTURE)
        return moment


class PastDatetime(ZonedDatetime):
    """A moment that is over, or so little ahead that clocks may differ by it."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        moment = super()._deserialize(value)
        if moment > datetime.now(UTC) + CLOCKS_DIFFER:
            raise ValidationError(NOT_IN_THE_PAST)
        return moment


class UtcText(Text):
    """A moment that is answered, UTC in ISO 8601 with milliseconds."""

    def __init__(self, *, metadata: dict[str, Any], **options: Any) -> None:
        super().__init__(metadata={"format": "date-time"} | metadata, **options)

    def _serialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        return utc_text(value) if value else None
