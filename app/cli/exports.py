"""`scoreline export`: the scores of a running service as a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from app.cli.client import Client
from app.cli.output import fail
from app.cli.project import filtered, of_a_project
from app.schemas.transfers import FORMATS


@click.command()
@of_a_project
@filtered
@click.option(
    "--format", "to_write", type=click.Choice(FORMATS), default="jsonl", show_default=True
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    help="A leaf that has a column, by its path, repeated; all by default. For csv and parquet.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; standard output by default.",
)
def export(
    client: Client,
    to_write: str,
    columns: tuple[str, ...],
    out: Path | None,
    **filters: str | int | None,
) -> None:
    """Export scores, oldest first.

    They come as FILE.part, which gets its name when it is whole: an export that breaks off leaves
    nothing under FILE, and what was there before.
    """
    if out is None and to_write == "parquet" and sys.stdout.isatty():
        fail("parquet is not for a terminal: --out FILE", 2)
    wanted = [("format", to_write), *[("columns", column) for column in columns]]
    wanted += [(name, str(value)) for name, value in filters.items() if value is not None]
    pieces = client.export(wanted)
    first = next(pieces, b"")  # What is refused is said before a file is made.
    with _written(out) as file:
        file.write(first)
        with _counted(pieces, len(first)) as counted:
            for piece in counted:
                file.write(piece)


@contextmanager
def _written(out: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears when the block has ended well."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(out)
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}", 2)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _counted(pieces: Iterator[bytes], size: int) -> Iterator[Iterator[bytes]]:
    """The pieces, and on a terminal how much has come; how much will come nobody knows."""
    if not sys.stderr.isatty():
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
