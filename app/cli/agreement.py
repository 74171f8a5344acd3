"""`scoreline agreement`: how far two judges agree on the same predictions, and where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from app.cli.answers import repeated
from app.cli.base import Command, write
from app.cli.client import Client
from app.cli.formats import Format, figure_cell, format_options, print_table, say, value_cell
from app.cli.project import MEANT, project_options

FIGURES = ("agreement", "kappa", "weighted_kappa", "alpha", "spearman")
HEADER = ("figure", "value", "low", "high", "why")

DISAGREEMENTS = ("prediction_id", "first_value", "second_value", "first_reason", "second_reason")

MAX_COLUMNS = 10
"""A confusion table of more values is only in --json."""


@click.command(cls=Command)
@project_options
@click.option("--first", required=True, help="One scorer, by its name or by a full reference.")
@click.option("--second", required=True, help="The other scorer; it may be the same one.")
@click.option("--first-annotator", help="Only scores of the first by this annotator.")
@click.option("--second-annotator", help="Only scores of the second by this annotator.")
@click.option("--leaf", help="The leaf of their values. Default: the whole value.")
@click.option("--second-leaf", help="The leaf of the second, if it is another one.")
@click.option("--run", multiple=True, help=f"Only scores of this run, repeatable: {MEANT}")
@click.option("--worst", type=int, help="How many disagreements to list. Default: 10.")
@format_options
def agreement(client: Client, form: Format, **given: Any) -> None:
    """Say how far two judges agree on the same predictions, and where they do not.

    A judge is a scorer, one version of it, or one annotator. Prints figures with 95 % intervals,
    the confusion table, the disagreements and a sentence; with --csv, only the figures.

    Example: scoreline agreement --project acme/demo --first Judge --second Human
    """
    text, result = client.analyse("agreement", repeated(given), *FIGURES, "disagreements")
    if form == "json":
        write(text + b"\n")
        return
    print_table(form, HEADER, [_row(name, result[name]) for name in FIGURES])
    if form == "csv":
        return
    for header, rows in (_table(result["table"]), _disagreements(result["disagreements"])):
        if rows:
            click.echo()
            print_table(form, header, rows)
    click.echo()
    say(form, result["reason"])


def _row(name: str, figure: Mapping[str, Any]) -> list[str]:
    interval = figure["interval"] or {}
    numbers = (figure["value"], interval.get("low"), interval.get("high"))
    return [name, *map(figure_cell, numbers), figure["why"] or ""]


def _table(table: Mapping[str, Any] | None) -> tuple[Sequence[str], list[list[str]]]:
    """Return the confusion table, the first judge's values in rows."""
    if table is None or len(table["categories"]) > MAX_COLUMNS:
        return (), []
    names = [value_cell(each) for each in table["categories"]]
    rows = [[name, *map(str, counts)] for name, counts in zip(names, table["counts"], strict=True)]
    return ("first, below; second, right", *names), rows


def _disagreements(
    found: Sequence[Mapping[str, Any]],
) -> tuple[Sequence[str], list[list[str]]]:
    return DISAGREEMENTS, [[value_cell(each[name]) for name in DISAGREEMENTS] for each in found]
