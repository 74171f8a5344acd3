"""`scoreline metrics`: list, set, delete, apply, propose and check what is declared of leaves."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from app.cli.base import (
    Group,
    ServiceError,
    confirm,
    counted,
    fail,
    note,
    printable,
    table,
    write,
    write_json,
)
from app.cli.client import Client, error_text
from app.cli.listing import cell_text
from app.cli.project import MEANT, project_options
from app.cli.project_file import FILE, place, read_tables
from app.cli.proposals import proposal_text

COLUMNS = ("scorer", "leaf", "direction", "true_when", "unit", "schema", "primary")
CHECKED = ("scorer", "leaf", "schema_mode", "checked", "against")

DEFAULTS: dict[str, Any] = {
    "direction": "none",
    "true_when": None,
    "unit": None,
    "schema": None,
    "schema_mode": "warn",
    "primary": False,
}
"""What is declared of a leaf if nothing else is."""

Metric = dict[str, Any]


@click.group(cls=Group)
def metrics() -> None:
    """Declare what is better, true and allowed, of each leaf of a scorer."""


@metrics.command("list")
@project_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def metrics_list(client: Client, *, as_json: bool) -> None:
    """List the declared metrics by scorer and leaf.

    Example: scoreline metrics list --project acme/demo
    """
    found = client.metrics()
    if as_json:
        _write_lines(found)
    elif found:
        table(COLUMNS, [[_cell(each, name) for name in COLUMNS] for each in found])
    else:
        note(f"no metrics are declared in {client.project}")


@metrics.command("set")
@project_options
@click.option("--direction", help="higher, lower or none: which values are better.")
@click.option("--true-when", help="Which numbers are true: a comparison such as '>= 0.5'.")
@click.option("--true-text", multiple=True, help="A text that is true; may be repeated.")
@click.option("--unit", help="The unit, for people.")
@click.option("--schema", type=click.Path(path_type=Path), help="A file with a JSON Schema.")
@click.option("--schema-mode", help="warn or enforce.")
@click.option(
    "--primary/--no-primary", default=None, help="Whether it is one of the metrics that decide."
)
@click.option("--json", "as_json", is_flag=True, help="Print the metric as a JSON line.")
@click.argument("scorer")
@click.argument("leaf", default="")
def metrics_set(
    client: Client,
    scorer: str,
    leaf: str,
    true_text: tuple[str, ...],
    schema: Path | None,
    *,
    as_json: bool,
    **given: Any,
) -> None:
    """Declare one metric; what is not given stays as it was declared.

    Without LEAF, it is about the whole value.

    Example: scoreline metrics set --project acme/demo exact --direction higher --primary
    """
    if true_text and given["true_when"] is not None:
        fail("give --true-when or --true-text, not both", 2)
    changes = {name: value for name, value in given.items() if value is not None}
    if true_text:
        changes["true_when"] = list(true_text)
    if schema:
        changes["schema"] = _read_schema(schema)
    (checked,) = client.declare([{"scorer": scorer, "leaf": leaf}], dry_run=True)
    before = next((each for each in client.metrics() if _key(each) == _key(checked)), checked)
    (after,) = client.declare([_declared(before) | changes])
    if as_json:
        _write_lines([after])
    else:
        change = _change(None if before is checked else before, after)
        click.echo(printable(change or f"= {_name(after)}"))


@metrics.command("delete")
@project_options
@click.option("--yes", is_flag=True, help="Delete without asking for confirmation.")
@click.argument("scorer")
@click.argument("leaf", default="")
def metrics_delete(client: Client, scorer: str, leaf: str, *, yes: bool) -> None:
    """Remove what is declared of one leaf of a scorer.

    Asks for confirmation first. Without a terminal, --yes is required.

    Example: scoreline metrics delete --project acme/demo --yes exact
    """
    if not yes:
        confirm(f"what is declared of {scorer} {leaf}".rstrip())
    client.delete_metric(scorer, leaf)
    note(f"deleted what was declared of {scorer} {leaf}".rstrip())


@metrics.command("apply")
@project_options
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default=Path(FILE),
    show_default=True,
    help="The file with [[metric]] tables.",
)
@click.option("--dry-run", is_flag=True, help="Check the file and print what would change.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the metrics of the file as JSON lines."
)
def metrics_apply(client: Client, path: Path, *, dry_run: bool, as_json: bool) -> None:
    """Declare the metrics of a file, all or none; repeat it as often as you like.

    Other metrics of the project stay as they are. A wrong key or value is named with its place.

    Example: scoreline metrics apply --project acme/demo --file scoreline.toml
    """
    tables = read_tables(path, "metric")
    if not tables:
        fail(f"{path} has no [[metric]]", 2)
    before = {_key(each): each for each in client.metrics()}
    try:
        after = client.declare(tables, dry_run=dry_run)
    except ServiceError as error:
        if not error.errors:
            raise
        fail(_in_file(path, tables, error.errors), 2)
    if as_json:
        _write_lines(after)
        return
    changes = [_change(before.get(_key(each)), each) for each in after]
    for change in filter(None, changes):
        click.echo(printable(change))
    left = before.keys() - set(map(_key, after))
    _summarize(len(after) - changes.count(None), changes.count(None), len(left), dry_run=dry_run)


@metrics.command("propose")
@project_options
@click.option("--run", help=f"Only from the scores of this run: {MEANT}")
@click.option("--json", "as_json", is_flag=True, help="Print what the API returns.")
def metrics_propose(client: Client, run: str | None, *, as_json: bool) -> None:
    """Print a file with the leaves that are not declared, to edit and apply.

    Example: scoreline metrics propose --project acme/demo > scoreline.toml
    """
    found = client.metric_report("proposal", run, "num_metrics", "num_declared")
    if as_json:
        write_json(found)
        return
    shown = found["metrics"]
    if not shown:
        why = "all its leaves are declared" if found["num_declared"] else "it has no such scores"
        fail(f"nothing to propose in {client.project}: {why}", 1)
    write(proposal_text(client.project, shown).encode())
    if found["num_metrics"] > len(shown):
        note(f"only the first {len(shown)} of {found['num_metrics']} leaves are proposed")


@metrics.command("check")
@project_options
@click.option("--run", help=f"Only the scores of this run: {MEANT}")
@click.option("--json", "as_json", is_flag=True, help="Print what the API returns.")
def metrics_check(client: Client, run: str | None, *, as_json: bool) -> None:
    """Count the current values that are against the schemas of their metrics.

    Example: scoreline metrics check --project acme/demo
    """
    found = client.metric_report("against_schema", run)
    if as_json:
        write_json(found)
        return
    if not found["metrics"]:
        note(f"no schemas are declared in {client.project}")
    table(CHECKED, [[str(each[name]) for name in CHECKED] for each in found["metrics"]])
    for metric in found["metrics"]:
        for each in metric["examples"]:
            note(f"{_name(metric)}: score {each['score_id']}: {each['fault']}")


def _summarize(changed: int, same: int, left: int, *, dry_run: bool) -> None:
    verb = "would change" if dry_run else "changed"
    rest = f"; {counted(left, 'other')} not in the file" if left else ""
    note(f"{verb} {counted(changed, 'metric')}, {same} are as declared{rest}")


def _read_schema(path: Path) -> Any:
    try:
        return json.loads(sys.stdin.read() if str(path) == "-" else path.read_text("utf-8-sig"))
    except ValueError as error:
        fail(f"{path} is not JSON: {error}", 2)


def _in_file(path: Path, tables: Sequence[Metric], errors: Sequence[Any]) -> str:
    """Return the service's errors, with the places in the file that they are about."""
    return "; ".join(f"{path}: {_error_in_file(tables, each)}" for each in errors)


def _error_in_file(tables: Sequence[Metric], error: Any) -> str:
    match error:
        case {"loc": ["body", "metrics", int(position), *rest]} if position < len(tables):
            where = place("metric", position, tables[position])
            return f"{where}: {error_text([{**error, 'loc': rest}])}"
    return error_text([error])


def _key(metric: Metric) -> tuple[str, str]:
    return metric["scorer"], metric["leaf"]


def _declared(metric: Metric) -> Metric:
    return {name: metric[name] for name in ("scorer", "leaf", *DEFAULTS)}


def _name(metric: Metric) -> str:
    return f"{metric['scorer']} {metric['leaf']}".rstrip()


def _change(before: Metric | None, after: Metric) -> str | None:
    """Return a line that says what has changed of a metric, or None if nothing has."""
    old: Mapping[str, Any] = before or DEFAULTS
    changed = [name for name in DEFAULTS if old[name] != after[name]]
    if before and not changed:
        return None
    new = {name: f"{name} {_text(after[name])}" for name in changed}
    if before:
        new = {name: f"{name} {_text(old[name])} -> {_text(after[name])}" for name in changed}
    return f"{'~' if before else '+'} {_name(after)}: {', '.join(new.values()) or 'declared'}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell(metric: Metric, name: str) -> str:
    if name == "schema":
        return "-" if metric["schema"] is None else str(metric["schema_mode"])
    if name == "primary":
        return "yes" if metric["primary"] else "-"
    return cell_text(metric[name])


def _write_lines(found: Sequence[Metric]) -> None:
    for each in found:
        write_json(each)
