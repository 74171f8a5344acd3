"""The command line: `scoreline serve`, and commands for a running service or its store."""

from __future__ import annotations


def main() -> None:
    """Run the command of the arguments; Ctrl-C ends it with one line and exit code 130."""
    try:
        # Imported here, so that Ctrl-C during the imports is caught too.
        from app.cli.root import scoreline

        scoreline(prog_name="scoreline")
    except KeyboardInterrupt:
        import sys

        sys.stderr.write("scoreline: interrupted; the same command starts again\n")
        sys.exit(130)
