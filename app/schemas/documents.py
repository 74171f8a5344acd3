"""The common parts of the schemas of predictions and evaluation runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, post_load

from app import jsontext
from app.schemas.fields import Boolean, Count, Moment, Pattern, Reason, Shape, Text, WeaveQuery
from app.schemas.query_fields import WholeNumber
from app.schemas.scores import SCORE_ID

MAX_DELETED = 1_000
MAX_FILTERED = 1_000
"""How many values a filter may have."""

ENDS_BEFORE_START = Reason(
    "value_error", "Value error, finished_at is before started_at", {"error": {}}
)


class TimedBody(Shape):
    """A body with the times of something that began and ended."""

    started_at = Moment(
        "When it began, with a time zone or as a Unix timestamp.", load_default=None
    )
    finished_at = Moment(
        "When it ended, with a time zone or as a Unix timestamp.", load_default=None
    )

    @post_load
    def _check_times(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        started_at, finished_at = loaded["started_at"], loaded["finished_at"]
        if started_at and finished_at and finished_at < started_at:
            raise ValidationError({"finished_at": [ENDS_BEFORE_START]})
        return loaded


class DocumentListQuery(WeaveQuery):
    """The query of a page of a list."""

    limit = WholeNumber("The most elements to return. Default: all.", least=0, load_default=None)
    offset = WholeNumber("How many of the oldest elements to skip.", least=0, load_default=None)
    after = Pattern(
        "Continue after this position, taken from a Link header.", SCORE_ID, load_default=None
    )


class FinishRes(Shape):
    """The response to `finish`."""

    success = Boolean("Always true.", required=True)


class DeleteRes(Shape):
    """The response to a delete."""

    num_deleted = Count("How many existed and were deleted.", required=True)


class TimeText(Text):
    """A datetime in a response, in UTC and ISO 8601 with microseconds unless they are zero."""

    def __init__(self, description: str, **options: Any) -> None:
        super().__init__(description, metadata={"format": "date-time"}, **options)

    def _serialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        return time_text(value)


def given_fields(plain: Mapping[str, Any], objects: Mapping[str, str | None]) -> str:
    """Return the fields that are not None as JSON text without braces.

    `objects` are JSON texts already, and follow the others.
    """
    texts = {name: jsontext.write(value) for name, value in plain.items() if value is not None}
    texts |= {name: text for name, text in objects.items() if text is not None}
    return ",".join(f'"{name}":{text}' for name, text in texts.items())


def time_text(moment: datetime | None) -> str | None:
    """Return UTC in ISO 8601, with microseconds unless they are zero, as Weave writes it."""
    return moment.isoformat().replace("+00:00", "Z") if moment else None
