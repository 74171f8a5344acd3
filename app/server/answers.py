"""An answer on its way out: head and body in one write, and answers to what is no request."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from functools import lru_cache

from gunicorn.http import errors
from gunicorn.http.wsgi import Response

from app.server.headers import security_lines

STATUSES = {
    errors.LimitRequestLine: (414, "URI Too Long"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    errors.ExpectationFailed: (417, "Expectation Failed"),
    errors.UnsupportedTransferCoding: (501, "Not Implemented"),
    errors.ForbiddenProxyRequest: (403, "Forbidden"),
}
"""The status of what gunicorn's parser refuses; 400 where it is not listed."""


Wait = Callable[[bytes | memoryview], None]
"""Sends what a client did not take at once, and waits for that."""


class BrokenOff(Exception):
    """An answer whose beginning is sent already, and whose rest failed."""


class Answer(Response):  # type: ignore[misc]
    """gunicorn's response, which sends its head together with the first part of the body.

    Two writes would be two packets, and give the interpreter away twice.
    """

    _head = b""
    _unsent: bytes | memoryview = b""
    _omits_body: bool
    headers_sent: bool
    response_length: int | None

    def begin(self, chunks: Iterable[bytes], wait: Wait) -> None:
        """Take what the application answers, and what waits for the client where that must be."""
        self._chunks, self._pieces, self._wait = chunks, iter(chunks), wait

    def go_on(self) -> bool:
        """Send as much as the client takes; whether that was all, or the rest.

        Of an answer whose length is known the rest is left, for any thread to send. The pieces of
        any other come from this thread's connection to the store: it waits. Raises BrokenOff,
        OSError, and what the application raises.
        """
        is_over = True
        try:
            is_over = self._send_pieces()
        except OSError:
            raise
        except Exception as error:
            if self.headers_sent and not self._head:
                raise BrokenOff from error
            raise
        finally:
            if is_over and hasattr(self._chunks, "close"):
                self._chunks.close()
        return is_over

    def _send_pieces(self) -> bool:
        if self._unsent:
            self._unsent = send_some(self.sock, self._unsent)
        while not self._unsent:
            piece = next(self._pieces, None)
            if piece is None:
                self.close()
                return not self._unsent
            self.write(piece)
        return False

    def default_headers(self) -> list[str]:
        """The first lines of the head."""
        connection = "close" if self.should_close() else "keep-alive"
        major, minor = self.req.version
        lines = [
            f"HTTP/{major}.{minor} {self.status}\r\n",
            f"Server: scoreline\r\nDate: {_date(int(time.time()))}\r\nConnection: {connection}\r\n",
        ]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        return lines

    def send_headers(self) -> None:
        """Make the head; it goes out with what follows."""
        if not self.headers_sent:
            lines = self.default_headers()
            lines += [f"{name}: {value}\r\n" for name, value in self.headers]
            lines.append(security_lines(self.headers, self.req.scheme))
            self._head = f"{''.join(lines)}\r\n".encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        self._send(data)

    def close(self) -> None:
        """Send what has not been sent yet."""
        self.send_headers()
        if self.chunked:
            self._send(b"0\r\n\r\n")
        elif self._head:
            self._send(b"")

    def _send(self, data: bytes) -> None:
        rest = send_some(self.sock, self._head + data)
        self._head = b""
        if self._can_be_left():
            self._unsent = rest
        else:
            self._wait(rest)

    def _can_be_left(self) -> bool:
        is_known = self.response_length is not None or self._omits_body
        return is_known and not self.req.is_large


def send_some(sock: socket.socket, data: bytes | memoryview) -> bytes | memoryview:
    """Write what the client takes at once; the rest of `data`. Raises OSError."""
    try:
        sent = os.write(sock.fileno(), data)
    except BlockingIOError:
        sent = 0
    return b"" if sent == len(data) else memoryview(data)[sent:]


def send_at_once(sock: socket.socket, data: bytes) -> None:
    """Write all of a few bytes. Raises OSError, also on a client that reads nothing."""
    if send_some(sock, data):
        raise BlockingIOError("the client does not read its answers")


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def status_of(error: Exception) -> tuple[int, str]:
    """The status and the sentence for what could not be read as a request."""
    if isinstance(error, errors.ParseException):
        return STATUSES.get(type(error), (400, "Bad Request"))
    return 500, "Internal Server Error"


def refusal(status: int, reason: str) -> tuple[str, bytes]:
    """A request id, and the whole answer to what is no request; the connection ends with it."""
    number = secrets.token_hex(16)
    body = json.dumps({"detail": reason}, separators=(",", ":"))
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-Id: {number}\r\n{security_lines((), 'http')}\r\n"
    )
    return number, (head + body).encode()
