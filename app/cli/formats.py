"""The formats of tables: columns for people, Markdown, CSV, or the JSON of the service."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal

import click

from app.cli.base import fail, printable, table, write
from app.cli.listing import cell_text
from app.spreadsheets import cell_of

_MARKUP = re.compile(
    r"[\\`*\[\]#!|<>~@&$^]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|%[\w\"]"
    r"|://|www\.|\bgh-[0-9]|^[-+=/][^0-9]|^[0-9]+[.)] ",
    re.IGNORECASE,
)
"""What may be markup, a link, a mention or a command in Markdown of GitHub or GitLab."""

Format = Literal["table", "json", "markdown", "csv"]

OPTIONS = (
    click.option("--json", "as_json", is_flag=True, help="Print the API's JSON response."),
    click.option("--markdown", "as_markdown", is_flag=True, help="Print a table in Markdown."),
    click.option("--csv", "as_csv", is_flag=True, help="Print CSV."),
)


def format_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --json, --markdown and --csv to a command, and pass it the `form` that was chosen."""

    @wraps(command)
    def with_form(*, as_json: bool, as_markdown: bool, as_csv: bool, **rest: Any) -> None:
        given: list[Format] = []
        given += ["json"] * as_json
        given += ["markdown"] * as_markdown
        given += ["csv"] * as_csv
        if len(given) > 1:
            fail(f"give only one of {' and '.join(f'--{each}' for each in given)}", 2)
        command(form=given[0] if given else "table", **rest)

    for option in reversed(OPTIONS):
        with_form = option(with_form)
    return with_form


def print_table(form: Format, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a header, in columns, as Markdown or as CSV."""
    if form == "csv":
        write(csv_text(header, rows).encode("utf-8", "backslashreplace"))
    elif form == "markdown":
        click.echo(markdown_table(header, rows))
    else:
        table(header, rows)


def csv_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as CSV (RFC 4180), safe from formula injection.

    Numbers stay as they are, and a dash, which stands for no value, is an empty cell.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([[_csv_cell(cell) for cell in row] for row in rows])
    return text.getvalue()


def _csv_cell(cell: str) -> str:
    if cell == "-":
        return ""
    return cell if _is_number(cell) else cell_of(cell)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a table of GitHub's Markdown, in which nothing of a cell is markup."""
    lines = [
        [_markdown_cell(cell) for cell in header],
        ["---"] * len(header),
        *([_markdown_cell(cell) for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_cell(text: str) -> str:
    """Return a text as a cell, where a backslash keeps a pipe from ending it, also in code."""
    return re.sub(r"(\\*)\|", r"\1\1\|", markdown(text))


def markdown(text: str) -> str:
    """Return a text on one line in which nothing is markup, a link or a mention.

    One that might be is code: a platform makes links and mentions of escaped characters too.
    """
    line = " ".join(text.split())
    if not _MARKUP.search(line):
        return line
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if line[0] in "` " or line[-1] in "` " else ""
    return f"{fence}{space}{line}{space}{fence}"


def say(form: Format, sentence: str, color: str | None = None) -> None:
    """Print a sentence below a table: in a colour on a terminal, in Markdown as a list item."""
    if form == "markdown":
        click.echo(f"- {markdown(printable(sentence))}")
    else:
        click.echo(colored(printable(sentence), color))


def text_cell(value: Any) -> str:
    """Return a cell with a value as text, or a dash without one."""
    return "-" if value is None else printable(str(value))


def figure_cell(number: float | None) -> str:
    """Return a cell with a figure of 6 digits, or a dash without one."""
    return "-" if number is None else f"{number:.6g}"


def value_cell(value: Any) -> str:
    """Return a cell with the value of a leaf, or a mean of trials, with figures of 6 digits."""
    return figure_cell(value) if isinstance(value, float) else printable(cell_text(value))


def percent_cell(part: float | None) -> str:
    """Return a cell with a part of 1 in percent, or a dash without one."""
    return "-" if part is None else f"{100 * part:.4g} %"


def colored(text: str, color: str | None) -> str:
    """Return a text in a colour if stdout is a terminal that has colours."""
    is_plain = color is None or "NO_COLOR" in os.environ or not sys.stdout.isatty()
    return text if is_plain else click.style(text, fg=color)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
