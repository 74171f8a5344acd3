"""Start the services to measure, each on loopback for the duration of a block.

All have the default number of workers of Scoreline.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from config.settings import read_settings
from tests.processes import ADMIN_KEY, environment, free_port, running, wait_until_listening

WORKERS = read_settings({}).workers
THREADS = read_settings({}).threads
KEEP_ALIVE = 75
"""Seconds, as in config/gunicorn.py."""

STOP_SECONDS = 40.0


@dataclass(frozen=True)
class Server:
    """The port of a service, and its database file and process id, where they are known."""

    port: int
    database: Path | None = None
    pid: int = 0

    @property
    def url(self) -> str:
        """The URL of the service, without a path."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def scoreline(directory: Path, mongodb: str = "") -> Iterator[Server]:
    """Run Scoreline on an embedded store in `directory`, or on the database of a URI."""
    database = directory / "scoreline.db"
    store = mongodb or f"sqlite:///{database}"
    with running(directory, store, WEB_CONCURRENCY=str(WORKERS)) as service:
        yield Server(service.port, None if mongodb else database, service.process.pid)


OUR_WORKER = "app.worker.Worker"


@contextmanager
def bare(directory: Path, worker: str = "gthread") -> Iterator[Server]:
    """Run the bare Flask view under gunicorn, with gthread or another worker."""
    with _gunicorn(directory, worker, "benchmarks.bare:create_app()") as server:
        yield server


@contextmanager
def instant(directory: Path) -> Iterator[Server]:
    """Run the server for Weave's SDK that stores nothing."""
    with _gunicorn(directory, OUR_WORKER, "benchmarks.instant:create_app()") as server:
        yield server


@contextmanager
def _gunicorn(directory: Path, worker: str, application: str) -> Iterator[Server]:
    port = free_port()
    command = ["gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", worker]
    command += ["--workers", str(WORKERS), "--threads", str(THREADS)]
    command += ["--keep-alive", str(KEEP_ALIVE), "--no-control-socket"]
    log = directory / f"gunicorn-{port}.log"
    with _started([*command, application], port, log):
        yield Server(port)


@contextmanager
def reference(directory: Path) -> Iterator[Server]:
    """Run the FastAPI service under uvicorn, on a file in `directory`."""
    port, database = free_port(), directory / "reference.db"
    command = ["uvicorn", "--factory", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", str(WORKERS), "--timeout-keep-alive", str(KEEP_ALIVE)]
    command += ["--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "warning", "benchmarks.reference:create_app"]
    settings = {"REFERENCE_DATABASE": str(database), "REFERENCE_KEY": ADMIN_KEY}
    with _started(command, port, directory / "reference.log", **settings):
        yield Server(port, database)


def settings() -> dict[str, str]:
    """Return the settings of each service, by its name in the table."""
    gunicorn, uvicorn = f"gunicorn {version('gunicorn')}", f"uvicorn {version('uvicorn')}"
    flask, threaded = f"Flask {version('flask')}", f"{WORKERS} workers, {THREADS} threads each"
    return {
        "Scoreline": f"`scoreline serve` with default settings: {flask}, {gunicorn}, {threaded}, "
        "an API key, one log line a request",
        "bare Flask": f"a view that returns a constant: {flask}, {gunicorn} gthread, {threaded}, "
        "no body, key, store or log line",
        "bare Flask, our worker": f"the same under {OUR_WORKER}, as Scoreline is served",
        "FastAPI": f"benchmarks/reference.py: FastAPI {version('fastapi')}, pydantic "
        f"{version('pydantic')}, {uvicorn} (uvloop, httptools), {WORKERS} workers, WAL, "
        "synchronous=FULL, an API key, no log line",
    }


@contextmanager
def _started(command: Sequence[str], port: int, log: Path, **settings: str) -> Iterator[None]:
    """Run a Python module in its own process group, and stop it with all its children."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=log.parent,
            env=environment(**settings),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait(port, process, log)
        yield
    finally:
        _end(process)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    try:
        wait_until_listening(port, process)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log.read_text()}") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
