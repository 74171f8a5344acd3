"""CSV as in RFC 4180, with only text quoted, and safe from formula injection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from app import jsontext
from app.exports.tables import LAST_COLUMNS, SCORE_COLUMNS, Table
from app.ids import utc_text
from app.spreadsheets import cell_of
from app.stores.model import Score


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
        return _quoted(cell_of(value))
    return jsontext.write(value)


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _line(cells: Iterable[str]) -> bytes:
    # UTF-8 cannot encode a lone surrogate, so it is escaped as in JSON.
    return f"{','.join(cells)}\r\n".encode("utf-8", "backslashreplace")
