"""`scoreline predictions`: list the predictions of a run, and what a run lacks."""

from __future__ import annotations

import click

from app.cli.base import Group, fail, note
from app.cli.client import Client
from app.cli.listing import show_list
from app.cli.project import list_options, project_options

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
    if show_list(client, url, COLUMNS, filters, limit, as_json=as_json):
        return
    if given["missing"] is None:
        fail(f"no predictions of run {given['run']} in {client.project}", 1)
    note("nothing is missing")
