"""What commands print: tables for people, and one line on stderr for what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import click

MOST_CHARACTERS = 48
"""The widest cell of a table; `--json` shows all."""


def fail(message: str, exit_code: int) -> NoReturn:
    """End the command with one line on stderr."""
    click.echo(f"scoreline: {message}", err=True)
    sys.exit(exit_code)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns under their header; no row at all prints nothing."""
    cells = [[_printable(cell) for cell in row] for row in rows]
    if not cells:
        return
    cells.insert(0, list(header))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


@contextmanager
def progress(label: str, length: int | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """Show how far a long command is, on stderr: a bar on a terminal, else a line each tenth.

    What it yields is told how much is done, and of how much where that was not known before.
    """
    with click.progressbar(length=length or 1, label=label, file=sys.stderr) as bar:
        said = 0

        def advance(done: int, of: int | None) -> None:
            nonlocal said
            bar.length = of or length or 1
            if sys.stderr.isatty():
                bar.update(done - bar.pos)
            elif done * 10 // bar.length > said:
                said = done * 10 // bar.length
                click.echo(f"{label}: {done} of {bar.length}", err=True)

        yield advance


@contextmanager
def bar(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr where that is a terminal; what it yields moves it on."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as shown:
        yield shown.update


def _printable(text: str) -> str:
    """A cell that cannot steer the terminal, cut to its width."""
    safe = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[: MOST_CHARACTERS + 1]
    )
    return safe if len(safe) <= MOST_CHARACTERS else f"{safe[: MOST_CHARACTERS - 1]}…"
