"""`scoreline predictions`: list the predictions of a run, and what a run lacks."""

from __future__ import annotations

import click

from app.cli.base import Group, fail, note
from app.cli.client import Client
from app.cli.listing import ROWS, show_lines
from app.cli.project import project_options

COLUMNS = ("prediction_id", "example_id", "trial", "model", "created_at", "error", "num_scores")


@click.group(cls=Group)
def predictions() -> None:
    """List the predictions of a run of a running service."""


@predictions.command("list")
@project_options
@click.option("--run", required=True, help="The evaluation run.")
@click.option(
    "--missing",
    help="`scorer:NAME`: only predictions without a score by this scorer. `example`: those of the "
    "run --of whose examples this run lacks, one for each.",
)
@click.option("--of", help="The run with the examples, for --missing example.")
@click.option("--limit", type=click.IntRange(min=0), help="The most predictions to return.")
@click.option("--json", "as_json", is_flag=True, help="Print all as JSON lines, as the API does.")
def predictions_list(
    client: Client, limit: int | None, *, as_json: bool, **given: str | None
) -> None:
    """List predictions, newest first: the first 100 in a table, or all with --json.

    The JSON lines of what is missing are the input of a program that scores or predicts it.

    Example: scoreline predictions list --project acme/demo --run nightly-1 --missing scorer:exact
    --json
    """
    filters = [(name, value) for name, value in given.items() if value is not None]
    most = limit if as_json or limit is not None else ROWS + 1
    lines = client.read_list(f"{client.lists_url}/predictions", COLUMNS[0], filters, most)
    if show_lines(lines, COLUMNS, limit, as_json=as_json) or limit == 0:
        return
    if given["missing"] is None:
        fail(f"no predictions of run {given['run']} in {client.project}", 1)
    note("nothing is missing")
