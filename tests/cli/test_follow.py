"""`scoreline scores follow`, run against a service whose responses a test defines."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.processes import command, environment, free_port

LINES = [b'{"score_id":"%d"}\n' % number for number in range(5)]


class Changes(ThreadingHTTPServer):
    """Returns LINES, two per response, with the cursors `c0`, `c1`, ...; then waits."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        self.asked: list[dict[str, str]] = []
        self.drained, self.stops = threading.Event(), threading.Event()
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Changes

    def do_GET(self) -> None:
        query = {name: value[0] for name, value in parse_qs(urlsplit(self.path).query).items()}
        self.server.asked.append(query)
        cursor = query.get("cursor", "c0").replace("start", "c0")
        if cursor == "old":
            self._answer(410, json.dumps({"detail": "The cursor is too old: begin anew"}).encode())
            return
        begin = int(cursor[1:])
        lines = LINES[begin : begin + 2]
        if not lines:
            self.server.drained.set()
            self.server.stops.wait(60)
            self.close_connection = True
            return
        self._answer(200, b"".join(lines), f"c{begin + len(lines)}")

    def _answer(self, status: int, body: bytes, cursor: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if cursor:
            self.send_header("Scoreline-Cursor", cursor)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(port: int) -> Iterator[Changes]:
    with Changes(port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.stops.set()
        server.shutdown()
        thread.join()


def follow(port: int, *arguments: str) -> subprocess.Popen[bytes]:
    given = environment(SCORELINE_KEY="k", SCORELINE_URL=f"http://127.0.0.1:{port}")
    return subprocess.Popen(
        command("scores", "follow", "--project", "a/b", *arguments),
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def interrupted(process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr.decode()


def test_each_score_is_printed_once_and_ctrl_c_prints_the_cursor() -> None:
    with serving(free_port()) as server:
        process = follow(server.server_port, "--from-start")
        assert server.drained.wait(60)
        code, stdout, stderr = interrupted(process)
        assert (code, stdout) == (130, b"".join(LINES))
        assert stderr == "scoreline: interrupted; continue with --cursor c5\n"
        first, *rest = server.asked
        assert (first["cursor"], first["wait"]) == ("start", "0")
        assert {query["wait"] for query in rest} == {"30"}


def test_following_continues_after_a_cursor() -> None:
    with serving(free_port()) as server:
        process = follow(server.server_port, "--cursor", "c3")
        assert server.drained.wait(60)
        assert interrupted(process)[1] == b"".join(LINES[3:])


def test_following_continues_after_the_service_restarts() -> None:
    port = free_port()
    process = None
    with serving(port) as first:
        process = follow(port, "--cursor", "c1")
        assert process.stdout
        assert [process.stdout.readline() for _ in range(4)] == LINES[1:]
        assert first.drained.wait(60)
    with serving(port) as between:  # Nothing is printed twice.
        assert between.drained.wait(60)
        LINES.append(b'{"score_id":"5"}\n')
    with serving(port) as second:
        assert process.stdout.readline() == LINES.pop()
        assert second.drained.wait(60)
        code, rest, _ = interrupted(process)
    assert (code, rest) == (130, b"")
    assert {query["cursor"] for query in between.asked} == {"c5"}
    assert second.asked[-1]["cursor"] == "c6"


def test_an_expired_cursor_is_reported() -> None:
    with serving(free_port()) as server:
        old = follow(server.server_port, "--cursor", "old")
        _, stderr = old.communicate(timeout=60)
        assert old.returncode == 1
        assert stderr.startswith(b"scoreline: 410 The cursor is too old: begin anew")
        assert b"--from-start" in stderr
        both = follow(server.server_port, "--cursor", "c1", "--from-start")
        assert both.wait(60) == 2
    gone = follow(free_port())
    assert gone.wait(60) == 3
    for process in (both, gone):
        process.communicate()
