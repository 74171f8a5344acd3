"""Requests that two servers might interpret differently are rejected and disconnected.

Each is followed by a second request, which must never get a response: otherwise it could be
smuggled past a proxy. gunicorn's parser rejects such requests, which these tests verify.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.test_http import connect, exchange
from tests.processes import Service, running

PATH = "/v2/acme/attack/scores"
SCORE = b'{"prediction_id":"p","scorer":"s","value":1}'
SMUGGLED = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Request-Id: smuggled\r\n\r\n"
LENGTH = f"Content-Length: {len(SCORE)}"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SCORE), SCORE)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with one worker, which must stay alive and log no defect."""
    with running(tmp_path_factory.mktemp("shapes"), WEB_CONCURRENCY="1") as started:
        yield started
        assert started.send("GET", "/health/ready").status == 200
        assert [line for line in started.log_lines() if line["level"] == "error"] == []


def head(
    key: str,
    *headers: str,
    target: str = PATH,
    version: str = "HTTP/1.1",
    host: str = "Host: x",
    method: str = "POST",
) -> bytes:
    """Return the head of a request that is valid except for the given parts."""
    lines = [f"{method} {target} {version}", host, f"Authorization: Bearer {key}", *headers, "", ""]
    return "\r\n".join(lines).encode("utf-8")


def answers(service: Service, request: bytes) -> tuple[list[int], bytes]:
    """Return all responses to a request and the next one, until the service closes."""
    with connect(service) as connection:
        found = b""
        try:
            connection.sendall(request + SMUGGLED)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                found += piece
        except (ConnectionResetError, BrokenPipeError):
            pass  # Closed while the request was being sent.
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+)", found)], found


def refused(service: Service, request: bytes) -> list[int]:
    """Return the statuses of the responses, none of which may be for the smuggled request."""
    statuses, found = answers(service, request)
    assert b"smuggled" not in found
    assert b"Traceback" not in found
    assert found.count(b"Connection: close") == len(statuses)
    return statuses


HEADS: dict[str, tuple[str, ...]] = {
    "length and chunks": (LENGTH, CHUNKED),
    "chunks and length": (CHUNKED, LENGTH),
    "chunked twice": (CHUNKED, CHUNKED),
    "chunked, chunked": ("Transfer-Encoding: chunked, chunked",),
    "chunked, identity": ("Transfer-Encoding: chunked, identity",),
    "gzip": ("Transfer-Encoding: gzip",),
    "identity": ("Transfer-Encoding: identity", LENGTH),
    "xchunked": ("Transfer-Encoding: xchunked",),
    "chunked in quotes": ('Transfer-Encoding: "chunked"',),
    "no coding": ("Transfer-Encoding:", LENGTH),
    "chunked;q=1": ("Transfer-Encoding: chunked;q=1",),
    "a space before the colon": ("Transfer-Encoding : chunked",),
    "a space before the name": (" Transfer-Encoding: chunked",),
    "a vertical tab": ("Transfer-Encoding: \x0bchunked",),
    "a NUL after chunked": ("Transfer-Encoding: chunked\0",),
    "a coding on a folded line": ("Transfer-Encoding:", " chunked"),
    "a length on a folded line": ("Content-Length:", f" {len(SCORE)}"),
    "a folded line": ("X-A: 1", " 2", LENGTH),
    "a negative length": ("Content-Length: -1",),
    "a length with a plus": (f"Content-Length: +{len(SCORE)}",),
    "a length with a space": ("Content-Length: 4 4",),
    "a length in hexadecimal": (f"Content-Length: {len(SCORE):#x}",),
    "a length with an underscore": ("Content-Length: 4_4",),
    "a length with a fraction": (f"Content-Length: {len(SCORE)}.0",),
    "an empty length": ("Content-Length:",),
    "a list of lengths": (f"Content-Length: {len(SCORE)}, {len(SCORE)}",),
    "a length twice": (LENGTH, LENGTH),
    "two lengths": (LENGTH, "Content-Length: 0"),
    "a length in other digits": ("Content-Length: ٤٤",),
    "a length in superscript": ("Content-Length: ²",),
    "a length of 5,000 digits": (f"Content-Length: {'9' * 5000}",),
    "a NUL after the length": (f"{LENGTH}\0",),
    "a NUL in a value": ("X-A: a\0b", LENGTH),
    "a NUL in a name": ("X\0A: a", LENGTH),
    "a newline alone": ("X-A: 1\nX-B: 2", LENGTH),
    "a carriage return alone": ("X-A: 1\rX-B: 2", LENGTH),
    "no colon": ("X-A", LENGTH),
    "no name": (": a", LENGTH),
    "a space in a name": ("X A: a", LENGTH),
    "a second host": ("Host: y", LENGTH),
}


@pytest.mark.parametrize("headers", HEADS.values(), ids=HEADS)
def test_ambiguous_headers_are_rejected(service: Service, headers: tuple[str, ...]) -> None:
    for body in (SCORE, CHUNKS):
        (status,) = refused(service, head(service.key, *headers) + body)
        assert status in (400, 501)


LINES: dict[str, dict[str, str]] = {
    "HTTP/0.9": {"version": "HTTP/0.9"},
    "HTTP/2.0": {"version": "HTTP/2.0"},
    "HTTP/1.10": {"version": "HTTP/1.10"},
    "http/1.1": {"version": "http/1.1"},
    "no version": {"version": ""},
    "a method in lower case": {"method": "post"},
    "a method that is no word": {"method": "PO(ST"},
    "an authority": {"target": "x:80"},
    "no slash": {"target": PATH[1:]},
    "an asterisk": {"target": "*"},
    "a space in the target": {"target": "/v2/a b/c/scores"},
    "a tab in the target": {"target": "/v2/a\tb/c/scores"},
    "a NUL in the target": {"target": "/v2/a\0b/c/scores"},
    "a byte over 127 in the target": {"target": "/v2/aé/c/scores"},
}


@pytest.mark.parametrize("parts", LINES.values(), ids=LINES)
def test_an_ambiguous_request_line_is_rejected(service: Service, parts: dict[str, str]) -> None:
    (status,) = refused(service, head(service.key, LENGTH, **parts) + SCORE)
    assert status == 400


SIZE = b"%x" % len(SCORE)
BODIES = {
    "no size": b"zz\r\n" + SCORE,
    "an empty size": b"\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "a negative size": b"-1\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "a size with a plus": b"+" + SIZE + b"\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "a size with 0x": b"0x" + SIZE + b"\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "a size with an underscore": b"2_c\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "a space after the size": SIZE + b" \r\n" + SCORE + b"\r\n0\r\n\r\n",
    "a space before the size": b" " + SIZE + b"\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "a size beyond everything": b"f" * 40 + b"\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "a size of 100,000 digits": b"0" * 100_000 + SIZE + b"\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "a size too small": b"5\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "a size too large": b"2d\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "lines that end with a newline": SIZE + b"\n" + SCORE + b"\n0\n\n",
    "an extension with a newline": SIZE + b";a\nb\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "an extension with a return": SIZE + b";a\rb\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "an extension of a megabyte": SIZE + b";a=" + b"x" * 10**6 + b"\r\n" + SCORE + b"\r\n0\r\n\r\n",
    "a trailer that is none": CHUNKS[:-2] + b"bad\r\n\r\n",
    "a trailer with a length": CHUNKS[:-2] + b"Content-Length: 5\r\n\r\n",
    "a trailer with a coding": CHUNKS[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",
    "a trailer of a megabyte": CHUNKS[:-2] + b"X-T: " + b"x" * 10**6 + b"\r\n\r\n",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_ambiguous_chunks_are_rejected(service: Service, body: bytes) -> None:
    (status,) = refused(service, head(service.key, CHUNKED) + body)
    assert status in (400, 413)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_ambiguous_chunks_of_an_unread_body_are_rejected(service: Service, body: bytes) -> None:
    """The body of a stranger is discarded after the 401, whatever it contains."""
    statuses, found = answers(service, head("sl_wrong", CHUNKED) + body)
    assert statuses in ([401], [429])
    assert b"smuggled" not in found


def test_chunks_are_rejected_in_http_1_0(service: Service) -> None:
    for headers in ((CHUNKED,), (CHUNKED, LENGTH), (CHUNKED, "Connection: keep-alive")):
        assert refused(service, head(service.key, *headers, version="HTTP/1.0") + CHUNKS) == [400]


@pytest.mark.parametrize(
    "request_",
    [
        head("x", LENGTH).replace(b"\r\n", b"\n") + SCORE,
        head("x", LENGTH)[:-2] + b"\n" + SCORE,
        b"\r\n" * 10 + head("x", LENGTH) + SCORE,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + head("x", LENGTH) + SCORE,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100 + b"\r\n\r\n",
    ],
    ids=["newlines only", "a newline at the end", "empty lines", "HTTP/2", "PROXY", "TLS"],
)
def test_other_protocols_are_rejected(service: Service, request_: bytes) -> None:
    assert refused(service, request_) == [400]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head("x", *(f"X-{number}: 1" for number in range(10_000)), LENGTH), 431),
        (head("x", "X-A: " + "a" * 10**6, LENGTH), 431),
        (head("x", f"{'X' * 10**6}: a", LENGTH), 431),
        (head("x", LENGTH, target="/" + "a" * 10**6), 414),
        (b"A" * 2 * 10**6, 414),
    ],
    ids=["10,000 headers", "a value", "a name", "a target", "an endless line"],
)
def test_headers_that_are_too_large_are_rejected(
    service: Service, request_: bytes, status: int
) -> None:
    # The connection may be reset before the client has read the response.
    assert refused(service, request_ + SCORE) in ([status], [])


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((LENGTH,), SCORE),
        ((CHUNKED,), CHUNKS),
        (("TRANSFER-ENCODING:\t ChUnKeD \t",), CHUNKS),
        ((CHUNKED,), SIZE + b' ; a = "b;\\"" ;c\r\n' + SCORE + b"\r\n0\r\n\r\n"),
        ((CHUNKED,), b"000" + SIZE.upper() + b"\r\n" + SCORE + b"\r\n000\r\nX-T: 1\r\n\r\n"),
        (("Transfer-Encoding: identity, chunked",), CHUNKS),
        (("Transfer_Encoding: chunked", LENGTH), SCORE),
        (("Connection: Content-Length, Upgrade", "Upgrade: h2c", LENGTH), SCORE),
    ],
)
def test_unambiguous_requests_are_accepted_and_so_is_the_next_one(
    service: Service, headers: tuple[str, ...], body: bytes
) -> None:
    assert answers(service, head(service.key, *headers) + body)[0] == [200, 200]


def test_an_unknown_transfer_coding_closes_the_connection(service: Service) -> None:
    statuses = refused(service, head(service.key, "Transfer-Encoding: gzip, chunked") + CHUNKS)
    assert len(statuses) == 1


@pytest.mark.parametrize("target", [f"http://x{PATH}", f"HTTPS://x{PATH}?a=/"])
def test_a_target_may_name_the_host(service: Service, target: str) -> None:
    assert answers(service, head(service.key, LENGTH, target=target) + SCORE)[0] == [200, 200]


@pytest.mark.parametrize("host", ["", "x.example:8000", "[::1]:80", "a_b", "x:"])
def test_every_valid_host_is_accepted(service: Service, host: str) -> None:
    request = head(service.key, LENGTH, host=f"Host: {host}") + SCORE
    assert exchange(service, request)[0] == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_a_compressed_body_is_never_decompressed(tmp_path: Path, coding: str) -> None:
    bomb = gzip.compress(b'{"prediction_id":"' + b"x" * 64 * 2**20 + b'"}')
    with running(tmp_path, WEB_CONCURRENCY="1") as small:
        assert small.send("POST", PATH, SCORE).status == 200  # The worker is alive.
        before = _peak_kilobytes(small)
        answer = small.send("POST", PATH, bomb, {"Content-Encoding": coding})
        assert _peak_kilobytes(small) - before < 16 * 1024
    assert (answer.status, answer.json) == (
        400,
        {"detail": "There was an error parsing the body"},
    )


def _peak_kilobytes(service: Service) -> int:
    (worker,) = service.workers()
    return int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{worker}/status").read_text())[0])


def test_a_body_that_only_claims_to_be_compressed_is_read(service: Service) -> None:
    """As in FastAPI, Content-Encoding is ignored."""
    answer = service.send("POST", PATH, SCORE, {"Content-Encoding": "gzip"})
    assert (answer.status, list(json.loads(answer.body))) == (200, ["score_id"])
