"""The tables and sentences of a comparison or a ranking on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from app.cli.base import printable
from app.cli.formats import (
    Format,
    figure_cell,
    print_table,
    say,
    text_cell,
    value_cell,
)

COLORS = {"worse": "red", "not comparable": "yellow", "better": "green"}
"""The colours of verdicts; the others have none."""

SHOWN = ("worse", "better", "lower", "higher", "not comparable")
"""The verdicts of slices that have a sentence."""

COMPARED = (
    *("candidate", "scorer", "leaf", "pairs", "baseline", "candidate_mean", "difference"),
    *("low", "high", "method", "p_adjusted", "verdict"),
)


def show_comparisons(form: Format, result: Mapping[str, Any]) -> None:
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


def show_needed(
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


def show_texts(form: Format, comparisons: Sequence[Mapping[str, Any]]) -> None:
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


def show_flaky(form: Format, comparisons: Sequence[Mapping[str, Any]]) -> None:
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


def show_rankings(form: Format, rankings: Sequence[Mapping[str, Any]]) -> None:
    """Print a row for each run and a sentence for each ranking."""
    rows = [_ranked_row(ranking, run) for ranking in rankings for run in ranking["runs"]]
    print_table(form, RANKED, rows)
    if form == "csv":
        return
    click.echo()
    for ranking in rankings:
        say(form, ranking["reason"])


SAMPLES = "Some runs have too few examples in common: they were compared as two samples"


def has_samples(rankings: Sequence[Mapping[str, Any]]) -> bool:
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
