"""HTTP as bytes: send anything, and parse responses strictly by RFC 9112."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress

from tests.processes import Service

SECONDS = 20.0
"""How long to wait for a response or the end of the connection."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) [ -~]*\r\n")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t -~\x80-\xff]*)\r\n")
_CHUNK = re.compile(rb"([0-9a-fA-F]+)\r\n")

ALLOWED_5XX = {501, 503}
"""RFC 9112 (6.1) requires 501 for an unknown transfer coding."""

GUNICORN_REFUSES = {400, 403, 414, 417, 431, 501}


def exchange(service: Service, request: bytes) -> bytes:
    """Send only `request`, and return everything that is received."""
    data = b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=SECONDS) as connection:
        # The service may close the connection before it has received everything.
        with suppress(ConnectionError):
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while piece := connection.recv(65_536):
                data += piece
    return data


def answers(data: bytes) -> Iterator[tuple[int, dict[str, str], bytes]]:
    """Split `data` into responses, none of them to a HEAD, with header names in lower case.

    Fails if `data` contains anything else.
    """
    at = 0
    while at < len(data):
        status = _STATUS.match(data, at)
        assert status, data[at : at + 200]
        at, headers = status.end(), {}
        while header := _HEADER.match(data, at):
            at, name = header.end(), header[1].decode().lower()
            assert name not in headers or name == "www-authenticate", header[0]
            headers[name] = header[2].decode("latin-1")
        assert data[at : at + 2] == b"\r\n", data[at : at + 200]
        at += len(b"\r\n")
        at, body = (at, b"") if status[1] == b"100" else _body(data, at, headers)
        yield int(status[1]), headers, body


def _body(data: bytes, at: int, headers: dict[str, str]) -> tuple[int, bytes]:
    """Return the end and the content of the body that begins at `at`."""
    if headers.get("transfer-encoding") != "chunked":
        # A stream in HTTP/1.0 ends with the connection.
        end = at + int(headers.get("content-length", len(data) - at))
        assert end <= len(data), "the answer is shorter than its length"
        return end, data[at:end]
    body = b""
    while True:
        size = _CHUNK.match(data, at)
        assert size, data[at : at + 200]
        start, end = size.end(), size.end() + int(size[1], 16)
        assert data[end : end + 2] == b"\r\n"
        body += data[start:end]
        at = end + 2
        if start == end:
            return at, body


def check(data: bytes) -> list[int]:
    """Check each response in `data`, and return the statuses."""
    statuses = []
    for status, headers, body in answers(data):
        statuses.append(status)
        if status == 100:
            continue
        assert status < 500 or status in ALLOWED_5XX, body
        if headers.get("content-type") == "text/html":
            _check_refusal(status, headers, body)
            continue
        assert headers["x-request-id"]
        if status == 307:
            assert not body
            assert "content-type" not in headers
        else:
            _check_json(headers["content-type"], body)
    return statuses


def _check_refusal(status: int, headers: dict[str, str], body: bytes) -> None:
    """Check gunicorn's own error page, after which the connection must be closed."""
    assert status in GUNICORN_REFUSES, body
    assert headers["connection"] == "close"
    assert b"Traceback" not in body


def _check_json(content_type: str, body: bytes) -> None:
    assert content_type in ("application/json", "application/jsonl")
    lines = [body] if content_type == "application/json" else body.splitlines()
    for line in lines:
        json.loads(line.decode(), parse_constant=_refuse)


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")
