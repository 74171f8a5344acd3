"""The rows of an export file: JSON lines, one JSON text, or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

MOST_CELL_CHARACTERS = 2**31 - 1

LISTS = ("data", "traces", "assessments")
"""What a list of rows is called in a JSON object that is an answer of some API."""


class NotRows(Exception):
    """A file that has no rows; the message says why."""


@dataclass(frozen=True)
class Row:
    """One row of a file: where it stands, about how many bytes it takes, and what it says.

    `line` is the row as it stands in a file of lines. `content` is None where the row is no JSON.
    The cells of CSV are text: JSON inside of them is for whoever knows what they mean.
    """

    place: str
    number: int
    size: int
    content: Any = None
    line: bytes = b""
    is_text: bool = False

    @property
    def is_blank(self) -> bool:
        """Whether nothing stands in the line."""
        return self.content is None and not self.line.strip()


def is_lines(file: Path) -> bool:
    """Whether a file is one of JSON lines, by its name."""
    return file.suffix.lower() not in (".json", ".csv", ".parquet")


def read_rows(opened: BinaryIO, file: Path, before: int) -> Iterator[Row]:
    """The rows from where `opened` stands, after so many lines. Raises NotRows."""
    if is_lines(file):
        return _lines(opened, before)
    return _csv(opened) if file.suffix.lower() == ".csv" else _json(opened)


def _lines(opened: BinaryIO, before: int) -> Iterator[Row]:
    for number, line in enumerate(opened, before + 1):
        try:
            content = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            content = None
        yield Row(f"line {number}", number, len(line), content, line)


def _json(opened: BinaryIO) -> Iterator[Row]:
    data = opened.read()
    try:
        rows = _listed(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise NotRows(f"no JSON, or JSON lines without the name .jsonl: {error}") from None
    size = len(data) // max(1, len(rows))
    for number, content in enumerate(rows, 1):
        yield Row(f"row {number}", number, size, content)


def _listed(content: Any) -> list[Any]:
    """The rows of a JSON text: a list, a table as pandas splits it, an API's list, or one row."""
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
    """The rows under the header; an empty cell is null."""
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
        raise NotRows(f"no CSV in UTF-8: {error}") from None
