"""Sending a file's lines: in batches, by halves where they are too large, each result counted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from app.cli.base import ServiceError
from app.cli.client import error_text, not_scoreline
from app.cli.files import Progress
from app.cli.output import note, write_json

Line = tuple[str, bytes]
"""Where a score stands in the file, and the line that is sent."""

EXPLAINED = 100
"""How many refused lines of a batch the service explains."""

UNEXPLAINED = "too_many_errors"
KEY_TAKEN = "idempotency_key_reused"
MAX_NAMES = 20


def send(
    call: Callable[[Sequence[bytes]], dict[str, Any]],
    count_old: Callable[[dict[str, Any]], int],
    lines: Sequence[Line],
    progress: Progress,
) -> None:
    """Send lines by `call`, count their results in `progress`, and say why lines are refused.

    `count_old` takes an answer and returns how many of its scores were stored before.
    """
    if not lines:
        return
    try:
        answer = call([line for _, line in lines])
    except ServiceError as error:
        if error.status != 413:
            raise
        if len(lines) == 1:
            refuse(f"{lines[0][0]}: {error}", progress)
            return
        middle = len(lines) // 2
        for half in (lines[:middle], lines[middle:]):
            send(call, count_old, half, progress)
        return
    unexplained = _count(answer, count_old, lines, progress)
    for start in range(0, len(unexplained), EXPLAINED):
        send(call, count_old, unexplained[start : start + EXPLAINED], progress)


def _count(
    answer: dict[str, Any],
    count_old: Callable[[dict[str, Any]], int],
    lines: Sequence[Line],
    progress: Progress,
) -> list[Line]:
    """Count the results of lines; return the refused ones whose errors were not told."""
    results = answer["results"]
    if not isinstance(results, list) or len(results) != len(lines):
        raise not_scoreline(200)
    refused = [
        (line, result["detail"])
        for line, result in zip(lines, results, strict=True)
        if "detail" in result
    ]
    old = count_old(answer)
    progress.present += old
    progress.created += len(lines) - len(refused) - old
    unexplained = []
    for line, errors in refused:
        place, sent = line
        if errors[0].get("type") == UNEXPLAINED and len(lines) > 1:
            unexplained.append(line)
        elif errors[0].get("type") == KEY_TAKEN and sent.startswith(b'{"idempotency_key":"add-'):
            progress.present += 1  # The key is of the content: its JSON was written another way.
        else:
            text = error_text([{**each, "loc": each["loc"][2:]} for each in errors])
            refuse(f"{place}: {text}", progress)
    return unexplained


def refuse(message: str, progress: Progress) -> None:
    """Say where and why a line is refused, and count it."""
    progress.refused += 1
    note(message)


def report(progress: Progress, ignored: set[str], *, as_json: bool) -> None:
    """Say what became of a file, and end with exit code 1 where a line was refused."""
    if ignored:
        names = sorted(ignored)
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        note(f"ignored: {', '.join(names[:MAX_NAMES])}{more}")
    if as_json:
        write_json(
            {
                "num_created": progress.created,
                "num_replayed": progress.present,
                "num_failed": progress.refused,
            }
        )
    else:
        click.echo(
            f"new {progress.created}, already there {progress.present}, refused {progress.refused}",
            err=True,
        )
    if progress.refused:
        sys.exit(1)
