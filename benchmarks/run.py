"""`python -m benchmarks.run`: compare Scoreline with other ways to store scores.

Every ratio is of values that were measured right after each other on the same machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from benchmarks import analysis, batches, creates, footprint, raw, reads, servers, table, weave, wrk
from benchmarks.machine import IN_MEMORY, filesystem, machine
from benchmarks.rounds import FULL, QUICK, Plan
from tests import mongodb

PARTS = ("creates", "batches", "reads", "analysis", "footprint", "weave")
NOTE = (
    "ratio: median of the rounds' ratios, side divided by against. "
    "A rate is better above 1, a time below. Medians in brackets, [side : against]."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Return 2 if something is missing, and 1 after an interruption."""
    options = _options(arguments)
    directory = Path(options.directory)
    if problem := _problem(directory):
        print(f"benchmarks: {problem}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _stop)
    rows: list[table.Row] = []
    try:
        _run(options, directory, rows)
    except (KeyboardInterrupt, wrk.BrokenLoad) as error:
        print(f"benchmarks: broken off: {str(error) or 'interrupted'}", file=sys.stderr)
        return 1
    finally:
        if rows:
            print(table.markdown(rows) if options.markdown else table.plain(rows))
            print(f"\n{NOTE}")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 5, fewer scores")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument(
        "--directory", default="var", help="where all servers write; on a disk (default: var)"
    )
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="measure only this part; may be repeated"
    )
    return parser.parse_args(arguments)


def _stop(*_: object) -> NoReturn:
    sys.exit(143)  # Raises SystemExit, so that all servers are stopped.


def _problem(directory: Path) -> str | None:
    """Return why nothing can be measured here, or None."""
    if wrk.is_missing():
        return wrk.MISSING
    directory.mkdir(parents=True, exist_ok=True)
    if (kind := filesystem(directory)) in IN_MEMORY:
        return f"{directory} is on {kind}, where nothing is durable: use a --directory on a disk"
    for module in ("fastapi", "uvicorn", "uvloop", "httptools"):
        if not importlib.util.find_spec(module):
            return f"{module} is not installed: make bench, or pip install '.[bench]'"
    return None


def _run(options: argparse.Namespace, parent: Path, rows: list[table.Row]) -> None:
    """Measure the chosen parts, and append the results to `rows`."""
    plan = QUICK if options.quick else FULL
    parts = options.only or PARTS
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="bench-", dir=parent.resolve())
        directory = Path(stack.enter_context(made))
        print(_settings(plan, directory), flush=True)
        if "creates" in parts:
            # The MongoDB server of the tests writes to Python's temporary directory.
            tempfile.tempdir = str(directory)
            with mongodb.server() if mongodb.choice() else nullcontext("") as uri:
                rows += creates.measure(plan, directory, uri)
        sides = {
            "batches": batches,
            "reads": reads,
            "analysis": analysis,
            "footprint": footprint,
            "weave": weave,
        }
        for name, part in sides.items():
            if name in parts:
                rows += part.measure(plan, directory)


def _settings(plan: Plan, directory: Path) -> str:
    """Return the date, the machine and the settings of each side."""
    command = shlex.join(["python", "-m", "benchmarks.run", *sys.argv[1:]])
    sides = {
        **servers.settings(),
        creates.MONGODB: _mongodb(plan),
        creates.RAW: raw.SETTINGS,
        "load": f"{wrk.SETTINGS}, {plan.seconds} s a measurement, {plan.rounds} rounds; "
        "batches and the list by one Python client",
        "files": f"{filesystem(directory)}, each server in a new directory",
    }
    lines = [f"- date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", f"- machine: {machine()}"]
    lines += [f"- command: `{command}`", *(f"- {name}: {text}" for name, text in sides.items())]
    return "\n".join(lines) + "\n"


def _mongodb(plan: Plan) -> str:
    choice = mongodb.choice()
    if not choice:
        return f"skipped, {mongodb.NONE}"
    words = re.sub(r"/\S*/", "", choice)  # Remove the path of the program.
    return f"Scoreline as above, on {words}; {plan.mongodb_seconds} s a measurement"


if __name__ == "__main__":
    sys.exit(main())
