"""Exports: choose the format and the columns, and start the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from app.errors import InvalidParameter
from app.exports import parquet
from app.exports.csv import csv_lines
from app.exports.tables import declared_table, discovered_table
from app.leaves import may_be_old_name, old_name, refuse_old_name
from app.schemas.scores import score_text
from app.schemas.transfers import EvaluationRunLine, PredictionLine, ScoreLine
from app.services.lists import ClientCheck, list_scores, make_query, no_client_check, walk
from app.stores.base import DocumentQuery, ScoreQuery, Store
from app.stores.model import EvaluationRun, Prediction, Score


@dataclass(frozen=True)
class Export:
    """An export: its format, and its file piece by piece."""

    format: str
    pieces: Iterator[bytes]


def export_scores(
    store: Store,
    entity: str,
    project: str,
    wanted: dict[str, Any],
    check_client: ClientCheck = no_client_check,
) -> Export:
    """Export the scores of one project that pass all filters, oldest first.

    `wanted` is a loaded ScoreExportQuery. Memory does not grow with the number of scores. Raises
    InvalidParameter, here or when the first piece is read, and whatever `check_client` raises.
    """
    export_format, columns = wanted["format"], wanted["columns"]
    if export_format == "jsonl":
        if columns is not None:
            raise InvalidParameter("columns", columns, "only csv and parquet have columns")
        if wanted["repeats"] == "current":
            raise InvalidParameter("repeats", "current", "jsonl exports all scores")
        return Export(export_format, _json_lines(list_scores(store, entity, project, wanted).items))
    if export_format == "parquet" and not parquet.is_installed():
        raise InvalidParameter(
            "format",
            export_format,
            "parquet needs pyarrow, which is not installed here: pip install 'scoreline[parquet]'",
        )
    return Export(export_format, _table_pieces(store, entity, project, wanted, check_client))


def export_project(store: Store, entity: str, project: str) -> Iterator[bytes]:
    """Return the evaluation runs, predictions and scores of a project as JSON lines, oldest first.

    Memory does not grow with their number. What is stored meanwhile may be missing.
    """
    query = DocumentQuery(entity, project)
    runs = map(EvaluationRunLine().dumps, store.read_documents(EvaluationRun, query))
    predictions = map(PredictionLine().dumps, store.read_documents(Prediction, query))
    scores = map(ScoreLine().dumps, walk(store, ScoreQuery(entity, project)))
    return (f"{line}\n".encode() for line in chain(runs, predictions, scores))


def _json_lines(scores: Iterator[Score]) -> Iterator[bytes]:
    return (f"{score_text(score)}\n".encode() for score in scores)


def _table_pieces(
    store: Store, entity: str, project: str, wanted: dict[str, Any], check_client: ClientCheck
) -> Iterator[bytes]:
    """Yield a table, after a first pass over the scores unless CSV columns are declared."""
    query, limit, columns = make_query(entity, project, wanted), wanted["limit"], wanted["columns"]
    query = replace(query, only_current=wanted["repeats"] != "all")
    _refuse_old_columns(store, query, columns or (), check_client)
    if wanted["format"] == "csv" and columns is not None:
        table = declared_table(store, query, limit, columns)
    else:
        table = discovered_table(store, query, limit, columns, check_client)
    yield from csv_lines(table) if wanted["format"] == "csv" else parquet.parquet_pieces(table)


def _refuse_old_columns(
    store: Store, query: ScoreQuery, columns: Iterable[str], check_client: ClientCheck
) -> None:
    """Raise InvalidParameter for a column whose name only an older release gave to a leaf.

    Any other name that no score has is accepted as an empty column, because a leaf may be rare.
    """
    doubtful = set(filter(may_be_old_name, columns))
    if not doubtful:
        return
    renamed: set[str] = set()
    for tally in store.tally_leaves(replace(query, offset=0), ()):
        check_client()
        for leaf in tally.leaves:
            doubtful.discard(leaf["path"])
            if old_name(leaf["path"]) in doubtful:
                renamed.add(leaf["path"])
        if not doubtful:
            return
    for column in sorted(doubtful):
        refuse_old_name("columns", column, renamed)
