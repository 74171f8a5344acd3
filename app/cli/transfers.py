"""`scoreline export` and `scoreline import`: download scores to a file, and send files back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import click

from app.cli.base import Command, bar, fail, interruptible, note, write
from app.cli.client import Client
from app.cli.files import BATCH_BYTES, FIRST_LINES, InputFile, Line, is_foreign
from app.cli.project import filter_options, project_options, why_no_scores
from app.cli.rows import Missing, NotRows, Origin, Row, Unmappable, is_lines, read_rows
from app.cli.scores import SCORES
from app.cli.sending import Journal, Outgoing, Progress, reject, report, send
from app.cli.sources import SOURCES
from app.datetimes import InvalidDatetime, parse_datetime
from app.parts import in_parts

FORMATS = ("jsonl", "csv", "parquet")
OTHER_FORMATS = ("json", "tsv", "xls", "xlsx", "gz", "zip")


@click.command(cls=Command)
@project_options
@filter_options
@click.option(
    "--format",
    "given",
    type=click.Choice(FORMATS),
    help="The format to write. Default: the extension of --out (.jsonl, .csv, .parquet), else "
    "jsonl.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    help="The path of a leaf to write as a column; may be repeated. Default: all leaves. For csv "
    "and parquet.",
)
@click.option(
    "--repeats",
    type=click.Choice(["current", "all"]),
    help="Whether csv and parquet have superseded scores too; they do not by default.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Export evaluation runs, predictions and scores, as JSON lines. Takes no filters.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The file to write. Default: standard output."
)
def export(
    client: Client,
    given: str | None,
    columns: tuple[str, ...],
    out: Path | None,
    *,
    everything: bool,
    **filters: str | int | None,
) -> None:
    """Export scores, oldest first, or with --all everything in a project.

    Scores are written to FILE.part, which is renamed when it is complete: an export that breaks
    off leaves FILE unchanged. The exit code is 1 if there is nothing to export.

    Example: scoreline export --project acme/demo --out scores.csv
    """
    to_write = given or _format_of(out)
    if out is None and to_write == "parquet" and sys.stdout and sys.stdout.isatty():
        fail("Parquet cannot be shown on a terminal; write it to a file with --out FILE", 2)
    query = [("columns", column) for column in columns]
    query += [(name, str(value)) for name, value in filters.items() if value is not None]
    if everything and (query or to_write != "jsonl"):
        fail("--all exports JSON lines of everything: it takes no filters, columns or formats", 2)
    if everything:
        chunks = client.export_project()
    else:
        run = filters["evaluation_run_id"]
        if why := why_no_scores(client, str(run) if run else None):
            fail(why, 1)
        chunks = client.export_scores([("format", to_write), *query])
    with interruptible(f"{out or 'the output'} is incomplete; run the same command to start over"):
        first = next(chunks, b"")  # Raise a refusal before any file is created.
        if everything and not first:
            fail(f"nothing in {client.project}", 1)
        with _open_output(out) as write_chunk:
            write_chunk(first)
            with _with_progress(chunks, len(first)) as counted:
                for chunk in counted:
                    write_chunk(chunk)


def _format_of(out: Path | None) -> str:
    suffix = out.suffix.lower().removeprefix(".") if out else "jsonl"
    if suffix in OTHER_FORMATS:
        fail(
            f"{out}: an export is not {suffix}: name it .jsonl, .csv or .parquet, or use --format",
            2,
        )
    return suffix if suffix in FORMATS else "jsonl"


@contextmanager
def _open_output(out: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that writes to stdout, or to a file that appears only on success."""
    if out is None:
        yield write
        return
    if out.exists() and not out.is_file():  # A device or a pipe, such as /dev/stdout.
        with _write_errors(out), out.open("wb") as file:
            yield file.write
        return
    part = out.with_name(f"{out.name}.part")
    try:
        with _write_errors(out):
            with part.open("wb") as file:
                yield file.write
            part.replace(out)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _write_errors(out: Path) -> Iterator[None]:
    """Fail with one line when the file cannot be written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}", 2)


@contextmanager
def _with_progress(chunks: Iterator[bytes], received: int) -> Iterator[Iterator[bytes]]:
    """Yield the chunks, and show on a terminal how much has arrived; the total is unknown."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield chunks
        return

    def show(chunk: bytes | None) -> str:
        nonlocal received
        received += len(chunk or b"")
        return f"{received / 1_000_000:,.1f} MB"

    with click.progressbar(
        chunks, label="exporting", file=sys.stderr, item_show_func=show
    ) as shown:
        yield iter(shown)


OWN = "scoreline"
OWN_FIELDS = SCORES.fields | {"score_id", "created_at", "wb_user_id"}
"""The fields of a line in Scoreline's own export of scores."""

DOCUMENT_FIELDS = {"kind", "created_at", "sort_id", "wb_user_id", "started_at", "finished_at"}
FIELDS_BY_KIND = {
    "evaluation_run": {
        *DOCUMENT_FIELDS,
        *("evaluation_run_id", "evaluation", "model", "source_evaluation_run_id", "status"),
        *("summary", "name", "description", "dataset", "attributes", "expected", "archived_at"),
    },
    "prediction": {
        *DOCUMENT_FIELDS,
        *("prediction_id", "evaluation_run_id", "predict_and_score_call_id", "model", "inputs"),
        *("output", "example_id", "trial", "error", "ended_at", "usage", "metadata"),
    },
    "score": {*OWN_FIELDS, "kind"},
}
"""The fields of a line in the export of a project."""

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
    """Import an export, and report why each rejected row was rejected.

    A file of `scoreline export --all` also brings evaluation runs and predictions. Scores keep
    their creation times. Scores exported by Scoreline keep their ids; others get an id
    derived from their own. Importing a file again stores nothing twice. FILE.progress, next to a
    file of JSON lines, records how much of it was sent, so that an interrupted import can resume.
    docs/exports.md lists what is imported.

    Example: scoreline import --project acme/demo --file langfuse.csv --from langfuse
    """
    opened = InputFile(file)
    if source == OWN and opened.path.name.lower().endswith((".csv", ".parquet")):
        fail(f"{file} is not JSON lines, the only format of Scoreline's that can be imported", 2)
    if source == OWN:
        opened.reject_other_lines("score_id", "kind")
    elif is_lines(opened.path.name):
        opened.reject_other_lines()
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
                first = next(in_parts(rows, FIRST_LINES, lambda row: row.size, BATCH_BYTES), [])
                self._reject_foreign(file.name, first)
                rows = chain(first, rows)
                for batch in in_parts(rows, batch_size, lambda row: row.size, BATCH_BYTES):
                    self._send_rows(batch)
                    journal.sent([row.line.raw for row in batch if row.line])
                    advance(sum(row.size for row in batch))
            except NotRows as error:
                fail(f"{file.name} is {error}", 2)
            journal.finish()

    def _reject_foreign(self, name: str, first: Sequence[Row]) -> None:
        """Exit if nearly all of the first rows cannot be from an export of another service."""
        if self._origin.source == OWN or self.progress.lines:
            return
        read = [row for row in first if not row.is_blank]
        wrong = [(row.position, why) for row in read if (why := self._missing(row))]
        if is_foreign(len(wrong), len(read)):
            position, why = wrong[0]
            fail(f"{name} is not an export of {self._origin.source}: {position}: {why}", 2)

    def _missing(self, row: Row) -> str | None:
        """Return what the row lacks that every row of this kind of export has, or None."""
        try:
            self._lines(row)
        except Missing as error:
            return str(error)
        except Unmappable:
            pass
        return None

    def _send_rows(self, batch: list[Row]) -> None:
        of_scores: list[Outgoing] = []
        of_projects: list[Outgoing] = []
        for row in batch:
            if row.line and row.line.error is not None:
                reject(f"{row.position}, {row.line.error}", self.progress)
                continue
            lines = of_projects if self._has_kind(row) else of_scores
            try:
                lines.extend((row.position, line) for line in self._lines(row))
            except Unmappable as error:
                reject(f"{row.position}: {error}", self.progress)
        for call, lines in (
            (self._client.import_project, of_projects),
            (self._client.import_scores, of_scores),
        ):
            for start in range(0, len(lines), MAX_LINES_PER_REQUEST):
                part = lines[start : start + MAX_LINES_PER_REQUEST]
                send(call, "num_present", part, self.progress)

    def _has_kind(self, row: Row) -> bool:
        """Return whether a row is a line of the export of a project, and not of scores."""
        is_object = isinstance(row.content, dict)
        return self._origin.source == OWN and is_object and "kind" in row.content

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
        if self._origin.source != OWN or not isinstance(line.content, dict):
            return
        kind = line.content.get("kind", "score")
        if isinstance(kind, str) and kind in FIELDS_BY_KIND:
            self.ignored |= line.content.keys() - FIELDS_BY_KIND[kind]
