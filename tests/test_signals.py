"""The signals that gunicorn documents, with a service under `scoreline serve`."""

from __future__ import annotations

import errno
import http.client
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api.test_http import LENGTH, connect, head
from tests.processes import Service, running, wait_until_closed

PATH = "/v2/acme/signals/scores"
SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}


def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    for _ in range(600):
        if holds():
            return
        threading.Event().wait(0.05)
    raise AssertionError("the condition was not met in 30 seconds")


CLOSED = -1
"""In place of a status: the connection was closed without a response."""


@contextmanager
def steady_load(service: Service) -> Iterator[list[int]]:
    """Send scores by four clients, each on a new connection; yield the statuses so far."""
    statuses: list[int] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                statuses.append(service.post(PATH, SCORE).status)
            except OSError as error:
                statuses.append(-error.errno if error.errno else CLOSED)

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        yield statuses
    finally:
        stop.set()
        for client in clients:
            client.join()


def more(statuses: list[int]) -> Callable[[], bool]:
    """Return a condition: twenty more calls have been answered."""
    wanted = len(statuses) + 20
    return lambda: len(statuses) >= wanted


def test_ttin_adds_a_worker_and_ttou_ends_one_and_no_request_is_lost(tmp_path: Path) -> None:
    with two_workers(tmp_path) as service, steady_load(service) as statuses:
        for number, workers in ((signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1)):
            service.process.send_signal(number)
            until(lambda wanted=workers: len(service.workers()) == wanted)  # type: ignore[misc]
            until(more(statuses))
    assert set(statuses) == {200}


def test_usr1_ends_nothing(tmp_path: Path) -> None:
    with two_workers(tmp_path) as service, steady_load(service) as statuses:
        workers = service.workers()
        service.process.send_signal(signal.SIGUSR1)
        service.wait_for_log("Handling signal: usr1")
        until(more(statuses))
        assert service.workers() == workers
    assert set(statuses) == {200}


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGQUIT])
def test_usr2_starts_a_new_master_and_the_old_one_can_be_stopped(
    tmp_path: Path, end: signal.Signals
) -> None:
    with two_workers(tmp_path) as service:
        old = service.process
        with steady_load(service) as statuses:
            before = set(service.workers())
            old.send_signal(signal.SIGUSR2)
            until(lambda: bool(set(service.workers()) - before))
            (new,) = set(service.workers()) - before
            service.wait_for_log("Listening at", times=2)
            until(lambda: len(children(new)) == 2)
            until(more(statuses))
            old.send_signal(end)
            assert old.wait(timeout=40) == 0
            until(more(statuses))
        # SIGQUIT stops at once, and may cut off a call that is under way.
        cut_off = {-errno.ECONNRESET, CLOSED} if end is signal.SIGQUIT else set()
        assert set(statuses) - cut_off == {200}
        stored = service.send("GET", PATH).body.splitlines()
        assert statuses.count(200) <= len(stored) <= len(statuses)
        assert service.send("GET", "/metrics").status == 200
        os.kill(new, signal.SIGTERM)
        wait_until_closed(service.port)
        until(lambda: has_ended(new))
    assert not Path(tmp_path, "scoreline.db-wal").exists()


def has_ended(process: int) -> bool:
    """Return whether a process has ended; an orphan may not be reaped."""
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


@contextmanager
def two_workers(directory: Path, **settings: str) -> Iterator[Service]:
    """Run a service, and wait until both of its workers have started."""
    with running(directory, **settings) as service:
        until(lambda: len(service.workers()) == 2)
        yield service


def children(process: int) -> list[int]:
    """Return the process ids of a process's children."""
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in text.split()]


def test_a_new_master_that_ends_leaves_the_old_one_serving(tmp_path: Path) -> None:
    with two_workers(tmp_path) as service:
        before = set(service.workers())
        service.process.send_signal(signal.SIGUSR2)
        until(lambda: bool(set(service.workers()) - before))
        (new,) = set(service.workers()) - before
        service.wait_for_log("Listening at", times=2)
        until(lambda: len(children(new)) == 2)
        os.kill(new, signal.SIGTERM)
        until(lambda: new not in service.workers())
        for _ in range(20):
            assert service.post(PATH, SCORE).status == 200
        assert service.send("GET", "/metrics").status == 200


def idle_connections(service: Service) -> list[socket.socket]:
    """Open a connection that was used and is kept alive, and one on which nothing was sent."""
    used = http.client.HTTPConnection("127.0.0.1", service.port)
    used.request("GET", "/health/live")
    used.getresponse().read()
    return [used.sock, socket.create_connection(("127.0.0.1", service.port))]


def test_sigterm_does_not_wait_for_idle_connections(tmp_path: Path) -> None:
    with two_workers(tmp_path) as service:
        idle = [each for _ in range(20) for each in idle_connections(service)]
        service.process.terminate()
        assert service.process.wait(timeout=20) == 0  # The graceful timeout is 28.
        for connection in idle:
            assert connection.recv(1) == b""  # A reset would raise an error.
            connection.close()


def test_sigterm_does_not_wait_for_the_rest_of_a_head(tmp_path: Path) -> None:
    with running(tmp_path) as service, connect(service) as connection:
        connection.sendall(head(service, LENGTH)[:20])
        assert service.post(PATH, SCORE).status == 200
        service.process.terminate()
        assert service.process.wait(timeout=8) == 0  # Reading a head may take SEND_SECONDS.
        assert connection.recv(1) == b""


def test_ctrl_c_does_not_wait_for_a_client_that_reads_slowly(tmp_path: Path) -> None:
    with running(tmp_path) as service, socket.socket() as reader:
        large = [{**SCORE, "value": "x" * 100_000}] * 80
        assert service.post(f"{PATH}/batch", {"scores": large}).status == 200
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", service.port))
        reader.sendall(
            f"GET {PATH} HTTP/1.0\r\nAuthorization: Bearer {service.key}\r\n\r\n".encode()
        )
        assert reader.recv(12).endswith(b" 200")
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(timeout=20) == 0  # The graceful timeout is 28.


def test_sigterm_ends_under_traffic_on_kept_alive_connections(tmp_path: Path) -> None:
    with two_workers(tmp_path) as service:
        statuses: list[int] = []

        def load() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
            headers = {"Authorization": f"Bearer {service.key}"}
            body = b'{"prediction_id": "p", "scorer": "s", "value": 1}'
            while True:
                try:
                    connection.request("POST", PATH, body, headers)
                except ConnectionRefusedError:
                    return
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)

        clients = [threading.Thread(target=load) for _ in range(24)]
        for client in clients:
            client.start()
        until(more(statuses))
        service.process.terminate()
        assert service.process.wait(timeout=20) == 0
        for client in clients:
            client.join()
        service.start_again()
        assert set(statuses) == {200}
        assert len(service.send("GET", PATH).body.splitlines()) == len(statuses)


def test_serve_works_where_the_user_has_modules_of_the_same_names(tmp_path: Path) -> None:
    for name in ("app", "config", "statistics", "http", "gunicorn"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    with two_workers(tmp_path, PYTHONSAFEPATH="1") as service:
        before = set(service.workers())
        service.process.send_signal(signal.SIGHUP)
        until(lambda: not before & set(service.workers()))
        assert service.post(PATH, SCORE).status == 200
