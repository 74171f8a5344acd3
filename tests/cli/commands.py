"""Run commands in forks of a process that has already imported them.

A command is a process of its own, with its own files, directory and environment, but starts in a
tenth of the time. `tests.processes.command` starts Python instead, for signals and terminals.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.cli import main

SECONDS = 180
"""How long a command may take on a busy machine."""

PRELOADED = ["pytest", __name__, *(f"app.cli.{name}" for name in ("doctor", "keys", "transfers"))]
"""pytest, because a process of multiprocessing imports the main module of the tests again."""

STREAMS = ("stdin", "stdout", "stderr")


def run_command(
    *arguments: str, cwd: Path, env: Mapping[str, str], stdin: str | None = None, text: bool = True
) -> subprocess.CompletedProcess[Any]:
    """Run a command, and return its exit code and output."""
    with TemporaryDirectory() as directory:
        files = [Path(directory, name) for name in STREAMS]
        files[0].write_text(stdin or "")
        process = _forks().Process(target=_run, args=(arguments, cwd, dict(env), files))
        process.start()
        process.join(SECONDS)
        if process.is_alive():
            process.kill()
            raise AssertionError(f"{arguments} did not end")
        code = process.exitcode or 0
        process.close()
        outputs = [path.read_text() if text else path.read_bytes() for path in files[1:]]
        return subprocess.CompletedProcess(arguments, code, *outputs)


@cache
def _forks() -> ForkServerContext:
    """Return the context of this process's fork server, which has imported the commands."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _run(arguments: tuple[str, ...], cwd: Path, env: dict[str, str], files: list[Path]) -> None:
    """Become the command."""
    for number, path in enumerate(files):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND * bool(number)), number)
        mode = "w" if number else "r"
        setattr(sys, STREAMS[number], os.fdopen(number, mode, encoding="utf-8", closefd=False))
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv[1:] = arguments
    try:
        main()
    finally:
        atexit._run_exitfuncs()  # A fork of multiprocessing ends without them.
