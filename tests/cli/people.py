"""Run commands on a terminal, and interrupt them."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from pathlib import Path

from tests.processes import Service, command, environment


def on_a_terminal(service: Service, *arguments: str) -> bytes:
    """Return what a successful command prints to stderr if that is a terminal."""
    leader, follower = pty.openpty()
    given = environment(SCORELINE_KEY=service.key, SCORELINE_URL=service.url, TERM="xterm")
    subprocess.run(command(*arguments), check=True, env=given, stderr=follower)
    os.close(follower)
    shown = b""
    try:
        while piece := os.read(leader, 10_000):
            shown += piece
    except OSError:
        pass  # Reading from a closed terminal is an error.
    os.close(leader)
    return shown


def killed_once_there_is(progress: Path, service: Service, *arguments: str) -> None:
    """Start a command, and kill it as soon as it has recorded its progress."""
    given = environment(SCORELINE_KEY=service.key, SCORELINE_URL=service.url)
    process = subprocess.Popen(command(*arguments), env=given)
    while not progress.exists():
        assert process.poll() is None
        threading.Event().wait(0.005)
    process.kill()
    process.wait()
