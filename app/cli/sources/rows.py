"""The rows of an export: JSON lines, one JSON text, or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from app.cli.files import InputFile, Line

MOST_CELL_CHARACTERS = 2**31 - 1

LISTS = ("data", "traces", "assessments")
"""What a list of rows is called in a JSON object that is an answer of some API."""


class NotRows(Exception):
    """A file that has no rows; the message says why."""


@dataclass(frozen=True)
class Row:
    """One row of a file: where it stands, about how many bytes it takes, and what it says.

    `line` is the row as it stands in a file of lines, with what is wrong
    with its JSON. The cells of CSV are text: what is JSON inside them is for the source to read.
    """

    place: str
    number: int
    size: int
    content: Any = None
    line: Line | None = None
    is_text: bool = False

    @property
    def is_blank(self) -> bool:
        """Whether nothing stands in the row."""
        return self.content is None and (self.line is None or self.line.is_blank)


def is_lines(name: str) -> bool:
    """Return whether a file holds JSON lines, by its name."""
    return not name.lower().endswith((".json", ".csv", ".parquet"))


def read_rows(source: InputFile, before: int, *, as_lines: bool) -> Iterator[Row]:
    """Yield the rows from where a file stands, after so many lines. Raises NotRows."""
    if as_lines:
        return (
            Row(line.place, line.number, len(line.raw), line.content, line)
            for line in source.lines(before)
        )
    if source.path.name.lower().endswith(".csv"):
        return _csv(source.opened)
    return _json(source.opened)


def _json(opened: BinaryIO) -> Iterator[Row]:
    data = opened.read()
    try:
        rows = _listed(json.loads(data))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise NotRows(f"not JSON: {where}; name a file of JSON lines .jsonl") from None
    except UnicodeDecodeError:
        raise NotRows("not JSON in UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise NotRows(f"not JSON that can be read: {error}") from None
    size = len(data) // max(1, len(rows))
    for number, content in enumerate(rows, 1):
        yield Row(f"row {number}", number, size, content)


def _listed(content: Any) -> list[Any]:
    """Return the rows of a JSON text: a list, a table of pandas, an API's list, or one row."""
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise ValueError("neither a list nor an object")
    columns, data = content.get("columns"), content.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        return [dict(zip(columns, cells, strict=False)) for cells in data]
    for name in LISTS:
        if isinstance(content.get(name), list) and "trace_id" not in content:
            found: list[Any] = content[name]
            return found
    return [content]


def _csv(opened: BinaryIO) -> Iterator[Row]:
    """Yield the rows under the header; an empty cell is null."""
    csv.field_size_limit(MOST_CELL_CHARACTERS)
    sizes = [0]

    def texts() -> Iterator[str]:
        for line in opened:
            sizes[0] += len(line)
            yield line.decode("utf-8-sig" if sizes[0] == len(line) else "utf-8")

    try:
        rows = csv.reader(texts(), strict=True)
        header = next(rows, [])
        for number, cells in enumerate(rows, 1):
            content = {name: cell or None for name, cell in zip(header, cells, strict=False)}
            yield Row(f"line {rows.line_num}", number, sizes[0], content or None, is_text=True)
            sizes[0] = 0
    except (csv.Error, UnicodeDecodeError) as error:
        raise NotRows(f"not CSV in UTF-8: {error}") from None
