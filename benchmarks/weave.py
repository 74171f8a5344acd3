"""Measure an evaluation by Weave's SDK: the client's time, and the service's processor time."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from benchmarks import servers
from benchmarks.rounds import Plan, alternate, progress
from benchmarks.table import Row
from tests.processes import ADMIN_KEY, ROOT, environment

ROWS = 1_000
FEW_ROWS = 10
OURS, INSTANT = "Scoreline", "answers at once"
WHAT = f"evaluation of {ROWS:,} rows by Weave's SDK"
_TICKS = os.sysconf("SC_CLK_TCK")


def measure(plan: Plan, directory: Path) -> list[Row]:
    """Compare Scoreline with a server that answers at once and stores nothing."""
    if importlib.util.find_spec("weave") is None:
        progress("weave is not installed (make .venv/.interop): its evaluation is not measured")
        return []
    projects = (f"acme/bench-{number}" for number in count())
    processor: list[float] = []
    with ExitStack() as stack:
        ours = stack.enter_context(servers.scoreline(directory))
        instant = stack.enter_context(servers.instant(directory))

        for each in (ours, instant):  # What a service does once is part of no evaluation.
            _evaluate(each.url, next(projects), directory, FEW_ROWS)

        def evaluate_here() -> float:
            before = _processor_seconds(ours.pid)
            seconds = _evaluate(ours.url, next(projects), directory)
            processor.append(_processor_seconds(ours.pid) - before)
            return seconds

        sides = {
            OURS: evaluate_here,
            INSTANT: lambda: _evaluate(instant.url, next(projects), directory),
        }
        measured = alternate(WHAT, sides, min(plan.rounds, 3))
    return [
        Row(f"{WHAT}, client", OURS, INSTANT, " s", measured[OURS], measured[INSTANT]),
        Row(f"{WHAT}, processor time of the service", OURS, "", " s", processor),
    ]


def _evaluate(url: str, project: str, directory: Path, rows: int = ROWS) -> float:
    """Return how many seconds the evaluation of one program takes."""
    variables = {
        "PYTHONPATH": str(ROOT),
        "WANDB_BASE_URL": url,
        "WANDB_API_KEY": ADMIN_KEY,
        "WANDB_ERROR_REPORTING": "false",
        "WEAVE_USE_SERVER_CACHE": "false",
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.evaluation", project, str(rows)],
        cwd=directory,
        env={**environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    return float(done.stdout.split()[-1])


def _processor_seconds(pid: int) -> float:
    """Return the processor time of a process and of its children that are running."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(_ticks(each) for each in (str(pid), *children)) / _TICKS


def _ticks(pid: str) -> int:
    """Return the user and system time of a process in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
