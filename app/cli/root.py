"""The `scoreline` command, and the list of its subcommands."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from app.cli.base import Command, Group, failures, flush, missing_modules

EXIT_CODES = """\b
Exit codes:
  0    success
  1    refused, failed, or not found
  2    wrong usage, a wrong setting, or a file that cannot be read or written
  3    the service or its store does not respond: try again
  130  interrupted by Ctrl-C
  141  the reader of the output closed it (`| head`)
`gate` exits with 0 if it passed, 1 if it failed, 4 if it is inconclusive, and 2 without a result.
"""

COMMANDS = {
    "agreement": ("app.cli.agreement:agreement", "Say how far two judges agree."),
    "compare": ("app.cli.answers:compare", "Say whether a run is better than another."),
    "doctor": ("app.cli.doctor:doctor", "Check settings, store and keys."),
    "export": ("app.cli.transfers:export", "Export scores as JSON lines, CSV or Parquet."),
    "gate": ("app.cli.gates:gate", "Check a run against limits, for CI."),
    "import": ("app.cli.transfers:import_", "Import exports of Scoreline and other services."),
    "keys": ("app.cli.keys:keys", "Create, list and revoke API keys, directly in the store."),
    "metrics": ("app.cli.metrics:metrics", "Declare which values are better, true and allowed."),
    "predictions": (
        "app.cli.listing:predictions",
        "Add predictions, and list what a run has or lacks.",
    ),
    "projects": ("app.cli.listing:projects", "List the projects that the key may read."),
    "runs": ("app.cli.runs:runs", "Create, finish, list, change and delete evaluation runs."),
    "scorers": ("app.cli.listing:scorers", "List scorers and the leaves of their values."),
    "scores": ("app.cli.scores:scores", "Add, list, follow, get and delete scores."),
    "serve": ("app.cli.root:serve", "Serve over HTTP until SIGTERM or Ctrl-C."),
    "store": ("app.cli.store:store", "Back up, restore, copy and prune a store."),
    "summary": ("app.cli.answers:summary", "Show means and rates with their intervals."),
    "trend": ("app.cli.trends:trend", "Show one metric over the newest runs."),
}
"""The module and the help line of each command.

Commands are imported when they are used. So the help is fast, and the commands that talk to a
running service import nothing of the server.
"""


class Root(Group):
    """A group that imports the command in use, and reports its failures in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command by name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help lines of the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line, and print a failure while parsing it as one line on stderr."""
        with failures():
            return super().main(*args, **options)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Parse the options; click would report Ctrl-C with code 1."""
        with failures():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and turn a failure into one line on stderr and an exit code."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # Escape what the terminal's encoding cannot show.
                stream.reconfigure(errors="backslashreplace")
        with failures(), missing_modules():
            try:
                return super().invoke(ctx)
            finally:
                flush()


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"{EXIT_CODES}\nSettings are environment variables: see docs/settings.md.",
)
@click.version_option(package_name="scoreline", prog_name="scoreline")
def scoreline() -> None:
    """Store, list and compare the scores of LLM evaluations.

    Example: scoreline scores add --project acme/demo --file scores.jsonl
    """


@click.command(cls=Command)
def serve() -> None:
    """Serve over HTTP until SIGTERM or Ctrl-C.

    Listens on 127.0.0.1:8000 and stores scores in var/scoreline.db, unless SCORELINE_HOST, PORT
    and SCORELINE_STORE are set. The first start creates the administrator's key.

    Example: PORT=8080 scoreline serve
    """
    os.environ.setdefault("SCORELINE_HOST", "127.0.0.1")
    from app.startup import Server

    Server().run()
