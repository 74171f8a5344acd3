"""The shapes of an export of scores."""

from __future__ import annotations

from app.schemas.fields import Choice
from app.schemas.query_fields import TextList
from app.schemas.scores import ScoreListQuery

FORMATS = ("jsonl", "csv", "parquet")
MOST_COLUMNS = 1_000
"""How many leaves an export has columns for."""


class ScoreExportQuery(ScoreListQuery):
    """Which scores to export, and how."""

    format = Choice(
        FORMATS, load_default="jsonl", metadata={"description": "What to write; jsonl by default."}
    )
    columns = TextList(
        most=MOST_COLUMNS,
        load_default=None,
        metadata={
            "description": "The leaves that have columns, by path, repeated; all by default. "
            "For csv and parquet."
        },
    )
