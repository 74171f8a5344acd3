"""`scoreline scores`: list, get, delete and add scores of a running service."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from app.cli.client import IDS_A_CALL, Client, ServiceError, describe
from app.cli.output import bar, table
from app.cli.project import filtered, of_a_project
from app.cli.resume import Journal, next_lines

ROWS = 100
"""How many scores a table shows when no limit is given; `--json` writes all."""

COLUMNS = ("score_id", "created_at", "scorer", "prediction_id", "evaluation_run_id", "value")


@click.group()
def scores() -> None:
    """List, get, delete and add scores of a running service.

    The API key is taken from SCORELINE_KEY, else from the key file; never from the command line.
    """


@scores.command("list")
@of_a_project
@filtered
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line, as the API sends it."
)
def scores_list(client: Client, limit: int | None, *, as_json: bool, **filters: str | None) -> None:
    """List scores, oldest first: a table of the first 100, or with --json all."""
    given = {name: value for name, value in filters.items() if value is not None}
    if as_json:
        for line in client.lines(given, limit):
            sys.stdout.buffer.write(line + b"\n")
        return
    shown = ROWS if limit is None else limit
    lines = list(client.lines(given, shown if limit is not None else ROWS + 1))
    table(COLUMNS, [_row(json.loads(line)) for line in lines[:shown]])
    if len(lines) > shown:
        click.echo(f"the first {shown}; more with --limit, all with --json", err=True)


@scores.command("get")
@of_a_project
@click.option("--json", "as_json", is_flag=True, help="JSON, as the API sends it.")
@click.argument("score_id")
def scores_get(client: Client, score_id: str, *, as_json: bool) -> None:
    """Show one score."""
    text = client.read(score_id)
    if as_json:
        sys.stdout.buffer.write(text + b"\n")
        return
    for name, value in json.loads(text).items():
        click.echo(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")


@scores.command("delete")
@of_a_project
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("score_ids", nargs=-1, required=True)
def scores_delete(client: Client, score_ids: tuple[str, ...], *, yes: bool) -> None:
    """Delete scores by their ids, or by those on standard input when the only one is `-`."""
    wanted = sys.stdin.read().split() if score_ids == ("-",) else list(score_ids)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Delete {len(wanted)} scores for good?", abort=True)
    deleted = 0
    with bar(len(wanted), "deleting") as advance:
        for start in range(0, len(wanted), IDS_A_CALL):
            some = wanted[start : start + IDS_A_CALL]
            deleted += client.delete(some)
            advance(len(some))
    click.echo(f"deleted {deleted} of {len(wanted)}", err=True)
    if deleted < len(set(wanted)):
        sys.exit(1)


@scores.command("add")
@of_a_project
@click.option(
    "--file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON lines, each with prediction_id, scorer, value and perhaps evaluation_run_id.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, 10_000),
    default=1_000,
    show_default=True,
    help="Lines that are sent at once.",
)
def scores_add(client: Client, file: Path, batch_size: int) -> None:
    """Add the scores of a file, and say of each line that is refused why.

    Each line goes with an idempotency key made of its number and content: adding the file again,
    after an interruption or a correction, stores no line twice. FILE.progress, beside the file,
    holds how far an interrupted command came.
    """
    journal = Journal(file, client.scores_url)
    progress = journal.progress
    if progress.lines:
        click.echo(f"going on after line {progress.lines}", err=True)
    with file.open("rb") as opened, bar(file.stat().st_size, "adding") as advance:
        opened.seek(progress.offset)
        advance(progress.offset)
        while lines := next_lines(opened, batch_size):
            refused = _send(client, lines, progress.lines + 1)
            journal.done(lines, refused)
            advance(sum(map(len, lines)))
    journal.finish()
    kept = progress.lines - progress.blank - progress.refused
    click.echo(f"stored {kept}, refused {progress.refused}", err=True)
    if progress.refused:
        sys.exit(1)


def _send(client: Client, lines: Sequence[bytes], number: int) -> int:
    """Send lines of which the first has this number; say what is refused, and how many are."""
    numbered = [
        (number + position, _keyed(line.strip(), number + position))
        for position, line in enumerate(lines)
        if line.strip()
    ]
    return _send_numbered(client, numbered)


def _send_numbered(client: Client, numbered: Sequence[tuple[int, bytes]]) -> int:
    if not numbered:
        return 0
    try:
        results = client.add([line for _, line in numbered])
    except ServiceError as error:
        if error.status != 413:
            raise
        if len(numbered) == 1:
            click.echo(f"line {numbered[0][0]}: {error}", err=True)
            return 1
        middle = len(numbered) // 2
        return _send_numbered(client, numbered[:middle]) + _send_numbered(client, numbered[middle:])
    refused = 0
    for (number, _), result in zip(numbered, results, strict=True):
        if "detail" in result:
            refused += 1
            errors = [{**each, "loc": each["loc"][2:]} for each in result["detail"]]
            click.echo(f"line {number}: {describe(errors)}", err=True)
    return refused


def _keyed(line: bytes, number: int) -> bytes:
    """The line with an idempotency key of its place and content; one of its own goes before it."""
    digest = hashlib.sha256(b"%d\n%s" % (number, line)).hexdigest()
    if not line.startswith(b"{"):
        return line  # No object: the service says so.
    comma = b"" if line[1:].lstrip().startswith(b"}") else b","
    return b'{"idempotency_key":"add-%s"%s%s' % (digest[:40].encode(), comma, line[1:])


def _row(score: dict[str, Any]) -> list[str]:
    texts = {**score, "value": json.dumps(score["value"], ensure_ascii=False)}
    return [texts[name] or "-" for name in COLUMNS]
