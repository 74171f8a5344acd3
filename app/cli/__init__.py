"""The command line: `scoreline serve`, and what works on a service or its store."""

from __future__ import annotations

import os

import click

from app.cli.doctor import doctor
from app.cli.exports import export
from app.cli.gates import gate
from app.cli.imports import import_
from app.cli.keys import keys
from app.cli.scores import scores
from app.cli.store import store

EXIT_CODES = (
    "Exit codes: 0 done; 1 refused or not found; 2 wrong use or a wrong setting; "
    "3 the service or its store does not answer, try again."
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Settings are environment variables; docs/settings.md lists them. {EXIT_CODES}",
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
    from app.startup import Server

    Server().run()


for command in (doctor, export, gate, import_, keys, scores, store):
    main.add_command(command)
