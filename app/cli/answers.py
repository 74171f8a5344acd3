"""`scoreline summary` and `scoreline compare`: what the scores of a running service show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from app.cli.base import Command, fail, note, printable, write
from app.cli.client import Client
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

COLORS = {"worse": "red", "not comparable": "yellow", "better": "green"}
"""The colours of verdicts; the others have none."""

SHOWN = ("worse", "better", "lower", "higher", "not comparable")
"""The verdicts of slices that have a sentence."""

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
        _show_rankings(form, result["rankings"])
        if form != "csv" and _has_samples(result["rankings"]):
            say(form, f"{SAMPLES}; pairs are by {result['pair_by']}")
    else:
        _show_comparisons(form, result)
        if form != "csv":
            _show_needed(form, result["comparisons"], given["effect"])
            _show_texts(form, result["comparisons"])
            if given["worst"]:
                show_changes(form, result["comparisons"])
                _show_flaky(form, result["comparisons"])


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


# Comparisons


NOTHING_TO_COMPARE = "nothing to compare: neither run has a value of these scorers and leaves"

NOTHING_TO_RANK = (
    "nothing to rank: the runs have no values of these scorers and leaves, or texts without a "
    "declaration of which are true"
)

COMPARED = (
    *("candidate", "scorer", "leaf", "pairs", "baseline", "candidate_mean", "difference"),
    *("low", "high", "method", "p_adjusted", "verdict"),
)


def _show_comparisons(form: Format, result: Mapping[str, Any]) -> None:
    """Print a row and a sentence for each metric, and for each slice, if that shows something."""
    comparisons = result["comparisons"]
    header: Sequence[str] = COMPARED
    rows = [_comparison_row(each) for each in comparisons]
    if "slice_by" in result:
        header = (*COMPARED[:3], printable(result["slice_by"]), *COMPARED[3:])
        rows = [row for each in comparisons for row in _sliced_rows(each)]
    print_table(form, header, rows)
    if form == "csv":
        return
    click.echo()
    for each in comparisons:
        slices = [part for part in each.get("slices", ()) if part["verdict"] in SHOWN]
        for shown in (each, *slices):
            say(form, shown["reason"], COLORS.get(shown["verdict"]))
        if (each["difference"] or {}).get("note"):
            name = " ".join(filter(None, (each["scorer"], each["leaf"])))
            say(form, f"{name}: {each['difference']['note']}; pairs are by {result['pair_by']}")
        for run, figures in each["summaries"].items():
            if figures.get("passes"):
                name = " ".join(filter(None, (each["scorer"], each["leaf"], "in the", run)))
                say(form, f"{name}: {figures['passes']['reason']}")


def _sliced_rows(comparison: Mapping[str, Any]) -> list[list[str]]:
    """Return the row of a comparison, and one for each of its slices."""
    rows = []
    for name, each in (
        ("(all)", comparison),
        *(
            (_label(part["slice"]), {**comparison, "categories": None, **part})
            for part in comparison.get("slices", ())
        ),
    ):
        row = _comparison_row(each)
        rows.append([*row[:3], name, *row[3:]])
    return rows


def _label(value: Any) -> str:
    return printable(value) if isinstance(value, str) else json.dumps(value)


def _comparison_row(comparison: Mapping[str, Any]) -> list[str]:
    difference = comparison["difference"] or {}
    interval = difference.get("interval") or {}
    test = difference or comparison.get("categories") or {}
    numbers = (
        *(difference.get(name) for name in ("baseline", "candidate", "mean")),
        *(interval.get(name) for name in ("low", "high")),
    )
    return [
        *(text_cell(comparison[name]) for name in ("candidate", "scorer", "leaf")),
        text_cell(comparison["pairs"]["compared"]),
        *map(figure_cell, numbers),
        text_cell(test.get("method")),
        figure_cell(test.get("p_adjusted")),
        comparison["verdict"] or "-",
    ]


def _show_needed(
    form: Format, comparisons: Sequence[Mapping[str, Any]], effect: float | None
) -> None:
    """Say how many examples a difference of `effect` needs, if it was given."""
    for each in comparisons:
        needed = (each["difference"] or {}).get("pairs_needed")
        if needed is not None and effect is not None:
            metric = f"{each['scorer']} {each['leaf']}".rstrip()
            size = f"{100 * effect:g} points" if each["is_rate"] else f"{effect:g}"
            found = each["pairs"]["compared"]
            say(
                form,
                f"Some {needed:,} examples show with a probability of 80 % that {metric} differs "
                f"by {size}; here are {found:,}.",
            )


TEXTS = ("candidate", "scorer", "leaf", "baseline_value", "candidate_value", "examples")


def _show_texts(form: Format, comparisons: Sequence[Mapping[str, Any]]) -> None:
    """Print which categories became which others."""
    rows = [
        [
            *(text_cell(each[name]) for name in TEXTS[:3]),
            *(value_cell(change[name]) for name in TEXTS[3:5]),
            text_cell(change["count"]),
        ]
        for each in comparisons
        if each.get("categories")
        for change in each["changes"]
    ]
    if rows:
        click.echo("\nCategories that changed, of examples with one trial in each run:\n")
        print_table(form, TEXTS, rows)


CHANGES = {
    "regressions": "worse",
    "improvements": "better",
    "falls": "lower",
    "rises": "higher",
}

CHANGED = (
    *("scorer", "leaf", "change", "baseline_value", "candidate_value"),
    *("prediction_id", "candidate_prediction_id", "candidate_score_id"),
)


def show_changes(form: Format, comparisons: Sequence[Mapping[str, Any]]) -> None:
    """Print the examples that changed most, with ids for `predictions get` and `scores get`."""
    rows = [
        [
            *(text_cell(each["scorer"]), text_cell(each["leaf"]), word),
            *(value_cell(change[name]) for name in ("baseline_value", "candidate_value")),
            *(text_cell(change[name]) for name in CHANGED[-3:]),
        ]
        for each in comparisons
        for name, word in CHANGES.items()
        for change in each.get(name, ())
    ]
    if rows:
        click.echo()
        print_table(form, CHANGED, rows)


FLAKY = (
    *("scorer", "leaf", "run", "trials", "passes"),
    *("passing_prediction_id", "failing_prediction_id"),
)


def _show_flaky(form: Format, comparisons: Sequence[Mapping[str, Any]]) -> None:
    """Print the examples whose trials disagree, if `--k` asked for them."""
    rows = [
        [
            *(text_cell(each["scorer"]), text_cell(each["leaf"]), side),
            *(text_cell(example[name]) for name in FLAKY[3:]),
        ]
        for each in comparisons
        for side, figures in each["summaries"].items()
        for example in (figures.get("passes") or {"flaky": ()})["flaky"]
    ]
    if rows:
        click.echo("\nExamples whose trials disagree:\n")
        print_table(form, FLAKY, rows)


RANKED = ("scorer", "leaf", "run", "mean", "low", "high", "ranks")


def _show_rankings(form: Format, rankings: Sequence[Mapping[str, Any]]) -> None:
    rows = [_ranked_row(ranking, run) for ranking in rankings for run in ranking["runs"]]
    print_table(form, RANKED, rows)
    if form == "csv":
        return
    click.echo()
    for ranking in rankings:
        say(form, ranking["reason"])


SAMPLES = "Some runs have too few examples in common: they were compared as two samples"


def _has_samples(rankings: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether any two runs were compared as two samples."""
    return any(pair["paired"] is False for ranking in rankings for pair in ranking["pairs"])


def _ranked_row(ranking: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    interval = run["interval"] or {}
    best, worst = run["best_rank"], run["worst_rank"]
    return [
        *(text_cell(each) for each in (ranking["scorer"], ranking["leaf"], run["run"])),
        *(figure_cell(each) for each in (run["mean"], interval.get("low"), interval.get("high"))),
        f"{best}" if best == worst else f"{best} to {worst}",
    ]
