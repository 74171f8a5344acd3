"""What commands print: tables for people, and one line on stderr for what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
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


def _printable(text: str) -> str:
    """A cell that cannot steer the terminal, cut to its width."""
    safe = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[: MOST_CHARACTERS + 1]
    )
    return safe if len(safe) <= MOST_CHARACTERS else f"{safe[: MOST_CHARACTERS - 1]}…"
