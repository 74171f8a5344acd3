"""`scoreline import`: exports of Scoreline and of other services, into a running service."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from app.cli.client import Client, ServiceError, describe
from app.cli.output import bar, fail
from app.cli.project import of_a_project
from app.cli.resume import BATCH_BYTES, Journal, Progress
from app.cli.sources import SOURCES
from app.cli.sources.rows import NotRows, Row, is_lines, read_rows
from app.cli.sources.scores import Origin, Unmappable
from app.schemas.datetimes import InvalidDatetime, parse_datetime

OWN = "scoreline"

Line = tuple[str, bytes]
"""Where a score comes from in the file, and the line that is sent."""


@click.command("import")
@of_a_project
@click.option(
    "--file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON lines; of another service also .json and .csv.",
)
@click.option(
    "--from",
    "source",
    type=click.Choice([OWN, *SOURCES]),
    default=OWN,
    show_default=True,
    help="Whose export it is.",
)
@click.option("--created-at", help="When those were made that do not say so themselves.")
@click.option("--run", help="The evaluation run of those that name none.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 10_000),
    default=1_000,
    show_default=True,
    help="Rows that are sent at once.",
)
def import_(
    client: Client,
    file: Path,
    source: str,
    created_at: str | None,
    run: str | None,
    batch_size: int,
) -> None:
    """Import the scores of an export, and say of each row that is refused why.

    Scores keep their times, and those of Scoreline their ids; others get ids that are made of
    their own. Importing a file again stores nothing twice. FILE.progress, beside a file of JSON
    lines, holds how far an interrupted command came. docs/exports.md says what becomes of what.
    """
    origin = Origin(source, _project(client), _checked(created_at), run)
    if source == OWN and not is_lines(file):
        fail(f"{file} is no export as jsonl, the format that can be imported", 2)
    target = f"{client.scores_url}/import?from={source}"
    journal = Journal(file, target) if is_lines(file) else None
    progress = journal.progress if journal else Progress(target)
    if progress.lines:
        click.echo(f"going on after line {progress.lines}", err=True)
    try:
        with file.open("rb") as opened, bar(file.stat().st_size, "importing") as advance:
            opened.seek(progress.offset)
            advance(progress.offset)
            rows = read_rows(opened, file, progress.lines)
            while batch := _next_rows(rows, batch_size):
                refused = _import(client, batch, origin, progress)
                if journal:
                    journal.done([row.line for row in batch], refused)
                else:
                    progress.refused += refused
                advance(sum(row.size for row in batch))
    except NotRows as error:
        fail(f"{file}: {error}", 2)
    if journal:
        journal.finish()
    click.echo(
        f"stored {progress.created}, there already {progress.present}, refused {progress.refused}",
        err=True,
    )
    if progress.refused:
        sys.exit(1)


def _project(client: Client) -> str:
    return "/".join(client.scores_url.split("/")[-3:-1])


def _checked(created_at: str | None) -> str | None:
    try:
        if created_at is not None:
            parse_datetime(created_at)
    except InvalidDatetime as error:
        fail(f"--created-at: {error}", 2)
    return created_at


def _next_rows(rows: Iterator[Row], most: int) -> list[Row]:
    """Rows as they come, at most so many and of about BATCH_BYTES."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += row.size
        if len(batch) == most or size >= BATCH_BYTES:
            break
    return batch


def _import(client: Client, batch: list[Row], origin: Origin, progress: Progress) -> int:
    """Send the scores of rows; say what is refused, and how many are."""
    refused = 0
    lines: list[Line] = []
    for row in batch:
        try:
            lines.extend((row.place, line) for line in _lines(row, origin))
        except Unmappable as error:
            refused += 1
            click.echo(f"{row.place}: {error}", err=True)
    return refused + sum(
        _send(client, lines[start : start + 10_000], progress)
        for start in range(0, len(lines), 10_000)
    )


def _lines(row: Row, origin: Origin) -> list[bytes]:
    """The lines of an import that a row stands for. Raises Unmappable."""
    if origin.source == OWN:
        line = row.line.strip()
        return [line] if line else []
    if row.is_blank:
        return []
    scores = SOURCES[origin.source](row, origin)
    return [json.dumps(score).encode() for score in scores]


def _send(client: Client, lines: list[Line], progress: Progress) -> int:
    """Send lines, in parts where they are too large together; how many are refused."""
    if not lines:
        return 0
    try:
        answer = client.import_lines([line for _, line in lines])
    except ServiceError as error:
        if error.status != 413:
            raise
        if len(lines) == 1:
            click.echo(f"{lines[0][0]}: {error}", err=True)
            return 1
        middle = len(lines) // 2
        first, second = lines[:middle], lines[middle:]
        return _send(client, first, progress) + _send(client, second, progress)
    progress.created += answer["num_created"]
    progress.present += answer["num_present"]
    for (place, _), result in zip(lines, answer["results"], strict=True):
        if "detail" in result:
            errors = [{**each, "loc": each["loc"][2:]} for each in result["detail"]]
            click.echo(f"{place}: {describe(errors)}", err=True)
    return int(answer["num_failed"])
