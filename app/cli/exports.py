"""`scoreline export`: write the scores of a running service to a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from app.cli.base import Command, fail, interruptible, write
from app.cli.client import Client
from app.cli.project import filter_options, project_options, why_no_scores

FORMATS = ("jsonl", "csv", "parquet")


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
    "--out", type=click.Path(path_type=Path), help="The file to write. Default: standard output."
)
def export(
    client: Client,
    given: str | None,
    columns: tuple[str, ...],
    out: Path | None,
    **filters: str | int | None,
) -> None:
    """Export scores, oldest first.

    Scores are written to FILE.part, which is renamed when it is complete: an export that breaks
    off leaves FILE unchanged. The exit code is 1 if the project or run has no scores.

    Example: scoreline export --project acme/demo --out scores.csv
    """
    to_write = given or _format_of(out)
    if out is None and to_write == "parquet" and sys.stdout and sys.stdout.isatty():
        fail("Parquet cannot be shown on a terminal; write it to a file with --out FILE", 2)
    run = filters["evaluation_run_id"]
    if why := why_no_scores(client, str(run) if run else None):
        fail(why, 1)
    query = [("format", to_write), *[("columns", column) for column in columns]]
    query += [(name, str(value)) for name, value in filters.items() if value is not None]
    with interruptible(f"{out or 'the output'} is incomplete; run the same command to start over"):
        chunks = client.export(query)
        first = next(chunks, b"")  # Raise a refusal before any file is created.
        with _open_output(out) as write_chunk:
            write_chunk(first)
            with _with_progress(chunks, len(first)) as counted:
                for chunk in counted:
                    write_chunk(chunk)


def _format_of(out: Path | None) -> str:
    suffix = out.suffix.lower().removeprefix(".") if out else "jsonl"
    if suffix == "json":
        fail(
            f"{out}: an export is JSON lines, not one JSON text; name it .jsonl or use --format", 2
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
