"""`scoreline import`: send the exports of Scoreline and of other services to a running service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from app.cli.base import Command, bar, fail, interruptible, note
from app.cli.client import Client
from app.cli.files import BATCH_BYTES, InputFile, Line
from app.cli.project import project_options
from app.cli.rows import NotRows, Origin, Row, Unmappable, is_lines, read_rows
from app.cli.scores import FIELDS
from app.cli.sending import Journal, Outgoing, Progress, reject, report, send
from app.cli.sources import SOURCES
from app.datetimes import InvalidDatetime, parse_datetime

OWN = "scoreline"
OWN_FIELDS = FIELDS | {"score_id", "created_at", "wb_user_id"}
"""The fields of a line in Scoreline's own export."""

MAX_LINES_PER_REQUEST = 10_000
"""The most scores in one request; one row of another service may hold many scores."""


@click.command("import", cls=Command)
@project_options
@click.option(
    "--file",
    required=True,
    help="A file of JSON lines. For other services also a JSON document (.json) or CSV (.csv), "
    "by extension. `-` reads JSON lines from standard input.",
)
@click.option(
    "--from",
    "source",
    type=click.Choice([OWN, *SOURCES]),
    default=OWN,
    show_default=True,
    help="The service that wrote the export.",
)
@click.option("--created-at", help="The creation time of scores that have none.")
@click.option("--run", help="The evaluation run of scores that have none.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 10_000),
    default=1_000,
    show_default=True,
    help="How many rows to send in one request.",
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
    """Import the scores of an export, and report why each rejected row was rejected.

    Scores keep their creation times. Scores exported by Scoreline keep their ids; others get an id
    derived from their own. Importing a file again stores nothing twice. FILE.progress, next to a
    file of JSON lines, records how much of it was sent, so that an interrupted import can resume.
    docs/exports.md lists what is imported.

    Example: scoreline import --project acme/demo --file langfuse.csv --from langfuse
    """
    opened = InputFile(file)
    if source == OWN and opened.path.name.lower().endswith((".csv", ".parquet")):
        fail(f"{file} is not JSON lines, the only format of Scoreline's that can be imported", 2)
    if source == OWN or is_lines(opened.path.name):
        opened.reject_other_json()
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
    """The import of one file: sends its rows and counts the results."""

    def __init__(self, client: Client, origin: Origin) -> None:
        self._client = client
        self._origin = origin
        self.progress = Progress("")
        self.ignored: set[str] = set()

    def send_file(self, file: InputFile, batch_size: int) -> None:
        """Send a file, starting where an interrupted command stopped."""
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
        lines: list[Outgoing] = []
        for row in batch:
            if row.line and row.line.error is not None:
                reject(f"{row.position}, {row.line.error}", self.progress)
                continue
            try:
                lines.extend((row.position, line) for line in self._lines(row))
            except Unmappable as error:
                reject(f"{row.position}: {error}", self.progress)
        for start in range(0, len(lines), MAX_LINES_PER_REQUEST):
            part = lines[start : start + MAX_LINES_PER_REQUEST]
            send(self._client.import_lines, _num_present, part, self.progress)

    def _lines(self, row: Row) -> list[bytes]:
        """Return the lines to import for a row. Raises Unmappable."""
        if row.is_blank:
            return []
        if row.line and self._origin.source == OWN:
            self._note_ignored(row.line)
            return [row.line.text]
        scores = SOURCES[self._origin.source](row, self._origin)
        return [json.dumps(score).encode() for score in scores]

    def _note_ignored(self, line: Line) -> None:
        if self._origin.source == OWN and isinstance(line.content, dict):
            self.ignored |= line.content.keys() - OWN_FIELDS


def _next_rows(rows: Iterator[Row], most: int) -> list[Row]:
    """Return at most `most` rows, of about BATCH_BYTES together."""
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
