"""deploy/nginx.conf, run by Debian's nginx in front of a real service."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import pytest

from config.settings import read_settings
from tests.processes import ADMIN_KEY, ROOT, Answer, free_port, running, wait_until_listening

NGINX = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else None)
OPENSSL = shutil.which("openssl")
CONFIG = (ROOT / "deploy" / "nginx.conf").read_text("utf-8")
SCORES = "/v2/acme/nginx/scores"
SCORE = b'{"prediction_id": "p", "scorer": "s", "value": 0.5}'
LIMIT = read_settings({}).max_body_bytes
SDK_LIMIT = read_settings({}).max_sdk_body_bytes

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt-get install nginx)"),
    pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed: no certificate"),
]


@dataclass
class Proxy:
    """A running nginx: its port, and its log from `warn` on."""

    port: int
    log: Path

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send one request over TLS."""
        connection = self.connect()
        sent = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, {**sent, **headers})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """Send these bytes, and return everything that is received."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection,
            ssl._create_unverified_context().wrap_socket(connection) as secure,
        ):
            secure.sendall(request)
            answer = b""
            while piece := secure.recv(65536):
                answer += piece
        return answer


def start_nginx(directory: Path, backend: int, changes: dict[str, str]) -> Iterator[Proxy]:
    """Run nginx with the example, but with other ports and another certificate."""
    port = free_port()
    certificate, key = directory / "cert.pem", directory / "key.pem"
    subject = ["-subj", "/CN=localhost", "-days", "2"]
    make = [OPENSSL or "", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make, *files], check=True, capture_output=True)
    text = CONFIG
    for old, new in {
        "127.0.0.1:8000": f"127.0.0.1:{backend}",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/certs/scoreline.pem": str(certificate),
        "/etc/ssl/private/scoreline.key": str(key),
        **changes,
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    (directory / "scoreline.conf").write_text(text)
    log = directory / "error.log"
    user = "user root;" if os.geteuid() == 0 else ""
    paths = "".join(
        f"{name}_temp_path {directory}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"daemon off; {user} pid {directory}/nginx.pid; error_log {log} warn; events {{}}\n"
        f"http {{ access_log off; {paths} include {directory}/scoreline.conf; }}\n"
    )
    arguments = ["-p", str(directory), "-e", str(log), "-c", str(directory / "nginx.conf")]
    process = subprocess.Popen([NGINX or "", *arguments])
    try:
        wait_until_listening(port, process)
        yield Proxy(port, log)
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Nginx in front of a service."""
    with running(tmp_path_factory.mktemp("behind")) as service:
        yield from start_nginx(tmp_path_factory.mktemp("nginx"), service.port, {})


def is_json(answer: Answer, status: int) -> bool:
    kind = answer.headers["Content-Type"]
    return (answer.status, kind) == (status, "application/json") and list(answer.json) == ["detail"]


def test_scores_are_stored_and_read_through_nginx(proxy: Proxy) -> None:
    body = b'{"prediction_id": "p", "scorer": "s", "value": 0.5}'
    made = proxy.send("POST", SCORES, body)
    assert made.status == 200
    assert proxy.send("GET", f"{SCORES}/{made.json['score_id']}").json["value"] == 0.5
    proxy.send("POST", SCORES, body)
    page = proxy.send("GET", f"{SCORES}?limit=1")
    assert page.headers["Link"].startswith("<?limit=1&after=")  # Works behind any host and prefix.


def test_errors_of_the_service_pass_through_unchanged(proxy: Proxy) -> None:
    assert proxy.send("POST", SCORES, b"{}").json["detail"][0]["type"] == "missing"
    assert proxy.send("POST", SCORES, b"{}", Authorization="Bearer x").status == 401
    for path in ("/nowhere", "/nginx-error"):
        assert proxy.send("GET", path).json == {"detail": "Not Found"}


def test_the_largest_body_is_the_same_in_nginx_and_in_the_service(proxy: Proxy) -> None:
    assert f"client_max_body_size {SDK_LIMIT};" in CONFIG
    head = b'{"prediction_id": "p", "scorer": "s", "value": "'
    fits = head + b"x" * (LIMIT - len(head) - 2) + b'"}'
    assert proxy.send("POST", SCORES, fits).status == 200
    large = proxy.send("POST", SCORES, fits + b" ")
    assert is_json(large, 413)
    assert large.json["detail"] == f"The body is over the limit of {LIMIT} bytes"
    head = b'{"obj": {"project_id": "acme/nginx", "object_id": "o", "val": "'
    fits = head + b"x" * (SDK_LIMIT - len(head) - 3) + b'"}}'
    assert proxy.send("POST", "/obj/create", fits).status == 200
    large = proxy.send("POST", "/obj/create", fits + b" ")
    assert is_json(large, 413)
    assert large.json["detail"] == f"The body is over the limit of {SDK_LIMIT} bytes"


def test_a_call_with_a_thousand_ids_fits(proxy: Proxy) -> None:
    ids = "&".join(f"score_ids=01a20901-1208-700a-886d-{number:012d}" for number in range(1_000))
    assert proxy.send("DELETE", f"{SCORES}?{ids}").json == {"num_deleted": 0}


def test_invalid_http_gets_a_json_error(proxy: Proxy) -> None:
    for request, status in (
        (b"nonsense\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    ):
        head, _, body = proxy.raw(request).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), head
        assert json.loads(body) == {"detail": http.client.responses[status].replace("Request-", "")}


def test_plain_http_gets_a_json_error(proxy: Proxy) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    connection.request("GET", "/health/live")
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (400, {"detail": "Bad Request"})
    connection.close()


MANY = 60
"""More clients than the service has threads."""


def assert_others_are_answered(proxy: Proxy) -> None:
    """Check that health, single creates and single reads still work."""
    for _ in range(3):
        assert proxy.send("GET", "/health/ready").status == 200
        made = proxy.send("POST", SCORES, SCORE)
        assert made.status == 200
        assert proxy.send("GET", f"{SCORES}/{made.json['score_id']}").status == 200


@contextmanager
def clients(proxy: Proxy, sent: bytes) -> Iterator[list[ssl.SSLSocket]]:
    """Connect many clients that send these bytes and then nothing."""
    with ExitStack() as stack:
        opened = []
        for _ in range(MANY):
            connection = proxy.connect()
            stack.callback(connection.close)
            connection.connect()
            connection.sock.sendall(sent)
            opened.append(connection.sock)
        yield opened


HEAD = (
    f"POST {SCORES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
    f"Content-Type: application/json\r\nContent-Length: {len(SCORE)}\r\n"
    "Connection: close\r\n\r\n"
).encode()


@pytest.mark.parametrize(
    "sent",
    [b"", HEAD[:30], HEAD + SCORE[:-5]],
    ids=["idle connections", "slow heads", "slow bodies"],
)
def test_slow_senders_do_not_block_others(proxy: Proxy, sent: bytes) -> None:
    with clients(proxy, sent) as slow:
        assert_others_are_answered(proxy)
        for connection in slow:
            connection.sendall((HEAD + SCORE)[len(sent) :])
        for connection in slow:
            assert connection.recv(12) == b"HTTP/1.1 200"


def test_slow_readers_do_not_block_others_and_get_the_whole_response(proxy: Proxy) -> None:
    value = "x" * 1_000_000
    line = {"prediction_id": "p", "scorer": "s", "value": value, "evaluation_run_id": "long"}
    for _ in range(12):
        assert proxy.send("POST", SCORES, json.dumps(line).encode()).status == 200
    connection = proxy.connect()
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    connection.request("GET", f"{SCORES}?evaluation_run_id=long", headers=headers)
    response = connection.getresponse()
    first = response.read(1)
    request = f"GET {SCORES}?evaluation_run_id=long HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
    with clients(proxy, f"{request}{ADMIN_KEY}\r\n\r\n".encode()):
        assert_others_are_answered(proxy)
    lines = (first + response.read()).splitlines()
    connection.close()
    assert [json.loads(each)["value"] == value for each in lines] == [True] * 12


def test_links_to_the_next_page_work_behind_a_prefix_and_another_host(
    proxy: Proxy, tmp_path: Path
) -> None:
    with running(tmp_path) as service:
        for _ in range(3):
            assert service.send("POST", SCORES, SCORE).status == 200
        changes = {
            "location / {": "location /scoreline/ {",
            "proxy_pass http://scoreline;": "proxy_pass http://scoreline/;",
            "proxy_set_header Host $http_host;": "proxy_set_header Host inside.example;",
        }
        (tmp_path / "nginx").mkdir()
        for other in start_nginx(tmp_path / "nginx", service.port, changes):
            path, seen = f"/scoreline{SCORES}?limit=1", []
            while True:
                page = other.send("GET", path)
                assert page.status == 200
                seen.append(page.json["score_id"])
                if "Link" not in page.headers:
                    break
                path = urljoin(path, page.headers["Link"].partition(">")[0].strip("<"))
        assert len(set(seen)) == len(seen) == 3


def test_an_unreachable_service_is_a_502_in_json_with_retry_after(
    tmp_path: Path,
) -> None:
    for proxy in start_nginx(tmp_path, free_port(), {}):
        answer = proxy.send("GET", "/health/live")
        assert is_json(answer, 502)
        assert answer.headers["Retry-After"] == "5"


def test_a_slow_service_is_a_504_in_json(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        changes = {"proxy_read_timeout 60s": "proxy_read_timeout 1s"}
        for proxy in start_nginx(tmp_path, silent.getsockname()[1], changes):
            assert is_json(proxy.send("GET", "/health/live"), 504)
