"""What every command shares: options that are given once, and failures that are told in a line."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from app.cli.output import fail

INTERRUPTED = 128 + signal.SIGINT
CLOSED = 141
"""128 + SIGPIPE, which Windows does not know: what a shell says of a command that it ends."""


class ServiceError(Exception):
    """An answer of the service that refuses, or that is not Scoreline's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ServiceUnreachable(Exception):
    """No answer of the service, or only one to try again."""


class Command(click.Command):
    """A command that refuses a repeated option, unless the option takes several values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Raises UsageError."""
        refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


class Group(click.Group):
    """A group of commands, each a Command."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Raises UsageError."""
        refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


Group.group_class = Group


def refuse_repeated(command: click.Command, ctx: click.Context, args: list[str]) -> None:
    """Raise UsageError where an option of one value is given twice: click would take the last."""
    if ctx.resilient_parsing:
        return
    _, _, order = command.make_parser(ctx).parse_args(list(args))
    for parameter, times in Counter(order).items():
        if not isinstance(parameter, click.Option) or parameter.multiple or parameter.is_flag:
            continue
        if times > 1:
            name = max(parameter.opts, key=len)
            raise click.UsageError(f"{name} is given {times} times; give it once", ctx)


@contextmanager
def failures() -> Iterator[None]:
    """Turn every failure of a command into one line on stderr and its exit code."""
    try:
        yield
    except ServiceError as error:
        fail(str(error), 1)
    except ServiceUnreachable as error:
        fail(str(error), 3)
    except KeyboardInterrupt:
        fail("interrupted; the same command starts again", INTERRUPTED)
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
def interruptible(message: str) -> Iterator[None]:
    """Say `message` when Ctrl-C ends the block."""
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # The line is written whole.
        if sys.stderr and sys.stderr.isatty():
            click.echo(err=True)  # Leave the line of `^C` and of a progress bar.
        fail(f"interrupted; {message}", INTERRUPTED)


def flush() -> None:
    """Write out what is printed. Raises OSError."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _discard_output() -> None:
    """Drop what is not written yet: Python would try, and fail, to write it at its end."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
