"""`scoreline doctor`: check the settings, the store and the keys."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from app.analysis.prices import InvalidPrices, read_prices
from app.cli.base import Command
from app.errors import StoreRefused
from app.services import doctor as service
from app.services.limits import open_limit
from app.stores import open_store, printable_url
from app.stores.checks import FAIL, OK, CheckResult
from app.tracing import TracingUnavailable, check
from config.settings import SettingsError, read_settings


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per check.")
def doctor(*, as_json: bool) -> None:
    """Check settings, store and keys, and print how to fix what is wrong.

    The check changes nothing, and the service may keep running. Each warning and failure is
    followed by a line that says what to do.

    Example: scoreline doctor --json

    Exit codes: 0 no check failed; 1 a check failed; 2 wrong usage or a wrong setting.
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
        read_prices(settings.prices)
        check()
    except (SettingsError, StoreRefused, TracingUnavailable, InvalidPrices) as error:
        yield CheckResult("settings", FAIL, str(error), "see docs/settings.md")
        return
    yield CheckResult(
        "settings", OK, f"all settings are valid; the store is {printable_url(settings.store)}"
    )
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
