"""CSV as in RFC 4180, with only text quoted, and safe from formula injection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from app import jsontext
from app.exports.tables import LAST_COLUMNS, SCORE_COLUMNS, Table
from app.ids import utc_text
from app.stores.model import Score

MARK = "'"
"""The prefix of a text that a spreadsheet would take for a formula, or that begins with MARK."""

_MARKED = re.compile(
    # Blanks and invisible characters, which a spreadsheet may skip.
    "[\\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]*"
    # The beginning of a formula (OWASP, CSV Injection), also in full-width characters.
    "[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-]"
    "|'"
)


def csv_lines(table: Table) -> Iterator[bytes]:
    """Yield the header, then one line for each score."""
    header = [*SCORE_COLUMNS, *map(column_name, table.kinds), *LAST_COLUMNS]
    yield _line(_quoted(name) for name in header)
    for score, leaves in table.rows:
        cells = [_cell(leaves.get(path)) for path in table.kinds]
        # JSON text is never a formula: only a number begins with a minus sign.
        last = (_cell(getattr(score, name)) for name in LAST_COLUMNS[1:])
        yield _line([*_fields(score), *cells, _quoted(score.value_json), *last])


def column_name(path: str) -> str:
    """Return the name of a leaf's column: `value` for a bare scalar, else `value.<path>`."""
    return f"value.{path}" if path else "value"


def _fields(score: Score) -> list[str]:
    texts = (getattr(score, name) for name in SCORE_COLUMNS[2:])
    return [_quoted(score.score_id), _quoted(utc_text(score.created_at)), *map(_cell, texts)]


def _cell(value: Any) -> str:
    """Return a text quoted, null as an empty cell, a number or a boolean as in JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _quoted(MARK + value if _MARKED.match(value) else value)
    return jsontext.write(value)


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _line(cells: Iterable[str]) -> bytes:
    # UTF-8 cannot encode a lone surrogate, so it is escaped as in JSON.
    return f"{','.join(cells)}\r\n".encode("utf-8", "backslashreplace")
