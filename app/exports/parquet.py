"""Parquet with typed columns, written by pyarrow, which is imported on first use."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from app.exports.csv import column_name
from app.exports.tables import KINDS, LAST_COLUMNS, SCORE_COLUMNS, Kinds, Row, Table, kind_of
from app.parts import in_parts
from app.stores.model import Score

GROUP_ROWS = 5_000
GROUP_CELLS = 500_000
GROUP_CHARACTERS = 4 << 20
"""Limits of a row group, which bound the memory of an export."""

Column = tuple[str, str, str]
"""The name of a column, the path of its leaf, and the kind of its values."""


def is_installed() -> bool:
    """Return whether pyarrow is installed."""
    return find_spec("pyarrow") is not None


def parquet_pieces(table: Table) -> Iterator[bytes]:
    """Yield a Parquet file piece by piece, a row group each."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    types = {
        "number": pyarrow.float64(),
        "integer": pyarrow.string(),
        "boolean": pyarrow.bool_(),
        "text": pyarrow.string(),
        "datetime": pyarrow.timestamp("ms", "UTC"),
    }
    columns = list(leaf_columns(table.kinds))
    field_types = [
        (name, types["datetime" if name == "created_at" else "text"]) for name in SCORE_COLUMNS
    ]
    leaf_types = [(name, types[kind]) for name, _, kind in columns]
    last_types = [(name, types["text"]) for name in LAST_COLUMNS]
    schema = pyarrow.schema([*field_types, *leaf_types, *last_types])
    sink = io.BytesIO()
    with ParquetWriter(pyarrow.PythonFile(sink, mode="w"), schema) as writer:
        most = max(1, min(GROUP_ROWS, GROUP_CELLS // len(schema)))
        for group in in_parts(table.rows, most, _characters, GROUP_CHARACTERS):
            writer.write_table(pyarrow.table(_values(group, columns), schema=schema))
            yield _take(sink)
    yield _take(sink)


def leaf_columns(kinds: Kinds) -> Iterator[Column]:
    """Yield the columns of all leaves: one for each kind of a leaf.

    The name of a column ends with the kind if its leaf has several, if the kind is `integer`, or if
    the path itself ends like a kind, so that names are unique. A leaf that is always null is a
    number.
    """
    for path, leaf_kinds in kinds.items():
        ordered = [kind for kind in KINDS if kind in leaf_kinds] or ["number"]
        has_suffix = len(ordered) > 1 or "integer" in leaf_kinds or path.rpartition(":")[2] in KINDS
        for kind in ordered:
            yield f"{column_name(path)}:{kind}" if has_suffix else column_name(path), path, kind


def _characters(row: Row) -> int:
    return len(row[0].value_json)


def _values(group: list[Row], columns: list[Column]) -> dict[str, list[Any]]:
    """Return the values of a row group, by column name."""
    values: dict[str, list[Any]] = {
        **{name: [_field(score, name) for score, _ in group] for name in SCORE_COLUMNS},
        **{name: [None] * len(group) for name, _, _ in columns},
        **{name: [_field(score, name) for score, _ in group] for name in LAST_COLUMNS},
    }
    names = {(path, kind): name for name, path, kind in columns}
    for position, (_, leaves) in enumerate(group):
        for path, leaf in leaves.items():
            for kind in kind_of(leaf):
                values[names[path, kind]][position] = _typed(leaf, kind)
    return values


def _field(score: Score, name: str) -> Any:
    value = getattr(score, name)
    return _text(value) if isinstance(value, str) else value


def _typed(leaf: Any, kind: str) -> Any:
    if kind == "number":
        return float(leaf)
    if kind == "boolean":
        return leaf
    return _text(str(leaf))


def _text(text: str) -> str:
    """Return `text` with lone surrogates, which UTF-8 cannot encode, escaped as in JSON."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _take(sink: io.BytesIO) -> bytes:
    """Return what was written since the last call, and empty the sink."""
    piece = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return piece
