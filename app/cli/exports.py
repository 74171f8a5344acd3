"""`scoreline export`: the scores of a running service as a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from app.cli.base import Command, interruptible
from app.cli.client import Client
from app.cli.output import fail, write
from app.cli.project import filtered, of_a_project, why_nothing

FORMATS = ("jsonl", "csv", "parquet")


@click.command(cls=Command)
@of_a_project
@filtered
@click.option(
    "--format",
    "given",
    type=click.Choice(FORMATS),
    help="What to write; by default what the name of --out ends in (.jsonl, .csv, .parquet), else "
    "jsonl.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    help="A leaf that has a column, by its path, repeated; all by default. For csv and parquet.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The file; standard output by default."
)
def export(
    client: Client,
    given: str | None,
    columns: tuple[str, ...],
    out: Path | None,
    **filters: str | int | None,
) -> None:
    """Export scores, oldest first.

    They are written to FILE.part, which gets its name when it is whole: an export that breaks off
    leaves FILE as it was. A project or run without scores is exit code 1.

    Example: scoreline export --project acme/demo --out scores.csv
    """
    to_write = given or _format_of(out)
    if out is None and to_write == "parquet" and sys.stdout and sys.stdout.isatty():
        fail("Parquet is not for a terminal: write it to a file with --out FILE", 2)
    run = filters["evaluation_run_id"]
    if why := why_nothing(client, str(run) if run else None):
        fail(why, 1)
    wanted = [("format", to_write), *[("columns", column) for column in columns]]
    wanted += [(name, str(value)) for name, value in filters.items() if value is not None]
    with interruptible(f"{out or 'the output'} is not whole; the same command starts again"):
        pieces = client.export(wanted)
        first = next(pieces, b"")  # What is refused is said before a file is made.
        with _written(out) as save:
            save(first)
            with _counted(pieces, len(first)) as counted:
                for piece in counted:
                    save(piece)


def _format_of(out: Path | None) -> str:
    suffix = out.suffix.lower().removeprefix(".") if out else "jsonl"
    if suffix == "json":
        fail(f"{out}: no export is one JSON text; name it .jsonl, or give --format", 2)
    return suffix if suffix in FORMATS else "jsonl"


@contextmanager
def _written(out: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Yield what writes to stdout, or to a file that appears when the block has ended well."""
    if out is None:
        yield write
        return
    if out.exists() and not out.is_file():  # A device or a pipe, such as /dev/stdout.
        with _telling(out), out.open("wb") as file:
            yield file.write
        return
    part = out.with_name(f"{out.name}.part")
    try:
        with _telling(out):
            with part.open("wb") as file:
                yield file.write
            part.replace(out)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _telling(out: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}", 2)


@contextmanager
def _counted(pieces: Iterator[bytes], size: int) -> Iterator[Iterator[bytes]]:
    """Yield the pieces, and show on a terminal how much has come: the whole is not known."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield pieces
        return
    sizes = [size]

    def come(piece: bytes | None) -> str:
        sizes[0] += len(piece or b"")
        return f"{sizes[0] / 1_000_000:,.1f} MB"

    with click.progressbar(
        pieces, label="exporting", file=sys.stderr, item_show_func=come
    ) as shown:
        yield iter(shown)
