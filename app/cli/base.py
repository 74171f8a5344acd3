"""What all commands share: base classes, tables and progress, and one line for each failure."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

INTERRUPTED = 128 + signal.SIGINT
UNIX_ONLY = {"fcntl", "grp", "pwd", "resource", "termios"}
"""Modules of Python that Windows lacks, and that the service and its store need."""

CLOSED = 141
"""128 + SIGPIPE, the exit code that a shell reports; Windows has no `signal.SIGPIPE`."""

MAX_CELL = 48
"""The most characters in a table cell; `--json` prints values in full."""


class ServiceError(Exception):
    """The service refused the request, or the response is not Scoreline's.

    `is_missing` says that what the request names does not exist; `errors` are those of a 422.
    """

    def __init__(
        self,
        message: str,
        status: int,
        *,
        is_missing: bool = False,
        errors: Sequence[Any] = (),
    ) -> None:
        super().__init__(message)
        self.errors = errors
        self.status = status
        self.is_missing = is_missing


class ServiceUnreachable(Exception):
    """The service did not respond, or responded that the client should try again."""


class Command(click.Command):
    """A command that rejects a repeated option, unless the option takes several values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Raises UsageError."""
        reject_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


class Group(click.Group):
    """A group of commands that also rejects repeated options."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Raises UsageError."""
        reject_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


Group.group_class = Group


def reject_repeated(command: click.Command, ctx: click.Context, args: list[str]) -> None:
    """Reject a single-value option that is given twice; click would use the last value.

    A flag may be repeated, unless it has an opposite. Raises UsageError.
    """
    if ctx.resilient_parsing:
        return
    _, _, order = command.make_parser(ctx).parse_args(list(args))
    for parameter, times in Counter(order).items():
        if not isinstance(parameter, click.Option) or parameter.multiple or times == 1:
            continue
        if parameter.secondary_opts or not parameter.is_flag:
            name = "/".join([max(parameter.opts, key=len), *parameter.secondary_opts])
            raise click.UsageError(f"{name} is given {times} times; give it only once", ctx)


@contextmanager
def failures() -> Iterator[None]:
    """Turn every failure of a command into one line on stderr and an exit code."""
    try:
        yield
    except ServiceError as error:
        fail(str(error), 1)
    except ServiceUnreachable as error:
        fail(str(error), 3)
    except KeyboardInterrupt:
        fail("interrupted; run the same command to start over", INTERRUPTED)
    except click.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            fail("interrupted; nothing was done", INTERRUPTED)
        fail("nothing was done", 1)
    except OSError as error:
        _discard_output()
        if error.errno == errno.EPIPE:
            sys.exit(CLOSED)
        fail(f"{error.filename or 'the output'}: {error.strerror or error}", 2)


@contextmanager
def missing_modules() -> Iterator[None]:
    """Exit with one line if the command needs a module that only Linux and macOS have."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in UNIX_ONLY:
            raise
        fail(f"this command needs Linux or macOS; here, Python has no module {error.name}", 2)


@contextmanager
def interruptible(message: str) -> Iterator[None]:
    """Print `message` and exit when Ctrl-C interrupts the block."""
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # A second Ctrl-C must not cut the message.
        if sys.stderr and sys.stderr.isatty():
            click.echo(err=True)  # Move off the line that shows `^C` or a progress bar.
        fail(f"interrupted; {message}", INTERRUPTED)


def check_confirmable(*, is_used: bool = False) -> None:
    """Exit if nobody can be asked for confirmation, also because standard input `is_used`."""
    if is_used or sys.stdin is None or not sys.stdin.isatty():
        fail("cannot ask for confirmation here; use --yes to delete without asking", 2)


def confirm(what: str) -> None:
    """Ask whether to delete `what`; exit if the answer is no, or nobody can be asked."""
    check_confirmable()
    click.confirm(f"Delete {what} permanently?", abort=True, err=True)


def flush() -> None:
    """Flush standard output. Raises OSError."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _discard_output() -> None:
    """Discard buffered output, which Python would fail to write when it exits."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, exit_code: int) -> NoReturn:
    """Print one line to stderr and exit."""
    note(f"scoreline: {message}")
    sys.exit(exit_code)


def note(message: str) -> None:
    """Print one line to stderr, with terminal control characters escaped."""
    with suppress(OSError):  # A closed stderr cannot be reported anywhere.
        click.echo(printable(message), err=True)


def write(content: bytes) -> None:
    """Write bytes to stdout. Raises OSError."""
    if sys.stdout is None:
        fail("standard output is closed", 2)
    sys.stdout.buffer.write(content)


def write_json(document: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns under a header; print nothing if there are no rows.

    Cells are cut, but not the sentence that says `why`, which is the last one of its row.
    """
    cells = [
        [
            printable(cell) if name == "why" else _cut(cell)
            for name, cell in zip(header, row, strict=True)
        ]
        for row in rows
    ]
    if not cells:
        return
    cells.insert(0, list(header))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


@contextmanager
def progress(label: str, length: int | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """Show progress on stderr: a bar on a terminal, otherwise a line for every tenth of the total.

    Yields a function that takes the amount done and the total, or None to keep the total.
    """
    with click.progressbar(length=length or 1, label=label, file=sys.stderr) as bar:
        tenths = 0

        def advance(done: int, of: int | None) -> None:
            nonlocal tenths
            bar.length = of or length or 1
            if sys.stderr.isatty():
                bar.update(done - bar.pos)
            elif done * 10 // bar.length > tenths:
                tenths = done * 10 // bar.length
                click.echo(f"{label}: {done} of {bar.length}", err=True)

        yield advance


@contextmanager
def bar(length: int | None, label: str) -> Iterator[Callable[[int], None]]:
    """Show a progress bar if stderr is a terminal and the length is known.

    Yields a function that takes the amount done since its last call.
    """
    if length is None or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as shown:
        yield shown.update


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 score` or `2 scores`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: str) -> str:
    """Return `text` with terminal control characters escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _cut(text: str) -> str:
    safe = printable(text[: MAX_CELL + 1])
    return safe if len(safe) <= MAX_CELL else f"{safe[: MAX_CELL - 1]}…"
