"""Add the JSON lines of a file to a project, each once, however often the file is added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from app.cli.base import bar, interruptible, note
from app.cli.files import BATCH_BYTES, InputFile, Line
from app.cli.sending import Journal, LineKeys, reject, report, send
from app.parts import in_parts

KEY = "idempotency_key"

OPTIONS = (
    click.option("--file", required=True, help="A file in UTF-8; `-` is standard input."),
    click.option(
        "--batch-size",
        type=click.IntRange(1, 10_000),
        default=1_000,
        show_default=True,
        help="How many lines to send in one request.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON document."),
)


@dataclass(frozen=True)
class Kind:
    """What the lines of a file are: scores, or predictions."""

    telling: Sequence[str]
    """Fields that tell such lines from others; each line has one of them."""
    fields: set[str]
    """All fields; others are ignored."""


def file_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a command that sends the lines of a file."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def add_file(
    file: str,
    batch_size: int,
    add: Callable[[Sequence[bytes]], dict[str, Any]],
    target: str,
    kind: Kind,
    *,
    as_json: bool,
) -> None:
    """Send the lines of a file in batches with `add` to `target`, and report rejected lines."""
    source = InputFile(file)
    source.reject_other_lines(*kind.telling)
    adding = _Adding(kind.fields)
    journal = Journal(source, target, adding.keyed)
    progress = journal.progress
    with (
        interruptible(journal.after_interruption),
        source,
        bar(source.size, "adding") as advance,
    ):
        advance(progress.offset)
        lines = source.lines(progress.lines)
        for batch in in_parts(lines, batch_size, lambda line: len(line.raw), BATCH_BYTES):
            keyed = []
            for line in batch:
                if line.error is not None:
                    reject(f"{line.position}, {line.error}", progress)
                elif not line.is_blank:
                    keyed.append((line.position, adding.keyed(line)))
            send(add, "num_replayed", keyed, progress)
            journal.sent([line.raw for line in batch])
            advance(sum(len(line.raw) for line in batch))
        journal.finish()
    if not progress.lines:
        note(f"{source.name} is empty")
    report(progress, adding.ignored, as_json=as_json)


class _Adding:
    """The idempotency keys of the lines read so far, and the names of ignored fields."""

    def __init__(self, fields: set[str]) -> None:
        self._keys = LineKeys()
        self._fields = fields | {KEY}
        self.ignored: set[str] = set()

    def keyed(self, line: Line) -> bytes:
        """Return the line to send, with an idempotency key unless it has one of its own."""
        if not isinstance(line.content, dict):
            return line.text
        self.ignored |= line.content.keys() - self._fields
        if KEY in line.content:
            return line.text
        key = self._keys.key_of(line.content)
        comma = b"," if line.content else b""
        return b'{"%b":"%b"%b%b' % (KEY.encode(), key.encode(), comma, line.text[1:])
