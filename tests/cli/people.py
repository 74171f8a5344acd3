"""Run commands on a terminal or as another user, and interrupt them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

from tests.processes import ROOT, Service, command, environment


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


AS_ANOTHER_USER = """
import os
import click._termui_impl, click._textwrap
import app.cli.doctor, app.cli.keys, app.cli.root, app.cli.store, app.stores.sqlite.store
if os.geteuid() == 0:  # Permissions do not restrict root.
    os.chroot(".")
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
app.cli.main()
"""
"""Imports first, because another user may not be able to read the packages."""


def as_another_user(
    directory: Path, *arguments: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command as a user for whom the permissions of the files in `directory` count."""
    directory.chmod(0o755)
    return subprocess.run(
        [sys.executable, "-c", AS_ANOTHER_USER, *arguments],
        check=False,
        cwd=directory,
        env=environment(PYTHONPATH=str(ROOT), **settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
