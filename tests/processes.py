"""Real processes for tests: start one, wait until it listens, end it."""

from __future__ import annotations

import fcntl
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ADMIN_KEY = "sl_TheAdministratorOfTheTests0123456789abcdefghij"
START_SECONDS = 30.0
LOG_SECONDS = 60.0
LOG_PAUSE_SECONDS = 0.05
PORTS = (10_000, 32_000, 200)
"""The first and the last port, and the number of ports of each test run."""


def free_port() -> int:
    """Return a loopback port that nothing listens on.

    Before the service listens, another process could get the port, and be taken for the service.
    So the ports are none of those that the system gives to clients, and none of another test run.
    """
    for port in itertools.islice(_own_ports(), PORTS[2]):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@cache
def _own_ports() -> Iterator[int]:
    """Return ports that no other test run on this machine uses."""
    for first in range(*PORTS):
        path = Path(tempfile.gettempdir(), f"scoreline-test-ports-{first}.lock")
        with suppress(OSError):
            # Held until the process ends.
            fcntl.flock(os.open(path, os.O_CREAT), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return itertools.cycle(range(first, first + PORTS[2]))
    raise AssertionError("every port is another run's")


def wait_until_listening(port: int, process: subprocess.Popen[Any]) -> None:
    """Wait until `port` accepts connections; fail when the process ends first."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the process ended with {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port}")


def wait_until_closed(port: int) -> None:
    """Wait until `port` accepts no connections any more."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.005)
    raise AssertionError(f"something still listens on port {port}")


@dataclass
class Answer:
    """An HTTP response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, without NaN."""

        def refuse(token: str) -> None:
            raise ValueError(token)

        return json.loads(self.body, parse_constant=refuse)


@dataclass
class Service:
    """A running Scoreline: a gunicorn master with its workers."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    key: str = ADMIN_KEY
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The URL of the service."""
        return f"http://127.0.0.1:{self.port}"

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = "",
    ) -> Answer:
        """Send one request on a new connection; `key=None` sends no credentials."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Authorization": f"Bearer {key or self.key}"} if key is not None else {}
        try:
            connection.request(method, path, body, {**sent, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def post(self, path: str, content: Any, **options: Any) -> Answer:
        """Send a POST of `content` as JSON."""
        return self.send("POST", path, json.dumps(content).encode(), **options)

    def log_lines(self) -> list[dict[str, Any]]:
        """Return everything logged so far, one JSON object a line, without other output.

        Lines are written beside the requests: waits until no more come.
        """
        text = None
        while text != (text := self.log.read_text()):
            time.sleep(LOG_PAUSE_SECONDS)
        lines = text.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_for_log(self, message: str, times: int = 1) -> None:
        """Wait until `message` has been logged so many times."""
        deadline = time.monotonic() + LOG_SECONDS
        while self.log.read_text().count(f'"message": "{message}') < times:
            assert time.monotonic() < deadline, f"{message!r} was not logged {times} times"
            time.sleep(0.02)

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in children.split()]

    def kill(self) -> None:
        """Kill -9 the master and every worker at once, and wait until nothing listens."""
        os.kill(self.process.pid, signal.SIGSTOP)  # So that it forks no worker meanwhile.
        for process in (self.process.pid, *self.workers()):
            os.kill(process, signal.SIGKILL)
        self.process.wait()
        wait_until_closed(self.port)

    def start_again(self) -> None:
        """Start the service again after `kill` or `stop`, with the same port and settings."""
        self.process = _launch(self.log, self.environ)

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=40)


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment without Scoreline's variables, and with `settings`."""
    own = ("SCORELINE_", "PORT", "WEB_CONCURRENCY")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**clean, "PYTHONPATH": str(ROOT), **settings}


def command(*arguments: str) -> list[str]:
    """Return a `scoreline` command line for the Python that runs the tests."""
    return [sys.executable, "-m", "app.cli", *arguments]


def start(directory: Path, store: str, **settings: str) -> Service:
    """Start `scoreline serve` in `directory` and wait until it listens."""
    port = free_port()
    settings = {"SCORELINE_ADMIN_KEY": ADMIN_KEY, "WEB_CONCURRENCY": "2", **settings}
    environ = environment(PORT=str(port), SCORELINE_STORE=store, **settings)
    log = directory / f"service-{port}.log"
    return Service(port, _launch(log, environ), log, environ=environ)


def _launch(log: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start `scoreline serve` beside its log, and wait until it listens."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command("serve"), cwd=log.parent, env=environ, stdout=output, stderr=output
        )
    try:
        wait_until_listening(int(environ["PORT"]), process)
    except AssertionError as error:
        process.kill()
        raise AssertionError(f"{error}\n{log.read_text()}") from None
    return process


@contextmanager
def running(directory: Path, store: str = "", **settings: str) -> Iterator[Service]:
    """Run a service during a block, by default on an embedded store in `directory`."""
    service = start(directory, store or f"sqlite:///{directory}/scoreline.db", **settings)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()
