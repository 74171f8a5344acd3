"""CSV as RFC 4180 says, that no spreadsheet takes for formulas: text is quoted, the rest is not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from app import jsontext
from app.exports.tables import FIELDS, Table
from app.ids import utc_text
from app.stores.base import Score

MARK = "'"
"""What is put before a text that would be a formula, and before one that begins with it."""

_MARKED = re.compile(
    # What is not seen, which a spreadsheet may leave out.
    "[\\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*"
    # What makes a cell a formula (OWASP, CSV Injection); the last are wide.
    "[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-]"
    "|'"
)


def csv_lines(table: Table) -> Iterator[bytes]:
    """The header, then a line for each score."""
    header = [*FIELDS, *map(column_name, table.kinds), "value_json"]
    yield _line(_quoted(name) for name in header)
    for score, leaves in table.rows:
        cells = [_cell(leaves.get(path)) for path in table.kinds]
        # JSON text is no formula: it begins with a minus only where it is a number.
        yield _line([*_fields(score), *cells, _quoted(score.value_json)])


def column_name(path: str) -> str:
    """The column of a leaf: `value` for a bare scalar."""
    return f"value.{path}" if path else "value"


def _fields(score: Score) -> list[str]:
    texts = (score.scorer, score.prediction_id, score.evaluation_run_id, score.wb_user_id)
    return [_quoted(score.score_id), _quoted(utc_text(score.created_at)), *map(_cell, texts)]


def _cell(value: Any) -> str:
    """A text quoted, null as nothing at all, a number or a boolean as JSON writes it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _quoted(MARK + value if _MARKED.match(value) else value)
    return jsontext.write(value)


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _line(cells: Iterable[str]) -> bytes:
    # A lone surrogate cannot be written: it stands as JSON escapes it.
    return f"{','.join(cells)}\r\n".encode("utf-8", "backslashreplace")
