"""What commands print: tables for people, JSON for programs, and one line for what went wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

MAX_CELL = 48
"""The characters of the widest cell in a table; `--json` shows all."""


def fail(message: str, exit_code: int) -> NoReturn:
    """End the command with one line on stderr."""
    note(f"scoreline: {message}")
    sys.exit(exit_code)


def note(message: str) -> None:
    """Write one line to stderr, which cannot steer the terminal."""
    with suppress(OSError):  # There is nobody left to tell.
        click.echo(printable(message), err=True)


def write(content: bytes) -> None:
    """Write bytes to stdout. Raises OSError."""
    if sys.stdout is None:
        fail("the output is closed", 2)
    sys.stdout.buffer.write(content)


def write_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns under their header; without rows, print nothing."""
    cells = [[_cut(cell) for cell in row] for row in rows]
    if not cells:
        return
    cells.insert(0, list(header))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


@contextmanager
def progress(label: str, length: int | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """Show the progress of a long command on stderr: a bar on a terminal, else a line each tenth.

    Yields a function that takes how much is done, and the whole where that was not known before.
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
def bar(length: int | None, label: str) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr where that is a terminal and the length is known.

    Yields a function that moves it on.
    """
    if length is None or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as shown:
        yield shown.update


def printable(text: str) -> str:
    """Return `text` with what could steer a terminal escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _cut(text: str) -> str:
    safe = printable(text[: MAX_CELL + 1])
    return safe if len(safe) <= MAX_CELL else f"{safe[: MAX_CELL - 1]}…"
