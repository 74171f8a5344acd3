"""Tables of the service's lists; `scoreline projects`, `scorers` and `predictions`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import click

from app.cli.adding import Kind, add_file, file_options
from app.cli.base import Group, ServiceError, fail, note, printable, table, write
from app.cli.client import Client, Filters, ServiceClient, read_object
from app.cli.project import list_options, project_options, service_options

ROWS = 100
"""The most rows in a table without --limit; `--json` prints all."""

PROJECT_COLUMNS = (
    *("entity", "project", "created_at", "runs", "predictions", "scores", "waiting_feedback"),
)
PREDICTION_COLUMNS = (
    *("prediction_id", "example_id", "trial", "model", "created_at", "error", "num_scores"),
)
PREDICTIONS = Kind(
    ("model", "inputs"),
    {
        *("model", "inputs", "output", "evaluation_run_id", "prediction_id", "example_id"),
        *("trial", "error", "started_at", "finished_at", "usage", "metadata"),
    },
)
SCORER_COLUMNS = ("scorer_name", "created_at", "scores", "references", "leaves")


def show_list(
    client: ServiceClient,
    url: str,
    columns: Sequence[str],
    filters: Filters = (),
    limit: int | None = None,
    *,
    as_json: bool,
    cell: Callable[[str, Any], str] = lambda _name, value: cell_text(value),
) -> bool:
    """Print a list of the service: all as JSON lines, or `columns` of the first ROWS as a table.

    Returns whether there was anything to print, or nothing was asked for.
    """
    most = limit if as_json or limit is not None else ROWS + 1
    lines = client.read_list(url, columns[0], filters, most)
    first = next(lines, None)
    if first is None:
        return limit == 0
    found = chain([first], lines)
    if as_json:
        for line in found:
            write(line + b"\n")
        return True
    rows = [read_object(line) for line in found]
    shown = ROWS if limit is None else limit
    table(columns, [[cell(name, row.get(name)) for name in columns] for row in rows[:shown]])
    if len(rows) > shown:
        note(f"only the first {shown} are shown; use --limit for more, --json for all")
    return True


def cell_text(value: Any) -> str:
    """Return a value as the text of a cell."""
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
@list_options
def projects_list(client: ServiceClient, limit: int | None, *, as_json: bool) -> None:
    """List projects with their counts, newest first.

    Example: scoreline projects list
    """
    url = f"{client.url}/v1/projects"
    if not show_list(client, url, PROJECT_COLUMNS, limit=limit, as_json=as_json):
        fail("no project that the key may read", 1)


@click.group(cls=Group)
def scorers() -> None:
    """List the scorers of a project of a running service."""


@scorers.command("list")
@project_options
@click.option("--run", help="Only scorers with scores in this run, and what they are there.")
@list_options
def scorers_list(client: Client, run: str | None, limit: int | None, *, as_json: bool) -> None:
    """List scorers with their references and leaves, newest first.

    Example: scoreline scorers list --project acme/demo --run nightly-1
    """
    filters = [("run", run)] if run is not None else []
    url = f"{client.lists_url}/scorers"
    if not show_list(client, url, SCORER_COLUMNS, filters, limit, as_json=as_json):
        of_run = f" of run {run}" if run is not None else ""
        fail(f"no scorers{of_run} in {client.project}", 1)


@click.group(cls=Group)
def predictions() -> None:
    """Add predictions to a running service, show one, and list those of a run."""


@predictions.command("add")
@project_options
@file_options
def predictions_add(client: Client, file: str, batch_size: int, *, as_json: bool) -> None:
    """Add the predictions in a file of JSON lines, and report why each rejected line was rejected.

    Each line is one JSON object with model, inputs, output and optionally prediction_id,
    evaluation_run_id, example_id, trial, error, started_at, finished_at, usage and metadata. Give
    them ids of your own, which scores name.

    Adding a file again stores nothing twice, as for `scoreline scores add`.

    Example: scoreline predictions add --project acme/demo --file predictions.jsonl
    """
    target = client.predictions_url
    add_file(file, batch_size, client.add_predictions, target, PREDICTIONS, as_json=as_json)


@predictions.command("get")
@project_options
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON response.")
@click.argument("prediction_id")
def predictions_get(client: Client, prediction_id: str, *, as_json: bool) -> None:
    """Show one prediction, with its inputs and output.

    Example: scoreline predictions get --project acme/demo run-1/7
    """
    try:
        text, prediction = client.read_prediction(prediction_id)
    except ServiceError as error:
        if not error.is_missing:
            raise
        fail(f"no prediction {prediction_id} is stored in {client.project}", 1)
    if as_json:
        write(text + b"\n")
        return
    for name, value in prediction.items():
        click.echo(f"{name}: {printable(cell_text(value))}")


@predictions.command("list")
@project_options
@click.option("--run", required=True, help="The id of the evaluation run.")
@click.option(
    "--missing",
    help="`scorer:NAME`: only predictions without a score by this scorer. `example`: those of the "
    "run --of whose examples this run lacks, one for each.",
)
@click.option("--of", help="The run with the examples, for --missing example.")
@list_options
def predictions_list(
    client: Client, limit: int | None, *, as_json: bool, **given: str | None
) -> None:
    """List predictions, newest first: the first 100 in a table, or all with --json.

    The JSON lines of what is missing are the input of a program that scores or predicts it.

    Example: scoreline predictions list --project acme/demo --run nightly-1 --missing scorer:exact
    --json
    """
    filters = [(name, value) for name, value in given.items() if value is not None]
    url = f"{client.lists_url}/predictions"
    if show_list(client, url, PREDICTION_COLUMNS, filters, limit, as_json=as_json):
        return
    if given["missing"] is None:
        fail(f"no predictions of run {given['run']} in {client.project}", 1)
    note("nothing is missing")
