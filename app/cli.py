"""The command line: `scoreline serve` and `scoreline keys`; it calls the services."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import NoReturn

import click

from app.errors import NotFound, ScorelineError
from app.services import keys as service
from app.stores import open_store
from app.stores.base import ApiKey, Store
from config.settings import SettingsError, read_settings


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Settings are environment variables; docs/settings.md lists them. "
    "Exit codes: 0 done, 1 refused or not found, 2 wrong use or a wrong setting.",
)
@click.version_option(package_name="scoreline", prog_name="scoreline")
def main() -> None:
    """Keep the scores of LLM evaluations."""


@main.command()
def serve() -> None:
    """Serve over HTTP until SIGTERM or Ctrl-C.

    Listens on 127.0.0.1:8000 and keeps scores in var/scoreline.db unless SCORELINE_HOST, PORT and
    SCORELINE_STORE say otherwise. The first start makes the administrator's key.
    """
    os.environ.setdefault("SCORELINE_HOST", "127.0.0.1")
    config = str(resources.files("config") / "gunicorn.py")
    sys.stdout.flush()
    os.execv(  # noqa: S606 - gunicorn takes this process's place; no shell is wanted.
        sys.executable,
        [sys.executable, "-m", "gunicorn", "--config", config, "app:create_app()"],
    )


@main.group()
def keys() -> None:
    """Create, list and revoke API keys, directly in the store."""


@keys.command("create")
@click.option("--name", required=True, help="What the key is for; shown in lists.")
@click.option(
    "--role",
    required=True,
    type=click.Choice(list(service.ROLES)),
    help="create: POST scores only; read; write: create, read, delete; admin: keys too.",
)
@click.option("--scope", required=True, help="entity/project, entity/* or *")
@click.option("--owner", help="Who its scores are attributed to (wb_user_id); default: the name.")
def keys_create(name: str, role: str, scope: str, owner: str | None) -> None:
    """Create a key and print it: it is shown this once."""
    with _opened_store() as store:
        key, secret = service.create_key(store, name=name, role=role, scope=scope, owner=owner)
    click.echo(f"created {key.role} key {key.key_id} for {key.scope}; it is shown once:", err=True)
    click.echo(secret)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def keys_list(*, as_json: bool) -> None:
    """List all keys, oldest first, revoked ones too."""
    with _opened_store() as store:
        found = service.list_keys(store)
    if as_json:
        for key in found:
            click.echo(json.dumps(_shown(key)))
        return
    rows = [list(_shown(key)) for key in found[:1]] + [
        [value or "-" for value in _shown(key).values()] for key in found
    ]
    for line in _table(rows):
        click.echo(line)


@keys.command("revoke")
@click.argument("key_id")
def keys_revoke(key_id: str) -> None:
    """Revoke the key with this id: it stops working within a second."""
    with _opened_store() as store:
        service.revoke_key(store, key_id)
    click.echo(f"revoked {key_id}", err=True)


@contextmanager
def _opened_store() -> Iterator[Store]:
    """The store of the settings, ready; every error becomes one line and an exit code."""
    try:
        store = open_store(read_settings(os.environ).store)
        try:
            store.prepare()
            yield store
        finally:
            store.close()
    except NotFound as error:
        _fail(str(error), 1)
    except (ScorelineError, SettingsError) as error:
        _fail(str(error), 2)


def _fail(message: str, exit_code: int) -> NoReturn:
    click.echo(f"scoreline: {message}", err=True)
    sys.exit(exit_code)


def _shown(key: ApiKey) -> dict[str, str | None]:
    return {
        "id": key.key_id,
        "name": key.name,
        "role": key.role,
        "scope": key.scope,
        "owner": key.owner,
        "created_at": key.created_at.isoformat(timespec="seconds"),
        "revoked_at": key.revoked_at.isoformat(timespec="seconds") if key.revoked_at else None,
    }


def _table(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


if __name__ == "__main__":
    main(prog_name="scoreline")
