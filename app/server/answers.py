"""An answer on its way out: head and body in one write, and answers to what is no request."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Iterable
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


class BrokenOff(Exception):
    """An answer whose beginning is sent already, and whose rest failed."""


class Answer(Response):  # type: ignore[misc]
    """gunicorn's response, which sends its head together with the first part of the body.

    Two writes would be two packets, and give the interpreter away twice.
    """

    _head = b""
    headers_sent: bool

    def send_all(self, chunks: Iterable[bytes]) -> None:
        """Send what the application answers. Raises BrokenOff, OSError, and what it raises."""
        try:
            for chunk in chunks:
                self.write(chunk)
            self.close()
        except OSError:
            raise
        except Exception as error:
            if self.headers_sent and not self._head:
                raise BrokenOff from error
            raise
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

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
        send(self.sock, self._head + data)
        self._head = b""


def send(sock: socket.socket, data: bytes) -> None:
    """Write all of `data`; waits for a client that reads slowly. Raises OSError."""
    try:
        sent = os.write(sock.fileno(), data)
    except BlockingIOError:
        sent = 0
    if sent < len(data):
        sock.sendall(data[sent:])


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
