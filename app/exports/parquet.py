"""Parquet by pyarrow, which is imported when it is asked for: typed columns, group by group."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from app.exports.csv import column_name
from app.exports.tables import FIELDS, KINDS, Kinds, Row, Table, kind_of
from app.stores.base import Score

GROUP_ROWS = 5_000
GROUP_CELLS = 500_000
GROUP_CHARACTERS = 4 << 20
"""A row group ends when it has one of these: what is in memory at a time is bounded."""

Column = tuple[str, str, str]
"""The name of a leaf's column, the leaf's path, and the kind that the column holds of it."""


def is_installed() -> bool:
    """Whether pyarrow is there."""
    return find_spec("pyarrow") is not None


def parquet_pieces(table: Table) -> Iterator[bytes]:
    """A Parquet file, piece by piece."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    types = {
        "number": pyarrow.float64(),
        "integer": pyarrow.string(),
        "boolean": pyarrow.bool_(),
        "text": pyarrow.string(),
        "moment": pyarrow.timestamp("ms", "UTC"),
    }
    columns = list(leaf_columns(table.kinds))
    own = [(name, types["moment" if name == "created_at" else "text"]) for name in FIELDS]
    leaves = [(name, types[kind]) for name, _, kind in columns]
    schema = pyarrow.schema([*own, *leaves, ("value_json", types["text"])])
    sink = io.BytesIO()
    with ParquetWriter(pyarrow.PythonFile(sink, mode="w"), schema) as writer:
        for group in _groups(table.rows, len(schema)):
            writer.write_table(pyarrow.table(_values(group, columns), schema=schema))
            yield _taken(sink)
    yield _taken(sink)


def leaf_columns(kinds: Kinds) -> Iterator[Column]:
    """The columns of all leaves: one a leaf, or of a leaf of several kinds one a kind.

    A kind stands at the end of the name where there are several, where it is `integer`, and where
    the path itself ends like that, so that no two columns have one name.
    """
    for path, found in kinds.items():
        there = [kind for kind in KINDS if kind in found] or ["number"]  # Nothing but null.
        told = len(there) > 1 or "integer" in found or path.rpartition(":")[2] in KINDS
        for kind in there:
            yield f"{column_name(path)}:{kind}" if told else column_name(path), path, kind


def _groups(rows: Iterator[Row], num_columns: int) -> Iterator[list[Row]]:
    most = max(1, min(GROUP_ROWS, GROUP_CELLS // num_columns))
    group: list[Row] = []
    characters = 0
    for row in rows:
        group.append(row)
        characters += len(row[0].value_json)
        if len(group) >= most or characters > GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _values(group: list[Row], columns: list[Column]) -> dict[str, list[Any]]:
    """The values of a row group, by the names of their columns."""
    values: dict[str, list[Any]] = {
        **{name: [_own(score, name) for score, _ in group] for name in FIELDS},
        **{name: [None] * len(group) for name, _, _ in columns},
        "value_json": [score.value_json for score, _ in group],
    }
    names = {(path, kind): name for name, path, kind in columns}
    for position, (_, leaves) in enumerate(group):
        for path, leaf in leaves.items():
            for kind in kind_of(leaf):
                values[names[path, kind]][position] = _typed(leaf, kind)
    return values


def _own(score: Score, name: str) -> Any:
    value = getattr(score, name)
    return _text(value) if isinstance(value, str) else value


def _typed(leaf: Any, kind: str) -> Any:
    if kind == "number":
        return float(leaf)
    if kind == "boolean":
        return leaf
    return _text(str(leaf))


def _text(text: str) -> str:
    """`text` with a lone surrogate as JSON escapes it, because it cannot be written."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _taken(sink: io.BytesIO) -> bytes:
    """What was written since the last time; pyarrow counts the position itself."""
    piece = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return piece
