"""What the commands for one project of a running service share: options, and a client of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from app.cli.client import Client
from app.cli.output import fail, note
from app.keytext import clean_key, decode_key

LOCAL = re.compile(r"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?(/.*)?", re.IGNORECASE)
"""Addresses that may go without a scheme: no key leaves the machine."""


def of_a_project(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that every one has, and a client made of them."""

    @click.option("--project", required=True, help="The project, as entity/project.")
    @click.option(
        "--url",
        envvar="SCORELINE_URL",
        default="http://127.0.0.1:8000",
        show_default=True,
        help="Where the service is; also SCORELINE_URL.",
    )
    @click.option(
        "--key-file",
        type=click.Path(path_type=Path),
        default="var/admin.key",
        show_default=True,
        help="A file that holds the API key, when SCORELINE_KEY is not set.",
    )
    @wraps(command)
    def with_client(project: str, url: str, key_file: Path, **rest: Any) -> None:
        if not all(project.partition("/")) or project.count("/") != 1:
            fail(f"--project is entity/project, not {project!r}", 2)
        command(client=Client(service_url(url), _key(key_file), project), **rest)

    return with_client


def service_url(text: str) -> str:
    """Return the address of the service, without a slash at its end, or end the command."""
    url = text.strip()
    if LOCAL.fullmatch(url):
        url = f"http://{url}"
    problem = _problem(url)
    if problem:
        fail(f"the service's URL (SCORELINE_URL, --url) {problem}", 2)
    return url.rstrip("/")


def _problem(url: str) -> str | None:
    """Say what is wrong with the address; it may hold a password, so it is not repeated whole."""
    scheme, separator, _ = url.partition("://")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is not a URL: {error}"
    problems = {
        "holds characters that no URL has": not re.fullmatch("[!-~]+", url),
        "has no scheme: write http:// or https:// before it": not separator,
        f"begins with {scheme}://, not http:// or https://": parts.scheme not in ("http", "https"),
        "holds a user name or password: put the API key into SCORELINE_KEY": "@" in parts.netloc,
        "names no host": not parts.hostname or port == 0,
        "has a query or fragment: write only http://HOST:PORT/PREFIX": "?" in url or "#" in url,
    }
    return next((problem for problem, is_so in problems.items() if is_so), None)


def _key(file: Path) -> str:
    """Return the API key of SCORELINE_KEY or, where that is not set, of `file`."""
    given = os.environ.get("SCORELINE_KEY")
    try:
        return clean_key(given) if given else decode_key(file.read_bytes())
    except ValueError as error:
        fail(f"{'SCORELINE_KEY' if given else file} {error}", 2)
    except OSError as error:
        fail(f"SCORELINE_KEY is not set, and {file} cannot be read: {error.strerror}", 2)


FILTERS = (
    click.option("--run", "evaluation_run_id", help="Only scores of this evaluation run."),
    click.option("--prediction", "prediction_id", help="Only scores of this prediction."),
    click.option("--scorer", help="Only scores by this scorer."),
    click.option("--created-at-from", help="Only scores created at this time or later."),
    click.option("--created-at-to", help="Only scores created earlier than this time."),
    click.option("--created-after", help="Only scores created later than this time."),
    click.option("--created-before", help="Only scores created earlier than this time."),
    click.option("--limit", type=click.IntRange(min=0), help="At most so many."),
)


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filters of a list."""
    for option in reversed(FILTERS):
        command = option(command)
    return command


def why_nothing(client: Client, run: str | None) -> str | None:
    """Return that the project, or this run of it, has no scores; None where it has some."""
    if not list(client.lines({}, 1)):
        return f"no scores in {client.project}"
    if run and not list(client.lines({"evaluation_run_id": run}, 1)):
        return f"no scores of run {run} in {client.project}"
    return None


def say_nothing_found(client: Client, run: str | None) -> None:
    """End the command where the project or the run has no scores; else say that none match."""
    if why := why_nothing(client, run):
        fail(why, 1)
    note("no scores match")
