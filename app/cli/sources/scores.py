"""What the sources share: how fields are found, and what makes a score of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.datetimes import InvalidDatetime, parse_datetime
from app.ids import utc_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MOST_MILLISECONDS = 2**48 - 1


class Unmappable(Exception):
    """What is no score here; the message says why."""


@dataclass(frozen=True)
class Origin:
    """Where scores come from, the project they go to, and what stands for what they do not say."""

    source: str
    project: str
    created_at: str | None = None
    run: str | None = None


class Fields:
    """The fields of a row by name, however the name is written: traceId, trace_id, `Trace ID`.

    In CSV all of them are text, and `is_text` says so. Raises Unmappable on what is no object.
    """

    def __init__(self, content: Any, *, is_text: bool = False) -> None:
        if not isinstance(content, Mapping):
            raise Unmappable("no JSON object")
        self.content = content
        self.is_text = is_text
        self._by_name = {_plain(name): value for name, value in content.items()}

    def get(self, *names: str) -> Any:
        """The first of these fields that is there and not null."""
        values = (self._by_name.get(_plain(name)) for name in names)
        return next((value for value in values if value is not None), None)

    def text(self, *names: str) -> str | None:
        """The first of these fields as text: an id may be a number."""
        value = self.get(*names)
        if value is None or value == "":
            return None
        if isinstance(value, bool | list | dict):
            raise Unmappable(f"{names[0]} is no text")
        return str(value)

    def need(self, *names: str) -> str:
        """The first of these fields as text. Raises Unmappable where there is none."""
        text = self.text(*names)
        if text is None:
            raise Unmappable(f"no {names[0]}")
        return text

    def json(self, *names: str) -> Any:
        """The first of these fields; a cell of CSV that is JSON is read, any other is text."""
        value = self.get(*names)
        if not (self.is_text and isinstance(value, str)):
            return value
        try:
            return json.loads(value)
        except ValueError:
            return value

    def number(self, *names: str) -> int | float | None:
        """The first of these fields as a number."""
        value = self.json(*names)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise Unmappable(f"{names[0]} is no number")
        return value


def moment_of(fields: Fields, origin: Origin, *names: str) -> datetime:
    """When a score was made, to the millisecond; UTC where it names no zone."""
    value = fields.text(*names) or origin.created_at
    if value is None:
        raise Unmappable(f"no {names[0]}: --created-at says when it was made")
    try:
        milliseconds = (parse_datetime(value) - _EPOCH) // _MILLISECOND
    except InvalidDatetime as error:
        raise Unmappable(f"{names[0]}: {error}") from None
    if not 0 <= milliseconds <= _MOST_MILLISECONDS:
        raise Unmappable(f"{names[0]} is before 1970")
    return _EPOCH + milliseconds * _MILLISECOND


def score_of(
    origin: Origin,
    own_id: str,
    moment: datetime,
    *,
    name: str,
    by: str | None,
    prediction_id: str,
    value: Any,
    run: str | None,
) -> dict[str, Any]:
    """A line of an import; `by` is what kind of judge it was, where the source says so."""
    return {
        "score_id": score_id(origin, own_id, moment),
        "created_at": utc_text(moment),
        "scorer": f"{origin.source}:{by}/{name}" if by else f"{origin.source}:{name}",
        "prediction_id": prediction_id,
        "evaluation_run_id": run or origin.run,
        "value": value,
    }


def score_id(origin: Origin, own_id: str, moment: datetime) -> str:
    """A UUIDv7 (RFC 9562) of a source's own id: the same whenever it is imported."""
    seed = json.dumps([origin.source, origin.project, own_id]).encode()
    filling = int.from_bytes(hashlib.sha256(seed).digest()[:10])
    milliseconds = (moment - _EPOCH) // _MILLISECOND
    bits = milliseconds << 80 | filling
    bits = bits & ~(0xF << 76) | 7 << 76  # The version.
    bits = bits & ~(0b11 << 62) | 0b10 << 62  # The variant.
    return str(UUID(int=bits))


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())
