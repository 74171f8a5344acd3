"""The first start, later starts and the stop of real processes."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.startup import _url
from config.settings import read_settings
from tests.processes import Service, command, environment, free_port, running

SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}
FIRST = {"SCORELINE_ADMIN_KEY": ""}
ENOUGH = 100


def plain_output(service: Service) -> str:
    """Return everything that is printed for people: every line that is no log line."""
    lines = service.log.read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("{"))


def test_the_first_start_prints_a_curl_line_that_works(tmp_path: Path) -> None:
    with running(tmp_path, **FIRST) as service:
        output = plain_output(service)
        file = tmp_path / "var" / "admin.key"
        key = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert re.fullmatch(r"sl_[A-Za-z0-9]{43}", key)
        assert "var/admin.key" in output
        assert key not in service.log.read_text()
        (audited,) = [line for line in service.log_lines() if line["logger"] == "scoreline.audit"]
        assert (audited["action"], audited["by_key_id"]) == ("key.create", "start")
        curl = output[output.index("curl ") :]
        shown = subprocess.run(
            ["sh", "-c", curl], check=False, cwd=tmp_path, capture_output=True, text=True
        )
        assert re.fullmatch(r'{"score_id":"[0-9a-f-]{36}"}', shown.stdout), shown
    with running(tmp_path, **FIRST) as service:
        service.wait_for_log("Listening at")
        assert key not in service.log.read_text()
        assert file.read_text().strip() == key
        assert service.post("/v2/a/b/scores", SCORE, key=key).status == 200


def test_the_key_file_of_an_interrupted_start_is_used(tmp_path: Path) -> None:
    file = tmp_path / "var" / "admin.key"
    file.parent.mkdir()
    file.write_text("sl_written-before-the-power-went-0123456789abc\n")
    with running(tmp_path, **FIRST) as service:
        assert service.post("/v2/a/b/scores", SCORE, key=file.read_text().strip()).status == 200


def test_an_address_in_use_ends_the_start_before_anything_is_created(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            command("serve"),
            check=False,
            cwd=tmp_path,
            env=environment(PORT=port),
            capture_output=True,
            text=True,
            timeout=30,
        )
    wanted = f"scoreline: cannot listen on 127.0.0.1 port {port}: Address already in use; "
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert ended.stderr.startswith(wanted)
    assert "PORT=8001 make run" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_key_file_ends_the_start(tmp_path: Path) -> None:
    file = tmp_path / "var" / "admin.key"
    file.parent.mkdir()
    file.touch()
    ended = subprocess.run(
        command("serve"),
        check=False,
        cwd=tmp_path,
        env=environment(PORT=str(free_port())),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("scoreline: var/admin.key holds no API key")


def test_a_damaged_api_key_ends_the_start(tmp_path: Path) -> None:
    with running(tmp_path, **FIRST) as service:
        pass
    with sqlite3.connect(tmp_path / "scoreline.db") as connection:
        connection.execute("UPDATE api_keys SET role = 'read'")
    ended = subprocess.run(
        command("serve"),
        cwd=tmp_path,
        env=service.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 2
    assert re.fullmatch(
        "scoreline: the store is damaged: '.{36}' is not .* written\n", ended.stderr
    )


def test_a_key_of_the_environment_writes_no_file(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        assert service.post("/v2/a/b/scores", SCORE).status == 200
        assert "curl" not in plain_output(service)
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("prefix", ["", "/traces"])
def test_every_start_says_where_it_listens_and_where_the_docs_are(
    tmp_path: Path, prefix: str
) -> None:
    with running(tmp_path, SCORELINE_URL_PREFIX=prefix) as service:
        for _ in range(2):
            service.stop()
            service.start_again()
    output = plain_output(service).splitlines()
    url = f"{service.url}{prefix}"
    assert output == [f"Scoreline listens on {url}; API documentation: {url}/docs"] * 3


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("[0:0::0]", "[::1]"),
        ("::1", "[::1]"),
        ("localhost", "localhost"),
    ],
)
def test_the_url_of_a_start_works_in_a_browser(host: str, shown: str) -> None:
    url = _url(read_settings({"SCORELINE_HOST": host, "PORT": "8123"}))
    assert url == f"http://{shown}:8123"


def test_every_route_has_the_prefix_and_probes_work_without_it(tmp_path: Path) -> None:
    with running(tmp_path, SCORELINE_URL_PREFIX="/traces") as service:
        assert service.post("/traces/v2/a/b/scores", SCORE).status == 200
        assert service.post("/v2/a/b/scores", SCORE).status == 404
        for path in ("/health/live", "/traces/health/ready"):
            assert service.send("GET", path, key=None).status == 200


def test_acknowledged_scores_survive_kill_9_of_every_process(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        answers = [service.post("/v2/a/b/scores", SCORE) for _ in range(50)]
        acknowledged = [answer.json["score_id"] for answer in answers]
        service.kill()
    with running(tmp_path) as service:
        acknowledged.append(service.post("/v2/a/b/scores", SCORE).json["score_id"])
    with sqlite3.connect(tmp_path / "scoreline.db") as connection:
        stored = [row[0] for row in connection.execute("SELECT _id FROM scores ORDER BY _id")]
    assert stored == sorted(acknowledged)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_after_a_clean_stop_the_database_file_is_complete(
    tmp_path: Path, number: signal.Signals
) -> None:
    with running(tmp_path) as service:
        for _ in range(3):
            assert service.post("/v2/a/b/scores", SCORE).status == 200
        service.process.send_signal(number)
        assert service.process.wait(timeout=40) == 0
    assert scores_in_a_copy_of(tmp_path) == 3


def test_after_a_reload_and_a_stop_the_database_file_is_complete(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        before = set(service.workers())
        assert service.post("/v2/a/b/scores", SCORE).status == 200
        service.process.send_signal(signal.SIGHUP)
        while before & set(service.workers()):
            threading.Event().wait(0.05)
        assert service.post("/v2/a/b/scores", SCORE).status == 200
    assert scores_in_a_copy_of(tmp_path) == 2


def test_the_wal_of_a_killed_worker_is_in_the_file_after_the_next_stop(
    tmp_path: Path,
) -> None:
    with running(tmp_path, WEB_CONCURRENCY="1") as service:
        for _ in range(3):
            assert service.post("/v2/a/b/scores", SCORE).status == 200
        service.kill()
        assert scores_in_a_copy_of(tmp_path) == 0
        service.start_again()
        assert service.send("GET", "/health/live").status == 200  # There is a worker now.
        (worker,) = service.workers()
        os.kill(worker, signal.SIGKILL)
        service.stop()
    assert scores_in_a_copy_of(tmp_path) == 3


def scores_in_a_copy_of(directory: Path) -> int:
    """Return how many scores a copy of the database file alone holds."""
    copy = shutil.copy(directory / "scoreline.db", directory / "copy.db")
    with closing(sqlite3.connect(copy)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM scores").fetchone()
    return int(count)


def unfinished_request(service: Service) -> socket.socket:
    """Send a request without its body; it is in flight once 100 Continue is read."""
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    connection.sendall(
        b"POST /v2/a/b/scores HTTP/1.1\r\nHost: x\r\nContent-Length: 44\r\n"
        b"Expect: 100-continue\r\nAuthorization: Bearer %s\r\n\r\n" % service.key.encode()
    )
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    return connection


def finish(connection: socket.socket) -> bytes:
    connection.sendall(b'{"prediction_id":"p","scorer":"s","value":1}')
    return connection.recv(10_000)


def test_sigterm_finishes_requests_in_flight_and_then_stops(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        connection = unfinished_request(service)
        service.process.terminate()
        service.wait_for_log("Handling signal: term")
        assert finish(connection).startswith(b"HTTP/1.1 200")
        connection.close()
        assert service.process.wait(timeout=40) == 0


def test_a_reload_of_workers_drops_no_request(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        connection = unfinished_request(service)
        before = set(service.workers())
        statuses: list[int] = []
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                statuses.append(service.post("/v2/a/b/scores", SCORE).status)

        clients = [threading.Thread(target=load) for _ in range(4)]
        for client in clients:
            client.start()
        os.kill(service.process.pid, signal.SIGHUP)
        service.wait_for_log("Handling signal: hup")
        assert finish(connection).startswith(b"HTTP/1.1 200")
        connection.close()
        while before & set(service.workers()) or len(statuses) < ENOUGH:
            threading.Event().wait(0.05)
        stop.set()
        for client in clients:
            client.join()
    assert set(statuses) == {200}


def test_a_stop_right_after_the_start_does_not_wait_for_starting_workers(
    tmp_path: Path,
) -> None:
    for _ in range(3):
        with running(tmp_path, WEB_CONCURRENCY="3") as service:
            service.process.terminate()
            service.process.wait(timeout=20)  # The graceful timeout is 30.


def test_heavy_modules_are_not_imported_at_the_start(tmp_path: Path) -> None:
    program = (
        "import sys; from app import create_app; create_app(); "
        "print({'numpy', 'scipy', 'pyarrow', 'pymongo'} & sys.modules.keys())"
    )
    environ = {**os.environ, "SCORELINE_STORE": f"sqlite:///{tmp_path}/scoreline.db"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_a_start_succeeds_while_another_program_holds_the_lock(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    with (tmp_path / "scoreline.db.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with running(tmp_path) as service:
            assert service.send("GET", "/v2/a/b/scores").status == 200
            assert service.send("GET", "/health/live").status == 200
            assert service.send("GET", "/health/ready").status == 503


@contextmanager
def waiting(directory: Path, *prefix: str) -> Iterator[subprocess.Popen[str]]:
    """Start a service, after a command that runs it, and wait until it waits for a restore."""
    settings = {"SCORELINE_STORE": f"sqlite:///{directory}/scoreline.db"}
    environ = environment(PORT=str(free_port()), **settings)
    with subprocess.Popen(
        [*prefix, *command("serve")], cwd=directory, env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert any("waiting for the restore of a backup" in line for line in process.stdout)
            yield process
        finally:
            process.kill()


def test_a_start_says_that_it_waits_for_a_restore(tmp_path: Path) -> None:
    with (tmp_path / "scoreline.db.serving").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with waiting(tmp_path) as process:
            process.terminate()
            assert process.wait(timeout=30) == -signal.SIGTERM


def test_sigterm_ends_a_start_that_waits_as_process_1_of_a_container(tmp_path: Path) -> None:
    unshare = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("unshare is not permitted here")
    with (tmp_path / "scoreline.db.serving").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with waiting(tmp_path, *unshare) as parent:
            children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text()
            os.kill(int(children), signal.SIGTERM)
            assert parent.wait(timeout=30) == 128 + signal.SIGTERM
