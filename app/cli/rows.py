"""Read the rows of an export (JSON lines, JSON or CSV), find their fields, and make scores."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from app.cli.files import InputFile, Line, syntax_error
from app.datetimes import EPOCH, InvalidDatetime, parse_datetime, whole_milliseconds
from app.ids import derived_id, utc_text

MAX_CELL_CHARACTERS = 2**31 - 1

LISTS = ("data", "traces", "assessments")
"""The names under which API responses hold a list of rows."""


class NotRows(Exception):
    """The file has no rows; the message says why."""


class Unmappable(Exception):
    """The row cannot become a score; the message says why."""


class Missing(Unmappable):
    """The row lacks what every row of its kind of export has."""


@dataclass(frozen=True)
class Row:
    """One row of a file: its position for messages, its number, its size in bytes and its content.

    `line` is set for a file of JSON lines, and holds the error in a line. The cells of CSV are
    text (`is_text`), and those that hold JSON are not parsed yet.
    """

    position: str
    number: int
    size: int
    content: Any = None
    line: Line | None = None
    is_text: bool = False

    @property
    def is_blank(self) -> bool:
        """Whether the row is empty."""
        return self.content is None and (self.line is None or self.line.is_blank)


@dataclass(frozen=True)
class Origin:
    """The service that wrote an export, the target project, and defaults for missing fields."""

    source: str
    project: str
    created_at: str | None = None
    run: str | None = None


class Fields:
    """The fields of a row by name, in any spelling: traceId, trace_id or `Trace ID`.

    `is_text` says that all values are text, as in CSV. Every method takes alternative names and
    uses the first field that is present and not null. Raises Missing for a row that is not an
    object.
    """

    def __init__(self, content: Any, *, is_text: bool = False) -> None:
        if not isinstance(content, Mapping):
            raise Missing("not a JSON object")
        self.content = content
        self.is_text = is_text
        self._by_name = {_plain(name): value for name, value in content.items()}

    def get(self, *names: str) -> Any:
        """Return the field as it is, or None."""
        values = (self._by_name.get(_plain(name)) for name in names)
        return next((value for value in values if value is not None), None)

    def text(self, *names: str) -> str | None:
        """Return the field as text, or None; an id may be a number. Raises Unmappable."""
        value = self.get(*names)
        if value is None or value == "":
            return None
        if isinstance(value, bool | list | dict):
            raise Unmappable(f"{names[0]} is not text")
        return str(value)

    def require(self, *names: str) -> str:
        """Return the field as text. Raises Missing, and Unmappable if it is not text."""
        text = self.text(*names)
        if text is None:
            raise Missing(f"no {names[0]}")
        return text

    def json(self, *names: str) -> Any:
        """Return the field, parsing a CSV cell that holds JSON."""
        value = self.get(*names)
        if not (self.is_text and isinstance(value, str)):
            return value
        try:
            return json.loads(value)
        except ValueError:
            return value

    def number(self, *names: str) -> int | float | None:
        """Return the field as a number, or None. Raises Unmappable."""
        value = self.json(*names)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise Unmappable(f"{names[0]} is not a number")
        return value


def is_lines(name: str) -> bool:
    """Return whether a file holds JSON lines, judging by its name."""
    return not name.lower().endswith((".json", ".csv", ".parquet"))


def read_rows(source: InputFile, before: int, *, as_lines: bool) -> Iterator[Row]:
    """Yield the remaining rows of a file, `before` lines of which were read. Raises NotRows."""
    if as_lines:
        return (
            Row(line.position, line.number, len(line.raw), line.content, line)
            for line in source.lines(before)
        )
    if source.path.name.lower().endswith(".csv"):
        return _csv(source.opened)
    return _json(source.opened)


def _json(opened: BinaryIO) -> Iterator[Row]:
    data = opened.read()
    try:
        rows = _list_rows(json.loads(data))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {syntax_error(error)}"
        raise NotRows(f"not JSON: {where}; a file of JSON lines must be named .jsonl") from None
    except UnicodeDecodeError:
        raise NotRows("not JSON in UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise NotRows(f"JSON that cannot be read: {error}") from None
    size = len(data) // max(1, len(rows))
    for number, content in enumerate(rows, 1):
        yield Row(f"row {number}", number, size, content)


def _list_rows(content: Any) -> list[Any]:
    """Return the rows of a JSON document: an array, a pandas table, an API's list, or one row."""
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise ValueError("neither an array nor an object")
    columns, data = content.get("columns"), content.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        return [dict(zip(columns, cells, strict=False)) for cells in data]
    for name in LISTS:
        if isinstance(content.get(name), list) and "trace_id" not in content:
            rows: list[Any] = content[name]
            return rows
    return [content]


def _csv(opened: BinaryIO) -> Iterator[Row]:
    """Yield the rows after the header; an empty cell is null."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    size = 0  # Of the lines of the current row.

    def texts() -> Iterator[str]:
        nonlocal size
        for number, line in enumerate(opened):
            size += len(line)
            yield line.decode("utf-8" if number else "utf-8-sig")

    try:
        rows = csv.reader(texts(), strict=True)
        header = next(rows, [])
        for number, cells in enumerate(rows, 1):
            content = {name: cell or None for name, cell in zip(header, cells, strict=False)}
            yield Row(f"line {rows.line_num}", number, size, content or None, is_text=True)
            size = 0
    except (csv.Error, UnicodeDecodeError) as error:
        raise NotRows(f"not CSV in UTF-8: {error}") from None


def creation_time(fields: Fields, origin: Origin, *names: str) -> datetime:
    """Return the creation time in milliseconds, in UTC if it names no time zone.

    Raises Unmappable if there is none, or it is before 1970.
    """
    value = fields.text(*names) or origin.created_at
    if value is None:
        raise Unmappable(f"no {names[0]}; use --created-at to set it")
    try:
        created_at = whole_milliseconds(parse_datetime(value))
    except InvalidDatetime as error:
        raise Unmappable(f"{names[0]}: {error}") from None
    if created_at < EPOCH:
        raise Unmappable(f"{names[0]} is before 1970")
    return created_at


def make_score(
    origin: Origin,
    own_id: str,
    created_at: datetime,
    *,
    name: str,
    kind: str | None,
    prediction_id: str,
    value: Any,
    run: str | None,
    **extensions: str | None,
) -> dict[str, Any]:
    """Return a score to import; `kind` is the kind of judge, if the export has it.

    `extensions` are the reason, error and annotator of the score, if any.
    """
    return {
        "score_id": score_id(origin, own_id, created_at),
        "created_at": utc_text(created_at),
        "scorer": f"{origin.source}:{kind}/{name}" if kind else f"{origin.source}:{name}",
        "prediction_id": prediction_id,
        "evaluation_run_id": run or origin.run,
        "value": value,
        **{name: text for name, text in extensions.items() if text is not None},
    }


def score_id(origin: Origin, own_id: str, created_at: datetime) -> str:
    """Derive a UUIDv7 (RFC 9562) from the id in the export, so that every import gives the same."""
    return derived_id(created_at, json.dumps([origin.source, origin.project, own_id]))


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())
