"""`scoreline scores`: add, list, follow, get and delete scores of a running service."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import click

from app.cli.base import Group, ServiceError, ServiceUnreachable, flush, interruptible
from app.cli.client import DELETED_AT_ONCE, MAX_WAIT, Client
from app.cli.files import BATCH_BYTES, InputFile, Journal, Line, LineKeys
from app.cli.output import bar, fail, note, printable, table, write, write_json
from app.cli.project import filtered, of_a_project, say_nothing_found, why_nothing
from app.cli.sending import refuse, report, send

ROWS = 100
"""How many scores a table shows when no limit is given; `--json` writes all."""

COLUMNS = ("score_id", "created_at", "scorer", "prediction_id", "evaluation_run_id", "value")
FIELDS = {"prediction_id", "scorer", "value", "evaluation_run_id"}
KEY = "idempotency_key"
"""The fields of a score that is sent; others are ignored."""

PAUSE_SECONDS = 1.0
"""How long `follow` waits before it asks a service again that did not answer."""


@click.group(cls=Group)
def scores() -> None:
    """Add, list, follow, get and delete scores of a running service.

    The API key is taken from SCORELINE_KEY, else from the key file; never from the command line.
    """


@scores.command("list")
@of_a_project
@filtered
@click.option(
    "--json", "as_json", is_flag=True, help="All, as JSON lines, each as the API sends it."
)
def scores_list(client: Client, limit: int | None, *, as_json: bool, **filters: str | None) -> None:
    """List scores, oldest first: a table of the first 100, or with --json all.

    A project or run without scores is exit code 1.

    Example: scoreline scores list --project acme/demo --run run-1 --json
    """
    given = {name: value for name, value in filters.items() if value is not None}
    lines = client.lines(given, limit if as_json or limit is not None else ROWS + 1)
    first = next(lines, None)
    if first is None and limit != 0:
        say_nothing_found(client, filters["evaluation_run_id"])
    elif first is not None and as_json:
        write(first + b"\n")
        for line in lines:
            write(line + b"\n")
    elif first is not None:
        found = [first, *lines]
        shown = ROWS if limit is None else limit
        table(COLUMNS, [_row(json.loads(line)) for line in found[:shown]])
        if len(found) > shown:
            note(f"the first {shown}; more with --limit, all with --json")


@scores.command("get")
@of_a_project
@click.option("--json", "as_json", is_flag=True, help="One JSON document, as the API sends it.")
@click.argument("score_id")
def scores_get(client: Client, score_id: str, *, as_json: bool) -> None:
    """Show one score.

    Example: scoreline scores get --project acme/demo 01a20901-1208-700a-886d-bd665d10c4ec
    """
    text, score = client.read(score_id)
    if as_json:
        write(text + b"\n")
        return
    for name, value in score.items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        click.echo(f"{name}: {printable(shown)}")


@scores.command("delete")
@of_a_project
@click.option("--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
@click.option("--json", "as_json", is_flag=True, help='Print {"num_deleted": N}, as the API does.')
@click.argument("score_ids", nargs=-1, required=True)
def scores_delete(client: Client, score_ids: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    """Delete scores by their ids, or by those on standard input when the only one is `-`.

    Asks first. Off a terminal, and with `-`, it refuses without --yes. Ids that are not there are
    exit code 1.

    Example: scoreline scores delete --project acme/demo --yes SCORE_ID SCORE_ID
    """
    from_stdin = score_ids == ("-",)
    if not yes and (from_stdin or sys.stdin is None or not sys.stdin.isatty()):
        fail("nobody can be asked here: --yes deletes without asking", 2)
    wanted = list(score_ids)
    if from_stdin:
        wanted = InputFile("-").opened.read().decode(errors="replace").split()
    wanted = list(dict.fromkeys(wanted))
    if not yes:
        click.confirm(f"Delete {len(wanted)} scores for good?", abort=True, err=True)
    deleted = 0
    again = interruptible("the same command deletes the rest")
    with again, bar(len(wanted), "deleting") as advance:
        for start in range(0, len(wanted), DELETED_AT_ONCE):
            some = wanted[start : start + DELETED_AT_ONCE]
            deleted += client.delete(some)
            advance(len(some))
    if as_json:
        write_json({"num_deleted": deleted})
    else:
        note(f"deleted {deleted} of {len(wanted)}")
    if deleted < len(wanted):
        if not deleted and (why := why_nothing(client, None)):
            note(why)
        sys.exit(1)


@scores.command("add")
@of_a_project
@click.option("--file", required=True, help="The file, in UTF-8; `-` is standard input.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 10_000),
    default=1_000,
    show_default=True,
    help="Lines that are sent at once.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON document.")
def scores_add(client: Client, file: str, batch_size: int, *, as_json: bool) -> None:
    """Add the scores of a file of JSON lines, and say of each line that is refused why.

    Each line is one JSON object with prediction_id, scorer, value and perhaps evaluation_run_id,
    whatever the file is called.

    Adding a file again stores nothing twice: each line is sent with an idempotency key, made of its
    content and of how often that content came before in the file. A line with the same content in
    another file has the same key, so it is already there; give such lines an idempotency_key of
    their own.

    FILE.progress, beside the file, holds how far an interrupted command came.

    Example: scoreline scores add --project acme/demo --file scores.jsonl
    """
    source = InputFile(file)
    source.refuse_other_json()
    adding = _Adding()
    journal = Journal(source, client.scores_url, adding.keyed)
    progress = journal.progress
    with (
        interruptible(journal.after_interruption),
        source,
        bar(source.size, "adding") as advance,
    ):
        advance(progress.offset)
        lines = source.lines(progress.lines)
        while batch := next_lines(lines, batch_size):
            keyed = []
            for line in batch:
                if line.error is not None:
                    refuse(f"{line.place}, {line.error}", progress)
                elif not line.is_blank:
                    keyed.append((line.place, adding.keyed(line)))
            send(client.add, _num_replayed, keyed, progress)
            journal.sent([line.raw for line in batch])
            advance(sum(len(line.raw) for line in batch))
        journal.finish()
    if not progress.lines:
        note(f"{source.name} is empty")
    report(progress, adding.ignored, as_json=as_json)


class _Adding:
    """What is known of the lines of a file so far: their keys, and fields that are ignored."""

    def __init__(self) -> None:
        self._keys = LineKeys()
        self.ignored: set[str] = set()

    def keyed(self, line: Line) -> bytes:
        """Return the line as it is sent: with a key, unless it has one of its own."""
        if not isinstance(line.content, dict):
            return line.text
        self.ignored |= line.content.keys() - FIELDS - {KEY}
        if KEY in line.content:
            return line.text
        key = self._keys.key_of(line.content)
        comma = b"," if line.content else b""
        return b'{"%b":"%b"%b%b' % (KEY.encode(), key.encode(), comma, line.text[1:])


def next_lines(lines: Iterator[Line], most: int) -> list[Line]:
    """Return the next lines, at most so many and of about BATCH_BYTES."""
    batch: list[Line] = []
    size = 0
    for line in islice(lines, most):
        batch.append(line)
        size += len(line.raw)
        if size >= BATCH_BYTES:
            break
    return batch


def _num_replayed(answer: dict[str, Any]) -> int:
    return int(answer["num_replayed"])


@scores.command("follow")
@of_a_project
@click.option("--from-start", is_flag=True, help="Begin with the first score, not with new ones.")
@click.option("--cursor", help="Go on where another `follow` ended, as it said.")
def scores_follow(client: Client, cursor: str | None, *, from_start: bool) -> None:
    """Print new scores as JSON lines as they come, until Ctrl-C.

    Ctrl-C prints the cursor with which the same command goes on. A service that starts again is
    asked again: nothing is lost, and nothing printed twice.

    Example: scoreline scores follow --project acme/demo >> scores.jsonl
    """
    if from_start and cursor is not None:
        raise click.UsageError("--from-start and --cursor exclude each other; give one of them")
    following = _Following(client, "start" if from_start else cursor)
    try:
        following.run()
    except ServiceError as error:
        if error.status != 410:
            raise
        fail(f"{error}; --from-start begins anew, and without --cursor only new scores come", 1)
    except KeyboardInterrupt:
        with interruptible(following.going_on):
            raise


class _Following:
    """Follows a project; `cursor` is where what is printed ends."""

    def __init__(self, client: Client, cursor: str | None) -> None:
        self._client = client
        self.cursor = cursor

    @property
    def going_on(self) -> str:
        """What the same command does after an interruption."""
        if self.cursor is None:
            return "nothing was printed"
        return f"go on with --cursor {self.cursor}"

    def run(self) -> None:
        """Print scores as they come."""
        # The first call does not wait: the cursor it brings survives a service that starts again.
        self._print(*self._client.changes(self.cursor, wait=0))
        answers = True
        while True:
            try:
                self._print(*self._client.changes(self.cursor, wait=MAX_WAIT))
                answers = True
            except ServiceUnreachable as error:
                if answers:
                    note(f"{error}; trying again")
                answers = False
                time.sleep(PAUSE_SECONDS)

    def _print(self, lines: bytes, cursor: str) -> None:
        with _interrupted_later():
            write(lines)
            flush()
            self.cursor = cursor


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Hold back the first Ctrl-C until the block has ended; the second one ends it."""
    held: list[bool] = []
    before = signal.getsignal(signal.SIGINT)

    def hold(*_: object) -> None:
        if held:
            raise KeyboardInterrupt
        held.append(True)

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


def _row(score: dict[str, Any]) -> list[str]:
    texts = {**score, "value": json.dumps(score["value"], ensure_ascii=False)}
    return [texts[name] or "-" for name in COLUMNS]
