"""`scoreline import`: exports of Scoreline and of other services, into a running service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from app.cli.base import Command, interruptible
from app.cli.client import Client
from app.cli.files import BATCH_BYTES, InputFile, Journal, Progress
from app.cli.files import Line as FileLine
from app.cli.output import bar, fail, note
from app.cli.project import of_a_project
from app.cli.scores import FIELDS
from app.cli.sending import Line, refuse, report, send
from app.cli.sources import SOURCES
from app.cli.sources.rows import NotRows, Row, is_lines, read_rows
from app.cli.sources.scores import Origin, Unmappable
from app.datetimes import InvalidDatetime, parse_datetime

OWN = "scoreline"
OWN_FIELDS = FIELDS | {"score_id", "created_at", "wb_user_id"}
"""The fields of a line of Scoreline's export."""

LINES_AT_ONCE = 10_000
"""The scores of one call: a row of another service may be many."""


@click.command("import", cls=Command)
@of_a_project
@click.option(
    "--file",
    required=True,
    help="JSON lines; of another service also one JSON text (.json) or CSV (.csv), by the name. "
    "`-` is standard input, with JSON lines.",
)
@click.option(
    "--from",
    "source",
    type=click.Choice([OWN, *SOURCES]),
    default=OWN,
    show_default=True,
    help="Whose export it is.",
)
@click.option("--created-at", help="The time of scores that do not name one.")
@click.option("--run", help="The evaluation run of scores that name none.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 10_000),
    default=1_000,
    show_default=True,
    help="Rows that are sent at once.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON document.")
def import_(
    client: Client,
    file: str,
    source: str,
    created_at: str | None,
    run: str | None,
    batch_size: int,
    *,
    as_json: bool,
) -> None:
    """Import the scores of an export, and say of each row that is refused why.

    Scores keep their times, and those of Scoreline their ids; others get ids that are made of
    their own. Importing a file again stores nothing twice. FILE.progress, beside a file of JSON
    lines, holds how far an interrupted command came. docs/exports.md lists what is imported.

    Example: scoreline import --project acme/demo --file langfuse.csv --from langfuse
    """
    opened = InputFile(file)
    if source == OWN and opened.path.name.lower().endswith((".csv", ".parquet")):
        fail(f"{file} is not JSON lines, the format of an export that can be imported", 2)
    if source == OWN or is_lines(opened.path.name):
        opened.refuse_other_json()
    importing = _Importing(client, Origin(source, client.project, _checked(created_at), run))
    importing.send_file(opened, batch_size)
    if not opened.head:
        note(f"{opened.name} is empty")
    report(importing.progress, importing.ignored, as_json=as_json)


def _checked(created_at: str | None) -> str | None:
    try:
        if created_at is not None:
            parse_datetime(created_at)
    except InvalidDatetime as error:
        fail(f"--created-at: {error}", 2)
    return created_at


class _Importing:
    """Sends the rows of one file, and counts what becomes of them."""

    def __init__(self, client: Client, origin: Origin) -> None:
        self._client = client
        self._origin = origin
        self.progress = Progress("")
        self.ignored: set[str] = set()

    def send_file(self, file: InputFile, batch_size: int) -> None:
        """Send a file, from where an earlier command was interrupted."""
        target = f"{self._client.scores_url}/import?from={self._origin.source}"
        as_lines = self._origin.source == OWN or is_lines(file.path.name)
        journal = Journal(file, target, self._note_ignored, is_kept=as_lines)
        self.progress = journal.progress
        again = interruptible(journal.after_interruption)
        with again, file, bar(file.size, "importing") as advance:
            advance(self.progress.offset)
            rows = read_rows(file, self.progress.lines, as_lines=as_lines)
            try:
                while batch := _next_rows(rows, batch_size):
                    self._send_rows(batch)
                    journal.sent([row.line.raw for row in batch if row.line])
                    advance(sum(row.size for row in batch))
            except NotRows as error:
                fail(f"{file.name} is {error}", 2)
            journal.finish()

    def _send_rows(self, batch: list[Row]) -> None:
        lines: list[Line] = []
        for row in batch:
            if row.line and row.line.error is not None:
                refuse(f"{row.place}, {row.line.error}", self.progress)
                continue
            try:
                lines.extend((row.place, line) for line in self._lines(row))
            except Unmappable as error:
                refuse(f"{row.place}: {error}", self.progress)
        for start in range(0, len(lines), LINES_AT_ONCE):
            some = lines[start : start + LINES_AT_ONCE]
            send(self._client.import_lines, _num_present, some, self.progress)

    def _lines(self, row: Row) -> list[bytes]:
        """Return the lines of an import that a row stands for. Raises Unmappable."""
        if row.is_blank:
            return []
        if row.line and self._origin.source == OWN:
            self._note_ignored(row.line)
            return [row.line.text]
        scores = SOURCES[self._origin.source](row, self._origin)
        return [json.dumps(score).encode() for score in scores]

    def _note_ignored(self, line: FileLine) -> None:
        if self._origin.source == OWN and isinstance(line.content, dict):
            self.ignored |= line.content.keys() - OWN_FIELDS


def _next_rows(rows: Iterator[Row], most: int) -> list[Row]:
    """Return the next rows, at most so many and of about BATCH_BYTES."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += row.size
        if len(batch) == most or size >= BATCH_BYTES:
            break
    return batch


def _num_present(answer: dict[str, Any]) -> int:
    return int(answer["num_present"])
