"""`scoreline trend`: one metric over the newest runs, and what is shown of the newest."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from app.cli.answers import repeated
from app.cli.base import Command, write
from app.cli.client import Client
from app.cli.comparison_tables import COLORS
from app.cli.formats import (
    Format,
    figure_cell,
    format_options,
    print_table,
    say,
    text_cell,
)
from app.cli.project import project_options

HEADER = ("run", "started_at", "attempted", "scored", "coverage", "mean", "low", "high")

WIDTH = 24
"""How many characters wide an interval is drawn."""


@click.command(cls=Command)
@project_options
@click.option("--scorer", required=True, help="The scorer, by its name.")
@click.option("--leaf", help="The leaf of its values. Default: the whole value.")
@click.option("--limit", type=int, help="How many runs, the newest. Default: 20, at most 200.")
@click.option("--attribute", multiple=True, help="Only runs with this KEY or KEY=VALUE.")
@click.option("--name", help="Only runs whose name, or id without a name, contains this text.")
@click.option("--evaluation", help="Only runs of this evaluation.")
@click.option("--model", help="Only runs of this model.")
@click.option("--dataset", help="Only runs on this dataset.")
@click.option("--status", help="Only runs with this status: running, completed or failed.")
@click.option("--created-at-from", help="Only runs created at or after this time.")
@click.option("--created-at-to", help="Only runs created before this time.")
@format_options
def trend(client: Client, form: Format, **given: Any) -> None:
    """Show one metric over the newest runs, the oldest first, with 95 % intervals.

    Below the table, a sentence says whether the newest run is shown to differ from the one before
    it and from the first. On a terminal, the intervals are drawn.

    Example: scoreline trend --project acme/demo --scorer Exact --attribute branch=main
    """
    text, result = client.analyse("trend", repeated(given), "runs", "comparisons")
    if form == "json":
        write(text + b"\n")
        return
    runs = result["runs"]
    rows = [_row(run) for run in runs]
    if form == "table" and sys.stdout.isatty():
        drawn = [[*row, line] for row, line in zip(rows, draw(runs), strict=True)]
        print_table(form, (*HEADER, "95 % interval"), drawn)
    else:
        print_table(form, HEADER, rows)
    if form != "csv":
        _show_reasons(form, result)


def _row(run: Mapping[str, Any]) -> list[str]:
    interval = run["interval"] or {}
    return [
        text_cell(run["run"]),
        text_cell(run["started_at"]),
        *(text_cell(run[name]) for name in ("attempted", "scored")),
        *(figure_cell(run[name]) for name in ("coverage", "mean")),
        *(figure_cell(interval.get(name)) for name in ("low", "high")),
    ]


def draw(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the interval of each run as a line with its mean, all on the same scale."""
    ends = [_ends(run) for run in runs]
    known = [each for each in ends if each is not None]
    least = min((low for low, _, _ in known), default=0.0)
    span = max((high for _, _, high in known), default=0.0) / 2 - least / 2
    return ["" if each is None else _line(each, least, span) for each in ends]


def _ends(run: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Return the low end, the mean and the high end."""
    mean = run["mean"]
    interval = run["interval"] or {"low": mean, "high": mean}
    return None if mean is None else (interval["low"], mean, interval["high"])


def _line(ends: tuple[float, float, float], least: float, span: float) -> str:
    """Return a line such as `  |--*--|`; `span` is half the scale, as all of it may overflow."""
    places = [round((each / 2 - least / 2) / span * (WIDTH - 1)) if span else 0 for each in ends]
    low, mean, high = places
    line = [" "] * low + ["-"] * (high - low + 1)
    line[low] = line[high] = "|"
    line[mean] = "*"
    return "".join(line)


def _show_reasons(form: Format, result: Mapping[str, Any]) -> None:
    """Print the sentence of the trend, and those of its comparisons."""
    if result["runs"]:
        click.echo()
    say(form, result["reason"])
    for each in result["comparisons"]:
        line = f"{each['candidate']} against {each['baseline']}: {each['reason']}"
        say(form, line, COLORS.get(each["verdict"]))
