"""Other services' exports: what a row of each is as scores. docs/exports.md has the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.cli.sources import langfuse, mlflow, phoenix
from app.cli.sources.rows import Row
from app.cli.sources.scores import Origin

SOURCES: Mapping[str, Callable[[Row, Origin], list[dict[str, Any]]]] = {
    "langfuse": langfuse.scores_of,
    "phoenix": phoenix.scores_of,
    "mlflow": mlflow.scores_of,
}
"""By the name that `scoreline import --from` takes. Each may raise Unmappable."""
