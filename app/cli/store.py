"""`scoreline store`: back up, restore and copy what a store holds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from app.cli.base import Group, interruptible
from app.cli.output import fail, note, progress, write_json
from app.errors import Conflict, ScorelineError, StoreUnavailable
from app.services.copies import Copied, copy_store
from app.stores import embedded_file, open_store, shown
from app.stores.base import Store
from app.stores.sqlite.backup import back_up
from app.stores.sqlite.backup import restore as restore_backup
from config.settings import SettingsError, read_settings

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=Group)
def store() -> None:
    """Back up, restore and copy a store: its scores and API keys."""


@store.command()
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON document.")
@click.argument("file", type=FILE)
def backup(file: Path, *, force: bool, as_json: bool) -> None:
    """Copy the embedded store into FILE, while it runs.

    It is the store of the settings, as it is at this moment; it may be written to meanwhile. FILE
    appears whole and checked, or not at all; only you may read it. A MongoDB store is backed up by
    MongoDB's own tools, or copied into a file by `scoreline store copy`.

    Example: scoreline store backup /srv/backups/scores.db
    """
    path = _embedded("backup", file)
    if file.exists() and not force:
        fail(f"{file} is there already; --force replaces it", 2)
    with _failures(), progress("backing up") as advance:
        count = back_up(path, file, advance)
    _tell({"num_scores": count}, f"{file} holds {count} scores, checked", as_json=as_json)


@store.command()
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON document.")
@click.argument("file", type=FILE)
def restore(file: Path, *, as_json: bool) -> None:
    """Replace the embedded store by a backup.

    It is the store of the settings. Refused while a service uses the store. The store that stood
    there is kept beside it, with the time in its name. API keys are the backup's.

    Example: scoreline store restore /srv/backups/scores.db
    """
    path = _embedded("restore", file)
    with _failures(), progress("restoring") as advance:
        count, kept = restore_backup(file, path, advance)
    document = {"num_scores": count, "replaced_store": str(kept) if kept else None}
    _tell(document, f"{path} holds {count} scores", as_json=as_json)
    if kept:
        note(f"the store before is {kept}; remove it when you do not need it")


@store.command()
@click.option(
    "--delete-extra",
    is_flag=True,
    help="Delete scores that only the target has; use it only while nobody else writes there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as one JSON document.")
@click.argument("from_url")
@click.argument("to_url")
def copy(from_url: str, to_url: str, *, delete_extra: bool, as_json: bool) -> None:
    """Copy one store into another, and compare them.

    Every score and API key is copied. FROM_URL and TO_URL are written as SCORELINE_STORE is; @FILE
    takes one from a file, so that no password stands in the list of processes. Both may be in use:
    what comes meanwhile is copied by the same command, made again. So is what is missing after an
    interruption. Nothing is overwritten: what is another in the target is an error that names it.

    Exit codes: 0 both hold the same, as far as the source went at the beginning; 1 they do not;
    2 wrong use; 3 a store does not answer, try again.

    Example: scoreline store copy sqlite:////srv/scoreline.db @mongodb.url
    """
    with _failures(), ExitStack() as opened:
        source_url, target_url = _url("FROM_URL", from_url), _url("TO_URL", to_url)
        if source_url == target_url:
            fail("FROM_URL and TO_URL are the same store", 2)
        file = embedded_file(source_url)
        if file and not file.exists():
            fail(f"there is no store at {file}", 2)
        source = opened.enter_context(_opened("FROM_URL", source_url))
        target = opened.enter_context(_opened("TO_URL", target_url))
        done, twice = 0, 2 * source.extent().scores
        with progress("copying and comparing", twice) as advance:

            def note(more: int) -> None:
                nonlocal done
                done += more
                advance(min(done, twice), None)

            copied = copy_store(source, target, delete_extra=delete_extra, note=note)
    if as_json:
        _report_json(copied)
    else:
        _report(copied, shown(source_url), shown(target_url))


def _tell(document: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        write_json(document)
    else:
        note(sentence)


def _report_json(copied: Copied) -> None:
    found = copied.difference
    write_json(
        {
            "equal": found.equal,
            "num_copied": copied.scores,
            "num_keys_copied": copied.keys,
            "num_deleted": copied.deleted,
            "num_new": copied.came_since,
            "num_extra": len(found.extra),
            "source": {"num_scores": found.source.scores, "sha256": found.source.digest},
            "target": {"num_scores": found.target.scores, "sha256": found.target.digest},
        }
    )
    if not found.equal:
        sys.exit(1)


def _report(copied: Copied, source: str, target: str) -> None:
    found = copied.difference
    click.echo(f"copied {copied.scores} scores and {copied.keys} API keys")
    if copied.deleted:
        click.echo(f"deleted {copied.deleted} scores that only the target had")
    click.echo(f"{source}: {found.source.scores} scores, sha256 {found.source.digest}")
    click.echo(f"{target}: {found.target.scores} scores, sha256 {found.target.digest}")
    if copied.came_since:
        click.echo(f"about {copied.came_since} scores came meanwhile: copy again to have them")
    if found.equal:
        click.echo(f"the same up to score {found.horizon}" if found.horizon else "both are empty")
        return
    if found.extra:
        click.echo(
            f"scores that only the target has: {len(found.extra)}, such as {found.extra[0][2]}; "
            "--delete-extra deletes them there"
        )
    fail("the two do not hold the same", 1)


def _url(name: str, text: str) -> str:
    """Return a store's URL as given, or from the file given, checked as a setting is."""
    try:
        text = Path(text[1:]).read_text("utf-8").strip() if text.startswith("@") else text
        url = read_settings({"SCORELINE_STORE": text}).store
    except OSError as error:
        fail(f"{name}: {error.filename} cannot be read: {error.strerror}", 2)
    except SettingsError as error:
        fail(str(error).replace("SCORELINE_STORE", name), 2)
    file = embedded_file(url)
    return f"sqlite:///{file.resolve()}" if file else url


@contextmanager
def _opened(name: str, url: str) -> Iterator[Store]:
    """Open a store, ready."""
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
    """Return the file of the settings' store, which `command` works on."""
    try:
        url = read_settings(os.environ).store
    except SettingsError as error:
        fail(str(error), 2)
    path = embedded_file(url)
    if path is None:
        sides = (shown(url), f"sqlite:///{file}")
        source, target = sides if command == "backup" else sides[::-1]
        fail(
            f"{command} is for the embedded store. Use mongodump and mongorestore, or "
            f"`scoreline store copy {source} {target}`",
            2,
        )
    if path.resolve() == file.resolve():
        fail(f"{file} is the store itself", 2)
    return path


@contextmanager
def _failures() -> Iterator[None]:
    """Turn every failure of a store into one line and an exit code."""
    try:
        with interruptible("the same command goes on"):
            yield
    except Conflict as error:
        fail(str(error), 1)
    except StoreUnavailable as error:
        fail(str(error), 3)
    except ScorelineError as error:
        fail(str(error), 2)
