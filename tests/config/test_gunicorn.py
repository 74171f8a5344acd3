"""Tests of config/gunicorn.py."""

from __future__ import annotations

import subprocess
import sys

from tests.processes import ROOT, environment

FORKS = """
import os, signal
from config.gunicorn import end_early_workers

end_early_workers()
signal.signal(signal.SIGTERM, lambda *_: None)  # As the master does.
for _ in range(100):
    worker = os.fork()
    if not worker:
        signal.alarm(20)
        while True:
            signal.pause()
    os.kill(worker, signal.SIGTERM)
    print(signal.Signals(os.WTERMSIG(os.waitpid(worker, 0)[1])).name)
"""


def test_a_worker_that_is_told_to_stop_amid_its_fork_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        cwd=ROOT,
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["SIGTERM"] * 100
