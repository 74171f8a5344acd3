"""`scoreline scores`: add, list, follow, get and delete scores of a running service."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from app.cli.adding import Kind, add_file, file_options
from app.cli.base import (
    Group,
    ServiceError,
    ServiceUnreachable,
    bar,
    check_confirmable,
    confirm,
    counted,
    fail,
    flush,
    interruptible,
    note,
    printable,
    table,
    write,
    write_json,
)
from app.cli.client import MAX_IDS_PER_DELETE, MAX_WAIT, Client, read_object
from app.cli.files import InputFile
from app.cli.listing import cell_text, show_list
from app.cli.project import filter_options, project_options, report_no_scores, why_no_scores

COLUMNS = ("score_id", "created_at", "scorer", "prediction_id", "evaluation_run_id", "value")
SCORES = Kind(
    ("prediction_id", "scorer"),
    {
        *("prediction_id", "scorer", "value", "evaluation_run_id"),
        *("reason", "error", "metadata", "annotator"),
    },
)

PAUSE_SECONDS = 1.0
"""How long `follow` waits before it retries a service that does not respond."""


@click.group(cls=Group)
def scores() -> None:
    """Add, list, follow, get and delete scores of a running service.

    The API key is read from SCORELINE_KEY or the key file, never from the command line.
    """


@scores.command("list")
@project_options
@filter_options
@click.option("--current", is_flag=True, help="Leave superseded scores out.")
@click.option(
    "--where",
    multiple=True,
    help="Only scores with a leaf that fits, such as 'accuracy.f1<0.5'; may be repeated.",
)
@click.option(
    "--failed/--not-failed", default=None, help="Only judgements that failed or gave null, or not."
)
@click.option("--reason-contains", help="Only scores with this text in their reason.")
@click.option("--sort-by", help="The leaf to sort by. Default: the time of creation.")
@click.option("--order", type=click.Choice(["asc", "desc"]), help="Default: asc, oldest first.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print all scores as JSON lines, as the API sends them."
)
def scores_list(
    client: Client,
    limit: int | None,
    where: tuple[str, ...],
    *,
    current: bool,
    failed: bool | None,
    as_json: bool,
    **filters: str | None,
) -> None:
    """List scores, oldest first: the first 100 in a table, or all with --json.

    --failed adds a column with the error, and --reason-contains one with the reason. The exit
    code is 1 if the project or run has no scores.

    Example: scoreline scores list --project acme/demo --run run-1 --where 'accuracy.f1<0.5'
    """
    given = [(name, value) for name, value in filters.items() if value is not None]
    given += [("where", condition) for condition in where]
    given += [("current", "true")] if current else []
    given += [] if failed is None else [("failed", str(failed).lower())]
    asked = (("error", failed), ("reason", filters["reason_contains"]))
    columns = (*COLUMNS, *(name for name, is_asked in asked if is_asked))
    url = client.scores_url
    if not show_list(client, url, columns, given, limit, as_json=as_json, cell=_cell):
        report_no_scores(client, filters["evaluation_run_id"])


@scores.command("get")
@project_options
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON response.")
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


@scores.command("history")
@project_options
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON lines.")
@click.argument("score_id")
def scores_history(client: Client, score_id: str, *, as_json: bool) -> None:
    """Show the current score and those that it supersedes, newest first.

    They have the same run, prediction, annotator and name of the scorer. SCORE_ID may be that of
    any of them.

    Example: scoreline scores history --project acme/demo 01a20901-1208-700a-886d-bd665d10c4ec
    """
    lines = client.history(score_id)
    if as_json:
        write(b"".join(line + b"\n" for line in lines))
    else:
        found = [read_object(line) for line in lines]
        table(COLUMNS, [[_cell(name, score.get(name)) for name in COLUMNS] for score in found])


@scores.command("delete")
@project_options
@click.option("--yes", is_flag=True, help="Delete without asking for confirmation.")
@click.option("--json", "as_json", is_flag=True, help='Print {"num_deleted": N}, as the API does.')
@click.argument("score_ids", nargs=-1, required=True)
def scores_delete(client: Client, score_ids: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    """Delete scores by id, or with `-` the ids on standard input.

    Asks for confirmation first. Without a terminal, and with `-`, --yes is required. The exit code
    is 1 if an id does not exist.

    Example: scoreline scores delete --project acme/demo --yes SCORE_ID SCORE_ID
    """
    from_stdin = score_ids == ("-",)
    if not yes:
        check_confirmable(is_used=from_stdin)
    ids = list(score_ids)
    if from_stdin:
        ids = InputFile("-").opened.read().decode(errors="replace").split()
    ids = list(dict.fromkeys(ids))
    if not yes:
        confirm(counted(len(ids), "score"))
    deleted = 0
    interruption = interruptible("run the same command to delete the rest")
    with interruption, bar(len(ids), "deleting") as advance:
        for start in range(0, len(ids), MAX_IDS_PER_DELETE):
            part = ids[start : start + MAX_IDS_PER_DELETE]
            deleted += client.delete(part)
            advance(len(part))
    if as_json:
        write_json({"num_deleted": deleted})
    else:
        note(f"deleted {deleted} of {len(ids)}")
    if deleted < len(ids):
        if not deleted and (why := why_no_scores(client, None)):
            note(why)
        sys.exit(1)


@scores.command("add")
@project_options
@file_options
def scores_add(client: Client, file: str, batch_size: int, *, as_json: bool) -> None:
    """Add the scores in a file of JSON lines, and report why each rejected line was rejected.

    Each line is one JSON object with prediction_id, scorer, value and optionally
    evaluation_run_id, reason, error, metadata and annotator. The file may have any name.

    Adding a file again stores nothing twice: each line is sent with an idempotency key made from
    its content and how often that content occurs before it in the file. A line with the same
    content in another file gets the same key and is not stored again; give such lines an
    idempotency_key of their own.

    FILE.progress, next to the file, records how much of it was sent, so that an interrupted command
    can resume.

    Example: scoreline scores add --project acme/demo --file scores.jsonl
    """
    add_file(file, batch_size, client.add, client.scores_url, SCORES, as_json=as_json)


@scores.command("follow")
@project_options
@click.option("--from-start", is_flag=True, help="Print existing scores first.")
@click.option("--cursor", help="Continue after this cursor, which an earlier `follow` printed.")
def scores_follow(client: Client, cursor: str | None, *, from_start: bool) -> None:
    """Print new scores as JSON lines as they arrive, until Ctrl-C.

    Ctrl-C prints the cursor to continue with. If the service restarts, `follow` reconnects: no
    score is lost or printed twice. On MongoDB, a score that arrives while `--from-start` still
    prints existing ones may be printed twice.

    Example: scoreline scores follow --project acme/demo >> scores.jsonl
    """
    if from_start and cursor is not None:
        raise click.UsageError("--from-start and --cursor cannot be used together")
    following = _Following(client, "start" if from_start else cursor)
    try:
        following.run()
    except ServiceError as error:
        if error.status != 410:
            raise
        fail(f"{error}; use --from-start to print all scores, or leave out --cursor", 1)
    except KeyboardInterrupt:
        with interruptible(following.after_interruption):
            raise


class _Following:
    """Follows a project; `cursor` is the position after the last score that was printed."""

    def __init__(self, client: Client, cursor: str | None) -> None:
        self._client = client
        self.cursor = cursor

    @property
    def after_interruption(self) -> str:
        """How to continue, for the message on Ctrl-C."""
        if self.cursor is None:
            return "nothing was printed"
        return f"continue with --cursor {self.cursor}"

    def run(self) -> None:
        """Print scores as they arrive."""
        # Get a cursor without waiting, so that no score is missed if the service restarts.
        self._print(*self._client.changes(self.cursor, wait=0))
        is_reachable = True
        while True:
            try:
                self._print(*self._client.changes(self.cursor, wait=MAX_WAIT))
                is_reachable = True
            except ServiceUnreachable as error:
                if is_reachable:
                    note(f"{error}; trying again")
                is_reachable = False
                time.sleep(PAUSE_SECONDS)

    def _print(self, lines: bytes, cursor: str) -> None:
        with _delay_interrupt():
            write(lines)
            flush()
            self.cursor = cursor


@contextmanager
def _delay_interrupt() -> Iterator[None]:
    """Delay a first Ctrl-C until the block is done; a second one interrupts it."""
    interrupts = 0
    previous = signal.getsignal(signal.SIGINT)

    def delay(*_: object) -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, delay)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if interrupts:
        raise KeyboardInterrupt


def _cell(name: str, value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if name == "value" else cell_text(value)
