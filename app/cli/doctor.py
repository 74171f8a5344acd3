"""`scoreline doctor`: check settings, store and keys, and say what to repair."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from app.cli.base import Command
from app.errors import StoreRefused
from app.services import doctor as service
from app.services.limits import open_limit
from app.stores import open_store, shown
from app.stores.checks import FAIL, OK, CheckResult
from app.tracing import TracingUnavailable, check
from config.settings import SettingsError, read_settings


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, one a check.")
def doctor(*, as_json: bool) -> None:
    """Check settings, store and keys, and say what to repair.

    Nothing is changed, and a running service goes on. Below a check that warns or fails stands what
    to do.

    Example: scoreline doctor --json

    Exit codes: 0 no check fails; 1 one fails; 2 wrong use or a wrong setting.
    """
    verdicts = set()
    for result in _checks():
        verdicts.add((result.check, result.verdict))
        _show(result, as_json=as_json)
    if ("settings", FAIL) in verdicts:
        sys.exit(2)
    sys.exit(1 if FAIL in {verdict for _, verdict in verdicts} else 0)


def _checks() -> Iterator[CheckResult]:
    try:
        settings = read_settings(os.environ)
        store = open_store(settings.store)
        open_limit(settings.rate_limit, settings.rate_limit_store)
        check()
    except (SettingsError, StoreRefused, TracingUnavailable) as error:
        yield CheckResult("settings", FAIL, str(error), "see docs/settings.md")
        return
    yield CheckResult("settings", OK, f"all can be used; the store is {shown(settings.store)}")
    try:
        yield from service.check(store, settings.admin_key, Path(settings.admin_key_file))
    finally:
        store.close()


def _show(result: CheckResult, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(result)))
        return
    click.echo(f"{result.verdict:4}  {result.check}: {result.says}")
    if result.advice:
        click.echo(f"      {result.advice}")
