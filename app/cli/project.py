"""Options of commands that work on one project of a running service, and its client."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from app.cli.base import fail, note
from app.cli.client import Client, ServiceClient
from app.keytext import clean_key, decode_key

DOTS = {".", ".."}
"""Segments that clients and proxies remove from the path of a URL (RFC 3986, section 5.2.4)."""

LOCAL = re.compile(r"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?(/.*)?", re.IGNORECASE)
"""Addresses that need no scheme, because the key does not leave the machine."""

MEANT = (
    "its id or its name; latest:KEY=VALUE, the newest completed run with this attribute, such as "
    "latest:branch=main; or approved, the run that was approved last."
)
"""How a run is named."""

BASELINE = f"The run to compare with: {MEANT}"

PAIR_BY = (
    "What the predictions of a pair have in common: example, prediction_id, order, before:TEXT, "
    "after:TEXT or leaf:PATH. Default: the example, or the id if one has none."
)

SERVICE_OPTIONS = (
    click.option(
        "--url",
        envvar="SCORELINE_URL",
        default="http://127.0.0.1:8000",
        show_default=True,
        help="The URL of the service; also SCORELINE_URL.",
    ),
    click.option(
        "--key-file",
        type=click.Path(path_type=Path),
        default="var/admin.key",
        show_default=True,
        help="A file with the API key, used if SCORELINE_KEY is not set.",
    ),
)


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --url and --key-file to a command, and pass it a client made from them."""

    @wraps(command)
    def with_client(url: str, key_file: Path, **rest: Any) -> None:
        command(client=ServiceClient(service_url(url), _key(key_file)), **rest)

    return _with_options(with_client, SERVICE_OPTIONS)


def project_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --project, --url and --key-file to a command, and pass it a client made from them."""

    @wraps(command)
    def with_client(project: str, url: str, key_file: Path, **rest: Any) -> None:
        if not all(project.partition("/")) or project.count("/") != 1:
            fail(f"--project must be entity/project, not {project!r}", 2)
        if DOTS & set(project.split("/")):
            fail(f"--project cannot be {project!r}: a URL cannot name it", 2)
        command(client=Client(service_url(url), _key(key_file), project), **rest)

    option = click.option("--project", required=True, help="The project, as entity/project.")
    return _with_options(with_client, (option, *SERVICE_OPTIONS))


Option = Callable[[Callable[..., None]], Callable[..., None]]


def _with_options(command: Callable[..., None], options: Sequence[Option]) -> Callable[..., None]:
    for option in reversed(options):
        command = option(command)
    return command


def service_url(text: str) -> str:
    """Return the URL of the service without a trailing slash, or exit if it is not valid."""
    url = text.strip()
    if LOCAL.fullmatch(url):
        url = f"http://{url}"
    problem = _problem(url)
    if problem:
        fail(f"the service's URL (SCORELINE_URL, --url) {problem}", 2)
    return url.rstrip("/")


def _problem(url: str) -> str | None:
    """Return what is wrong with the URL, without repeating it: it may contain a password."""
    scheme, separator, _ = url.partition("://")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is not a URL: {error}"
    problems = {
        "contains characters that are not allowed in a URL": not re.fullmatch("[!-~]+", url),
        "has no scheme: it must begin with http:// or https://": not separator,
        f"begins with {scheme}://, not http:// or https://": parts.scheme not in ("http", "https"),
        "contains a user name or password: set SCORELINE_KEY instead": "@" in parts.netloc,
        "has no host or a wrong port": not parts.hostname or port == 0,
        "has a query or fragment: write only http://HOST:PORT/PREFIX": "?" in url or "#" in url,
    }
    return next((problem for problem, is_so in problems.items() if is_so), None)


def _key(file: Path) -> str:
    """Return the API key from SCORELINE_KEY, or from `file` if that is not set."""
    given = os.environ.get("SCORELINE_KEY")
    try:
        return clean_key(given) if given else decode_key(file.read_bytes())
    except ValueError as error:
        fail(f"{'SCORELINE_KEY' if given else file} {error}", 2)
    except OSError as error:
        fail(f"SCORELINE_KEY is not set, and {file} cannot be read: {error.strerror}", 2)


FILTERS = (
    click.option("--run", "evaluation_run_id", help="Only scores of the run with this id."),
    click.option("--prediction", "prediction_id", help="Only scores of this prediction."),
    click.option("--scorer", help="Only scores by this scorer."),
    click.option("--created-at-from", help="Only scores created at or after this time."),
    click.option("--created-at-to", help="Only scores created before this time."),
    click.option("--created-after", help="Only scores created after this time."),
    click.option("--created-before", help="Only scores created before this time."),
    click.option("--limit", type=click.IntRange(min=0), help="The most scores to return."),
)


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the filters of a list of scores to a command."""
    return _with_options(command, FILTERS)


LIST = (
    click.option("--limit", type=click.IntRange(min=0), help="The most to return."),
    click.option(
        "--json", "as_json", is_flag=True, help="Print all as JSON lines, as the API does."
    ),
)


def list_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --limit and --json to a command that prints a list."""
    return _with_options(command, LIST)


def why_no_scores(client: Client, run: str | None) -> str | None:
    """Return a message if the project or this run has no scores; otherwise None."""
    if not list(client.lines({}, 1)):
        return f"no scores in {client.project}"
    if run and not list(client.lines({"evaluation_run_id": run}, 1)):
        return f"no scores of run {run} in {client.project}"
    return None


def report_no_scores(client: Client, run: str | None) -> None:
    """Exit if the project or the run has no scores; otherwise say that no scores match."""
    if why := why_no_scores(client, run):
        fail(why, 1)
    note("no scores match")
