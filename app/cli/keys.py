"""`scoreline keys`: create, list and revoke API keys, directly in the store."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click

from app.cli.base import Group, counted, fail, note, table, write_json
from app.datetimes import InvalidDatetime, names_zone, parse_datetime
from app.errors import NotFound, ScorelineError, StoreRefused, StoreUnavailable
from app.logs import STDERR, configure_logging
from app.schemas.keys import KeyReadRes, KeyRevokeRes
from app.services import keys as service
from app.services.permissions import ROLES
from app.stores import embedded_file, open_store
from app.stores.base import Store
from config.settings import SettingsError, read_settings

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.group(cls=Group)
def keys() -> None:
    """Create, list and revoke API keys, directly in the store."""


def _moment(_context: click.Context, _option: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = parse_datetime(text)
    except InvalidDatetime as error:
        raise click.BadParameter(error.message) from None
    if not names_zone(text):
        raise click.BadParameter("no time zone; add Z for UTC")
    return moment


def _time_from_now(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> datetime | None:
    if text is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhdw])", text, re.ASCII)
    if not match:
        raise click.BadParameter("must be a whole number followed by m, h, d or w, such as 90d")
    return datetime.now(UTC) + timedelta(**{UNITS[match[2]]: int(match[1])})


@keys.command("create")
@click.option("--name", required=True, help="What the key is for; shown in lists.")
@click.option(
    "--role",
    required=True,
    type=click.Choice(list(ROLES)),
    help="create: only create; read: only read; write: also import and delete; admin: also keys.",
)
@click.option(
    "--scope", required=True, help="Where the key is valid: entity/project, entity/* or *."
)
@click.option("--owner", help="The wb_user_id of its scores. Default: the name.")
@click.option(
    "--expires-at", callback=_moment, help="When it expires, such as 2030-01-31T12:00:00Z."
)
@click.option(
    "--expires-in", callback=_time_from_now, help="How long it is valid, such as 12h or 90d."
)
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON response.")
def keys_create(
    name: str,
    role: str,
    scope: str,
    owner: str | None,
    expires_at: datetime | None,
    expires_in: datetime | None,
    *,
    as_json: bool,
) -> None:
    """Create a key and print it. It cannot be shown again."""
    if expires_at and expires_in:
        raise click.UsageError("--expires-at and --expires-in cannot be used together")
    end = expires_at or expires_in
    with _opened_store(create=True) as store:
        key, secret = service.create_key(
            store, name=name, role=role, scope=scope, owner=owner, expires_at=end
        )
    if as_json:
        write_json({**KeyReadRes().dump(key), "key": secret})
        return
    click.echo(f"created {key.role} key {key.key_id} for {key.scope}; shown only once:", err=True)
    click.echo(secret)


@keys.command("list")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object per line, as in the API.",
)
def keys_list(*, as_json: bool) -> None:
    """List all keys, oldest first, including revoked ones."""
    with _opened_store() as store:
        found = [KeyReadRes().dump(key) for key in service.list_keys(store)]
    if as_json:
        for key in found:
            write_json(key)
    elif found:
        table(list(found[0]), [[value or "-" for value in key.values()] for key in found])


@keys.command("revoke")
@click.argument("key_id")
@click.option(
    "--cascade",
    is_flag=True,
    help="Also revoke the keys that were created with it, those created with these, and so on.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the API's JSON response.")
def keys_revoke(key_id: str, *, cascade: bool, as_json: bool) -> None:
    """Revoke the key with this id; it stops working within a second."""
    with _opened_store() as store:
        revoked = service.revoke_key(store, key_id, cascade=cascade)
    if as_json:
        write_json(KeyRevokeRes().dump({**asdict(revoked.key), **asdict(revoked)}))
        return
    note(f"{key_id} was revoked before" if revoked.was_revoked else f"revoked {key_id}")
    if cascade:
        note(f"revoked {counted(revoked.also_revoked, 'key')} created with it")
    elif revoked.left_in_use:
        note(
            f"still in use: {counted(revoked.left_in_use, 'key')} created with it; "
            f"to revoke all of them: scoreline keys revoke --cascade {key_id}"
        )


@contextmanager
def _opened_store(*, create: bool = False) -> Iterator[Store]:
    """Open and prepare the store of the settings, and close it at the end of the block.

    Only with `create` is a missing embedded store created. Every error becomes one line and an exit
    code. Log lines, including those of the audit log, go to stderr: stdout is for the result.
    """
    try:
        settings = read_settings(os.environ)
        configure_logging(settings.log_level, STDERR)
        store = open_store(settings.store)
        file = embedded_file(settings.store)
        if file and not file.exists() and not create:
            raise StoreRefused(f"there is no store at {file}; SCORELINE_STORE names another")
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
