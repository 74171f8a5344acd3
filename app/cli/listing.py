"""Tables of the service's lists, and `scoreline projects` and `scoreline scorers`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import click

from app.cli.base import Group, fail, note, table, write
from app.cli.client import Client, ServiceClient
from app.cli.project import project_options, service_options

ROWS = 100
"""The most rows in a table without --limit; `--json` prints all."""

PROJECT_COLUMNS = ("entity", "project", "created_at", "runs", "predictions", "scores")
SCORER_COLUMNS = ("scorer_name", "created_at", "scores", "references", "leaves")


def show_lines(
    lines: Iterator[bytes], columns: Sequence[str], limit: int | None, *, as_json: bool
) -> bool:
    """Print JSON lines, or `columns` of them as a table; return whether there is any line."""
    first = next(lines, None)
    if first is None:
        return False
    found = chain([first], lines)
    if as_json:
        for line in found:
            write(line + b"\n")
        return True
    rows = [json.loads(line) for line in found]
    shown = ROWS if limit is None else limit
    table(columns, [[_cell(row[name]) for name in columns] for row in rows[:shown]])
    if len(rows) > shown:
        note(f"only the first {shown} are shown; use --limit for more, --json for all")
    return True


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(_element, value)) or "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _element(value: Any) -> str:
    """Return an element of a list in one cell: of a leaf or a reference, its name."""
    if isinstance(value, dict):
        return str(value.get("leaf", value.get("scorer"))) or "(value)"
    return str(value)


@click.group(cls=Group)
def projects() -> None:
    """List the projects of a running service that the key may read."""


@projects.command("list")
@service_options
@click.option("--limit", type=click.IntRange(min=0), help="The most projects to return.")
@click.option("--json", "as_json", is_flag=True, help="Print all as JSON lines, as the API does.")
def projects_list(client: ServiceClient, limit: int | None, *, as_json: bool) -> None:
    """List projects with their counts, newest first.

    Example: scoreline projects list
    """
    most = limit if as_json or limit is not None else ROWS + 1
    lines = client.read_list(f"{client.url}/v1/projects", PROJECT_COLUMNS[0], limit=most)
    if not show_lines(lines, PROJECT_COLUMNS, limit, as_json=as_json) and limit != 0:
        fail("no project that the key may read", 1)


@click.group(cls=Group)
def scorers() -> None:
    """List the scorers of a project of a running service."""


@scorers.command("list")
@project_options
@click.option("--run", help="Only scorers with scores in this run, and what they are there.")
@click.option("--limit", type=click.IntRange(min=0), help="The most scorers to return.")
@click.option("--json", "as_json", is_flag=True, help="Print all as JSON lines, as the API does.")
def scorers_list(client: Client, run: str | None, limit: int | None, *, as_json: bool) -> None:
    """List scorers with their references and leaves, newest first.

    Example: scoreline scorers list --project acme/demo --run nightly-1
    """
    filters = [("run", run)] if run is not None else []
    most = limit if as_json or limit is not None else ROWS + 1
    lines = client.read_list(f"{client.lists_url}/scorers", SCORER_COLUMNS[0], filters, most)
    if not show_lines(lines, SCORER_COLUMNS, limit, as_json=as_json) and limit != 0:
        of_run = f" of run {run}" if run is not None else ""
        fail(f"no scorers{of_run} in {client.project}", 1)
