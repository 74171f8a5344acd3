"""Exports: the scores that a list holds, as JSON lines, as CSV or as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidParameter
from app.exports import parquet
from app.exports.csv import csv_lines
from app.exports.tables import declared_table, found_table
from app.schemas.scores import ScoreReadRes
from app.services.lists import ClientCheck, list_scores, no_client_check, query_of
from app.stores.base import Score, Store


@dataclass(frozen=True)
class Export:
    """A file that comes piece by piece, and its format."""

    format: str
    pieces: Iterator[bytes]


def export_scores(
    store: Store,
    entity: str,
    project: str,
    wanted: dict[str, Any],
    check_client: ClientCheck = no_client_check,
) -> Export:
    """The scores of one project that pass all filters, oldest first.

    `wanted` is a loaded ScoreExportQuery. Little is held at a time, however many there are. Raises
    InvalidParameter, also when the first piece is asked for.
    """
    to_write, columns = wanted["format"], wanted["columns"]
    if to_write == "jsonl":
        if columns is not None:
            raise InvalidParameter("columns", columns, "jsonl has no columns: csv and parquet have")
        return Export(to_write, _json_lines(list_scores(store, entity, project, wanted).scores))
    if to_write == "parquet" and not parquet.is_installed():
        raise InvalidParameter(
            "format",
            to_write,
            "parquet needs pyarrow, which is not installed here: pip install 'scoreline[parquet]'",
        )
    return Export(to_write, _of_table(store, entity, project, wanted, check_client))


def _json_lines(scores: Iterator[Score]) -> Iterator[bytes]:
    write = ScoreReadRes().dumps
    return (f"{write(score)}\n".encode() for score in scores)


def _of_table(
    store: Store, entity: str, project: str, wanted: dict[str, Any], check_client: ClientCheck
) -> Iterator[bytes]:
    """Kinds of leaves must be found first, and so must leaves that are not declared."""
    query, limit, columns = query_of(entity, project, wanted), wanted["limit"], wanted["columns"]
    if wanted["format"] == "csv" and columns is not None:
        table = declared_table(store, query, limit, columns)
    else:
        table = found_table(store, query, limit, columns, check_client)
    yield from csv_lines(table) if wanted["format"] == "csv" else parquet.parquet_pieces(table)
