"""Run a golden checker against a real service: `python -m tests.conformance DIRECTORY`.

DIRECTORY holds check.py and golden.jsonl. Runs on the embedded store, and on MongoDB where there
is a server; exits 1 when an answer differs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests import mongodb
from tests.processes import running


def check(directory: Path, store: str) -> int:
    """Replay the golden rows against a service on `store`, and return the checker's exit code."""
    with tempfile.TemporaryDirectory() as place, running(Path(place), store) as service:
        program = [sys.executable, str(directory / "check.py"), str(directory / "golden.jsonl")]
        arguments = ["--url", service.url, "--key", service.key]
        return subprocess.run([*program, *arguments], check=False).returncode


def main() -> int:
    """Check every available engine, and return how many differ."""
    directory = Path(sys.argv[1])
    print("embedded store:", flush=True)
    failed = check(directory, "")
    print(f"MongoDB store: {mongodb.choice() or mongodb.NONE}", flush=True)
    if mongodb.choice():
        with mongodb.server() as uri:
            failed += check(directory, mongodb.with_database(uri, "scoreline_conformance"))
    return failed


if __name__ == "__main__":
    sys.exit(main())
