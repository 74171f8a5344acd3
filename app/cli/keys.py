"""`scoreline keys`: create, list and revoke API keys, directly in the store."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from app.cli.output import fail, table
from app.errors import NotFound, ScorelineError, StoreUnavailable
from app.services import keys as service
from app.stores import open_store
from app.stores.base import ApiKey, Store
from config.settings import SettingsError, read_settings


@click.group()
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
        found = [_shown(key) for key in service.list_keys(store)]
    if as_json:
        for key in found:
            click.echo(json.dumps(key))
    elif found:
        table(list(found[0]), [[value or "-" for value in key.values()] for key in found])


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
        fail(str(error), 1)
    except StoreUnavailable as error:
        fail(str(error), 3)
    except (ScorelineError, SettingsError) as error:
        fail(str(error), 2)


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
