"""`scoreline summary` and `scoreline compare`: what the scores of a running service show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from app.cli.base import Command, fail, note, write
from app.cli.client import Client
from app.cli.comparison_tables import (
    SAMPLES,
    has_samples,
    show_changes,
    show_comparisons,
    show_flaky,
    show_needed,
    show_rankings,
    show_texts,
)
from app.cli.formats import (
    Format,
    figure_cell,
    format_options,
    percent_cell,
    print_table,
    say,
    text_cell,
    value_cell,
)
from app.cli.project import BASELINE, MEANT, PAIR_BY, project_options, why_no_scores
from app.scorers import scorer_name

NOTHING_TO_COMPARE = "nothing to compare: neither run has a value of these scorers and leaves"

NOTHING_TO_RANK = (
    "nothing to rank: the runs have no values of these scorers and leaves, or texts without a "
    "declaration of which are true"
)

GROUP_BY = ("scorer", "scorer_name", "evaluation_run_id", "leaf", "day", "hour")

Query = list[tuple[str, str]]

HISTOGRAMS = click.option(
    "--histograms", is_flag=True, default=None, help="Add histograms of numbers to --json."
)


@click.command(cls=Command)
@project_options
@click.option("--run", help=f"Only scores of this run: {MEANT}")
@click.option("--prediction", "prediction_id", help="Only scores of this prediction.")
@click.option("--scorer", help="Only scores by this scorer: its name, or one version's reference.")
@click.option(
    "--group-by",
    default="scorer_name,leaf",
    show_default=True,
    help=f"What to group by, separated by commas: {', '.join(GROUP_BY)}.",
)
@click.option("--created-at-from", help="Only scores created at or after this time.")
@click.option("--created-at-to", help="Only scores created before this time.")
@click.option("--created-after", help="Only scores created after this time.")
@click.option("--created-before", help="Only scores created before this time.")
@click.option("--repeats", type=click.Choice(["current", "all"]), help="Default: current.")
@click.option(
    "--cluster",
    type=click.Choice(["example", "prediction_id", "none"]),
    help="Which values are not independent of each other: those of one example (the default), of "
    "one prediction, or none.",
)
@HISTOGRAMS
@format_options
def summary(client: Client, form: Format, scorer: str | None, **given: Any) -> None:
    """Show means and rates with their 95 % intervals, by scorer and leaf.

    Example: scoreline summary --project acme/demo --run nightly-1
    """
    query = repeated(given)
    if scorer is not None:
        query.append(("scorer_name" if scorer_name(scorer) == scorer else "scorer", scorer))
    _check_histograms(form, given)
    text, result = client.analyse("summary", query, "groups", "group_by")
    if form == "json":
        write(text + b"\n")
        return
    groups = result["groups"]
    if not groups:
        fail(why_no_scores(client, result.get("run")) or "no scores match", 1)
    fields = result["group_by"]
    rows = [row for group in groups for row in _summary_rows(group, fields, form)]
    print_table(form, (*fields, *SUMMARIZED), rows)
    if form != "csv":
        click.echo(f"\n{EXPLAINED}")
    for warning in dict.fromkeys(_warnings(groups)):
        note(warning)


@click.command(cls=Command)
@project_options
@click.option("--baseline", help=BASELINE)
@click.option("--candidate", multiple=True, help="A run to compare with it; repeatable.")
@click.option("--run", multiple=True, help="In place of these: a run to rank; 2 to 20 of them.")
@click.option("--scorer", multiple=True, help="Only this scorer; repeatable.")
@click.option("--leaf", multiple=True, help="Only this leaf; repeatable.")
@click.option("--pair-by", help=PAIR_BY)
@click.option("--higher-is-better", multiple=True, help="A leaf; repeatable.")
@click.option("--lower-is-better", multiple=True, help="A leaf; repeatable.")
@click.option(
    "--failures",
    type=click.Choice(["exclude", "worst", "as_false"]),
    help="What counts for an example that one run failed on. Default: exclude.",
)
@click.option("--max-unpaired", type=float, help="The part of the baseline that may be missing.")
@click.option("--slice-by", help="Compare slices too: inputs.PATH, metadata.PATH or leaf:PATH.")
@click.option("--k", type=int, help="Say how often one of k trials is true, or all of them.")
@click.option("--effect", type=float, help="Say how many examples show such a difference.")
@click.option(
    "--worst",
    type=int,
    help="List so many of the examples that got worse, and that got better, of each metric.",
)
@click.option("--repeats", type=click.Choice(["current", "all"]), help="Default: current.")
@HISTOGRAMS
@format_options
def compare(client: Client, form: Format, **given: Any) -> None:
    """Say whether a run is better than its baseline, or rank several runs.

    Without --json, each metric has a row and, below the table, a sentence.

    Example: scoreline compare --project acme/demo --baseline run-1 --candidate run-2
    """
    if not given["run"] and not (given["baseline"] and given["candidate"]):
        fail("give --baseline and --candidate, or --run at least twice", 2)
    _check_histograms(form, given)
    text, result = client.analyse("compare", repeated(given), "pair_by")
    if form == "json":
        write(text + b"\n")
    elif not result.get("rankings", result.get("comparisons")):
        fail(NOTHING_TO_RANK if "rankings" in result else NOTHING_TO_COMPARE, 1)
    elif "rankings" in result:
        show_rankings(form, result["rankings"])
        if form != "csv" and has_samples(result["rankings"]):
            say(form, f"{SAMPLES}; pairs are by {result['pair_by']}")
    else:
        show_comparisons(form, result)
        if form != "csv":
            show_needed(form, result["comparisons"], given["effect"])
            show_texts(form, result["comparisons"])
            if given["worst"]:
                show_changes(form, result["comparisons"])
                show_flaky(form, result["comparisons"])


def _check_histograms(form: Format, given: Mapping[str, Any]) -> None:
    """Exit if histograms are asked for in a format that does not show them."""
    if given["histograms"] and form != "json":
        fail("--histograms needs --json", 2)


def repeated(given: Mapping[str, Any]) -> Query:
    """Return the parameters of a query that options give, each value of an option on its own."""
    return [
        (name, str(value))
        for name, values in given.items()
        for value in (values if isinstance(values, tuple) else (values,))
        if value is not None
    ]


# Summaries


MAX_TEXTS = 10
"""A summary shows the shares of texts if there are at most this many different ones."""

SUMMARIZED = ("kind", "attempted", "scored", "coverage", "figure", "value", "low", "high")

EXPLAINED = (
    "A rate is the share of values that are true: booleans, numbers that are all 0 or 1, and "
    "others of which it is declared. A mean is that of all numbers; low and high are the ends of "
    "the 95 % interval. Texts have their shares, the most frequent first."
)


def _summary_rows(group: Mapping[str, Any], fields: Sequence[str], form: Format) -> list[list[str]]:
    """Return a row for each kind of values in a group, or one if it has no values."""
    names = [text_cell(group.get(name)) for name in fields]
    counts = [
        text_cell(group["attempted"]),
        text_cell(group["scored"]),
        figure_cell(group["coverage"]),
    ]
    kinds = [kind for kind in ("number", "boolean", "text", "rate") if group.get(kind)] or ["-"]
    return [[*names, kind, *counts, *_figure(group.get(kind) or {}, form)] for kind in kinds]


def _figure(figures: Mapping[str, Any], form: Format) -> list[str]:
    """Return whether there is a rate or a mean, and it with its interval.

    Rates are in percent, but plain in CSV; the method of an interval says which numbers are rates.
    Of texts it says which are the most frequent, but not in CSV.
    """
    if "distinct" in figures and form != "csv":
        return ["texts", _texts(figures), "-", "-"]
    value = figures.get("mean", figures.get("rate"))
    if value is None:
        return ["-"] * 4
    interval = figures.get("interval") or {}
    is_rate = "rate" in figures or "wilson" in interval.get("method", "")
    cell = percent_cell if is_rate and form != "csv" else figure_cell
    cells = [cell(each) for each in (value, interval.get("low"), interval.get("high"))]
    return ["rate" if is_rate else "mean", *cells]


def _texts(figures: Mapping[str, Any]) -> str:
    """Return the most frequent texts with their shares, or only how many there are, if many."""
    if figures["distinct"] > MAX_TEXTS:
        return f"{figures['distinct']:.0f} different ones"
    return ", ".join(
        f"{value_cell(each['text'])} {percent_cell(each['share'])}"
        for each in figures["most_frequent"]
    )


def _warnings(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{text_cell(group.get('scorer_name'))} {group.get('leaf') or ''}: "
        f"{group['number']['note']}"
        for group in groups
        if group.get("number") and group["number"].get("note")
    ]
