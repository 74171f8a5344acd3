"""The command line: `scoreline serve`, and commands for a running service or its store."""

from __future__ import annotations


def main() -> None:
    """Run the command line; on Ctrl-C, print one line and exit with code 130."""
    try:
        # Imported here, so that Ctrl-C during the imports is caught too.
        from app.cli.root import scoreline

        scoreline(prog_name="scoreline")
    except KeyboardInterrupt:
        import sys

        sys.stderr.write("scoreline: interrupted; run the same command to start over\n")
        sys.exit(130)
