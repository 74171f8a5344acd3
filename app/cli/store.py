"""`scoreline store`: back up, restore, copy, prune and shard a store."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from app.cli.base import (
    Group,
    check_confirmable,
    confirm,
    counted,
    fail,
    interruptible,
    note,
    progress,
    write_json,
)
from app.cli.copying import report, report_json
from app.cli.pruning import (
    amount,
    count_or_prune,
    moment_before,
    note_empty,
    place_of,
    report_pruned,
)
from app.errors import Conflict, ScorelineError, StoreUnavailable
from app.logs import STDERR, configure_logging
from app.services.copies import copy_store
from app.services.keys import COMMAND_LINE
from app.services.project_deletions import delete_project
from app.services.retention import projects_of
from app.stores import embedded_file, open_store, printable_url, shard_store
from app.stores.base import Store
from app.stores.sqlite.backup import back_up
from app.stores.sqlite.backup import restore as restore_backup
from config.settings import SettingsError, read_settings

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=Group)
def store() -> None:
    """Back up, restore and copy a store with everything in it, and prune it."""


@store.command()
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON document.")
@click.argument("file", type=FILE)
def backup(file: Path, *, force: bool, as_json: bool) -> None:
    """Copy the embedded store to FILE, also while the service runs.

    Copies the store of SCORELINE_STORE as it is at this moment, even if scores are added meanwhile.
    FILE is created only when it is complete and checked, and only you can read it. To back up a
    MongoDB store, use MongoDB's own tools, or `scoreline store copy` to copy it to a file.

    Example: scoreline store backup /srv/backups/scores.db
    """
    path = _embedded("backup", file)
    if file.exists() and not force:
        fail(f"{file} already exists; use --force to replace it", 2)
    with _failures("to start over"), progress("backing up") as advance:
        counts = back_up(path, file, advance)
    says = f"{file} holds {_held(counts)}, all checked"
    _print(_numbers(counts), says, as_json=as_json)


@store.command()
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON document.")
@click.argument("file", type=FILE)
def restore(file: Path, *, as_json: bool) -> None:
    """Replace the embedded store with a backup.

    Replaces the store of SCORELINE_STORE, but not while a service uses it. The old store is kept
    next to the new one, with the time in its name. The API keys are those of the backup.

    Example: scoreline store restore /srv/backups/scores.db
    """
    path = _embedded("restore", file)
    with _failures("to start over"), progress("restoring") as advance:
        counts, kept = restore_backup(file, path, advance)
    document = {**_numbers(counts), "replaced_store": str(kept) if kept else None}
    _print(document, f"{path} holds {_held(counts)}", as_json=as_json)
    if kept:
        note(f"the old store is {kept}; remove it when you no longer need it")


@store.command()
@click.option(
    "--delete-extra",
    is_flag=True,
    help="Delete what only the target has. Do not use it while others write to the target.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON document.")
@click.argument("from_url")
@click.argument("to_url")
def copy(from_url: str, to_url: str, *, delete_extra: bool, as_json: bool) -> None:
    """Copy one store to another, and compare them.

    Copies all scores, predictions, evaluation runs and API keys. FROM_URL and TO_URL are written
    like SCORELINE_STORE; @FILE reads a URL from a file, which keeps its password out of the list of
    processes. Both stores may be in use. To copy what arrived meanwhile, or to continue after an
    interruption, run the same command again. Nothing is overwritten, and a difference in the
    target is an error. Only what may change of predictions and runs is updated, such as a status.

    Exit codes: 0 both stores are equal, up to the last score that the source had at the start;
    1 they differ; 2 wrong usage; 3 a store does not respond: try again.

    Example: scoreline store copy sqlite:////srv/scoreline.db @mongodb.url
    """
    with _failures("to continue"), ExitStack() as opened:
        source_url, target_url = _url("FROM_URL", from_url), _url("TO_URL", to_url)
        if source_url == target_url:
            fail("FROM_URL and TO_URL are the same store", 2)
        file = embedded_file(source_url)
        if file and not file.exists():
            fail(f"no store at {file}", 2)
        source = opened.enter_context(_opened("FROM_URL", source_url))
        target = opened.enter_context(_opened("TO_URL", target_url))
        # Each score is read once to copy it and once to compare it.
        done, total = 0, 2 * source.extent().count
        with progress("copying and comparing", total) as advance:

            def count(more: int) -> None:
                nonlocal done
                done += more
                advance(min(done, total), None)

            copied = copy_store(source, target, delete_extra=delete_extra, progress=count)
    if as_json:
        report_json(copied)
    else:
        report(copied, printable_url(source_url), printable_url(target_url))


@store.command()
@click.option("--older-than", required=True, help="The period: 90d, 12w or 36h.")
@click.option(
    "--project",
    "projects",
    multiple=True,
    help="Only this project, as entity/project; may be repeated. Default: all.",
)
@click.option("--archived", is_flag=True, help="Delete archived runs too.")
@click.option(
    "--objects", is_flag=True, help="Delete unused objects, tables, rows and files of Weave too."
)
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
@click.option("--yes", is_flag=True, help="Delete without asking for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON document.")
def prune(
    older_than: str,
    projects: tuple[str, ...],
    *,
    archived: bool,
    objects: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete what is older than a retention period, also while the service runs.

    Works on the store of SCORELINE_STORE. A run is deleted with its predictions and scores if the
    newest of all these is older. Predictions, scores, calls and feedback of no run are deleted by
    their own age. Archived runs are kept unless --archived is given.

    With --objects, objects, tables, rows and files that Weave's SDK sent are deleted too, if they
    are older and nothing that remains refers to them. All that remains is read for that. The SDK
    remembers in its disk cache what it has sent, and never sends it again: a program that still
    needs these needs WEAVE_USE_SERVER_CACHE=false. --dry-run counts what nothing refers to now, not
    what only the runs refer to that would be deleted.

    Asks for confirmation first. Without a terminal, --yes is required.

    Example: scoreline store prune --older-than 90d --project acme/demo --dry-run
    """
    moment, places = moment_before(older_than), [place_of(each) for each in projects]
    if not (dry_run or yes):
        check_confirmable()
    url = _store_url()
    with _failures("to continue"), _opened("SCORELINE_STORE", url) as opened:
        note_empty(opened, places)
        prune_old = partial(
            count_or_prune,
            opened,
            places or projects_of(opened),
            moment,
            archived=archived,
            objects=objects,
        )
        if dry_run or not yes:
            found = prune_old(delete=False)
        if not (dry_run or yes):
            confirm(amount(*found))
        if not dry_run:
            found = prune_old(delete=True)
    report_pruned(*found, moment, dry_run=dry_run, as_json=as_json)


@store.command("delete-project")
@click.option("--yes", is_flag=True, help="Delete without asking for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON document.")
@click.argument("project")
def remove_project(project: str, *, yes: bool, as_json: bool) -> None:
    """Delete PROJECT (entity/project) with everything in it, also while the service runs.

    Works on the store of SCORELINE_STORE. Runs, predictions and scores are deleted, and all that
    Weave's SDK has sent: calls, feedback, objects, tables and files. The SDK remembers in its disk
    cache what it has sent, and never sends it again: set WEAVE_USE_SERVER_CACHE=false for programs
    that send to a project of this name later. API keys stay. What is sent meanwhile may stay too.

    Asks for confirmation first. Without a terminal, --yes is required.

    Example: scoreline store delete-project acme/demo
    """
    place = place_of(project)
    if not yes:
        check_confirmable()
    url = _store_url()
    with _failures("to continue"), _opened("SCORELINE_STORE", url) as opened:
        if place not in projects_of(opened):
            fail(f"there is nothing in {project}", 1)
        if not yes:
            confirm(f"{project} with {counted(opened.count_project(*place).scores, 'score')}")
        deleted = delete_project(opened, *place, COMMAND_LINE)
    says = ", ".join(f"{name.replace('_', ' ')}: {number}" for name, number in deleted.items())
    _print(_numbers(deleted), f"deleted {project}; {says}", as_json=as_json)


def _store_url() -> str:
    """Return SCORELINE_STORE, and log to stderr; exit if a setting is wrong or there is no file."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        fail(str(error), 2)
    file = embedded_file(settings.store)
    if file and not file.exists():
        fail(f"no store at {file}", 2)
    configure_logging(settings.log_level, STDERR)
    return settings.store


@store.command()
@click.option("--dry-run", is_flag=True, help="Print the commands, and change nothing.")
def shard(*, dry_run: bool) -> None:
    """Shard the collections of a MongoDB store, so that a project can be on several shards.

    Works on the store of SCORELINE_STORE, which must be a sharded cluster, through a mongos. Prints
    each command that it runs. Collections that are sharded already are left as they are; those that
    an earlier release sharded by entity and project get a longer key. May be repeated.

    Exit codes: 0 all collections are sharded; 2 this cannot be done here; 3 the store does not
    respond: try again.

    Example: scoreline store shard --dry-run
    """
    url, number = _store_url(), 0
    with _failures("to continue"):
        for command in shard_store(url, dry_run=dry_run):
            click.echo(f"db.adminCommand({json.dumps(command)})")
            number += 1
    note(f"{counted(number, 'command')} to run" if dry_run else "all collections are sharded")


def _held(counts: Mapping[str, int]) -> str:
    """Return what a file holds as text: "3 scores, 2 predictions, 1 evaluation run"."""
    nouns = {table: table.removesuffix("s").replace("_", " ") for table in counts}
    return ", ".join(counted(count, nouns[table]) for table, count in counts.items())


def _numbers(counts: Mapping[str, int]) -> dict[str, Any]:
    return {f"num_{table}": count for table, count in counts.items()}


def _print(document: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        write_json(document)
    else:
        note(sentence)


def _url(name: str, text: str) -> str:
    """Return a store's URL, read from a file if it is `@FILE`; exit if it is not valid."""
    file = Path(text[1:]) if text.startswith("@") else None
    try:
        text = file.read_text("utf-8-sig").strip() if file else text
        url = read_settings({"SCORELINE_STORE": text}).store
    except OSError as error:
        fail(f"{name}: {error.filename} cannot be read: {error.strerror}", 2)
    except UnicodeDecodeError:
        fail(f"{name}: {file} is not text in UTF-8", 2)
    except SettingsError as error:
        if file:  # What is in it may be secret.
            fail(f"{name}: {file} holds no valid URL of a store", 2)
        fail(str(error).replace("SCORELINE_STORE", name), 2)
    path = embedded_file(url)
    return f"sqlite:///{path.resolve()}" if path else url


@contextmanager
def _opened(name: str, url: str) -> Iterator[Store]:
    """Open and prepare a store, and close it at the end of the block."""
    try:
        opened = open_store(url)
    except ScorelineError as error:
        fail(str(error).replace("SCORELINE_STORE", name), 2)
    try:
        opened.prepare()
        yield opened
    finally:
        opened.close()


def _embedded(command: str, file: Path) -> Path:
    """Return the path of the embedded store, or exit if SCORELINE_STORE is another one."""
    try:
        url = read_settings(os.environ).store
    except SettingsError as error:
        fail(str(error), 2)
    path = embedded_file(url)
    if path is None:
        sides = (printable_url(url), f"sqlite:///{file}")
        source, target = sides if command == "backup" else sides[::-1]
        fail(
            f"{command} works only with the embedded store; use mongodump and mongorestore, or "
            f"`scoreline store copy {source} {target}`",
            2,
        )
    if path.resolve() == file.resolve():
        fail(f"{file} is the store itself", 2)
    return path


@contextmanager
def _failures(again: str) -> Iterator[None]:
    """Turn every failure of a store into one line and an exit code.

    `again` says what running the command again does after Ctrl-C.
    """
    try:
        with interruptible(f"run the same command {again}"):
            yield
    except Conflict as error:
        fail(str(error), 1)
    except StoreUnavailable as error:
        fail(str(error), 3)
    except ScorelineError as error:
        fail(str(error), 2)
