"""What the commands for one project of a running service share: options, a client, failures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click

from app.cli.client import Client, ServiceError, ServiceUnreachable
from app.cli.output import fail
from app.keytext import clean_key, decode_key


def of_a_project(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that every one has, and a client made of them."""

    @click.option("--project", required=True, help="entity/project")
    @click.option(
        "--url",
        envvar="SCORELINE_URL",
        default="http://127.0.0.1:8000",
        show_default=True,
        help="Where the service is; also SCORELINE_URL.",
    )
    @click.option(
        "--key-file",
        type=click.Path(dir_okay=False, path_type=Path),
        default="var/admin.key",
        show_default=True,
        help="A file that holds the API key, when SCORELINE_KEY is not set.",
    )
    @wraps(command)
    def with_client(project: str, url: str, key_file: Path, **rest: Any) -> None:
        if not all(project.partition("/")) or project.count("/") != 1:
            fail(f"--project is entity/project, not {project!r}", 2)
        with _failures():
            command(client=Client(url, _key(key_file), project), **rest)

    return with_client


def _key(file: Path) -> str:
    """Return the API key of SCORELINE_KEY or, where that is not set, of `file`."""
    given = os.environ.get("SCORELINE_KEY")
    try:
        return clean_key(given) if given else decode_key(file.read_bytes())
    except ValueError as error:
        fail(f"{'SCORELINE_KEY' if given else file} {error}", 2)
    except OSError as error:
        fail(f"SCORELINE_KEY is not set, and {file} cannot be read: {error.strerror}", 2)


@contextmanager
def _failures() -> Iterator[None]:
    """Every failure of the service becomes one line and an exit code."""
    try:
        yield
    except ServiceError as error:
        fail(str(error), 1)
    except ServiceUnreachable as error:
        fail(str(error), 3)


FILTERS = (
    click.option("--run", "evaluation_run_id", help="Only scores of this evaluation run."),
    click.option("--prediction", "prediction_id", help="Only scores of this prediction."),
    click.option("--scorer", help="Only scores by this scorer."),
    click.option("--created-after", help="Only scores created later than this moment."),
    click.option("--created-before", help="Only scores created earlier than this moment."),
    click.option("--limit", type=click.IntRange(min=0), help="At most so many."),
)


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filters of a list."""
    for option in reversed(FILTERS):
        command = option(command)
    return command
