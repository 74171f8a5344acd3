"""A client's connection: what it has sent so far, and the requests that this has become."""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import suppress
from io import BytesIO
from typing import Any

from gunicorn.config import Config

from app.server.answers import Answer, send_at_once
from app.server.requests import ScorelineRequest, Source

PIECE = 64 * 1024
MOST_OF_A_HEAD = 1024 * 1024
"""gunicorn's parser refuses a head long before."""

HEAD_SECONDS = 10.0
BODY_SECONDS = 10.0
"""How long a client may take for a request's head, and then for a small body."""

IO_SECONDS = 10.0
"""How long a client may send nothing of a large body, or take nothing of its answer."""

LINGER_SECONDS = 2.0
"""How long a closed connection waits for its client to end it too (RFC 9112, section 9.6)."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")
"""With it a head never ends; the parser says what is wrong."""


class Connection:
    """One client's connection; one thread at a time has to do with it.

    `deadline` is until when the client must have sent what it owes, on the monotonic clock; it is
    None while the client owes nothing. `is_ended` tells that it sends no more, `is_late` that it
    was given up, `is_closing` that nothing more is wanted of it. `answer` is what the client has
    not taken all of yet, `waits_since` when a thread began to wait for it to take a part.
    """

    def __init__(self, sock: socket.socket, client: Any, server: Any) -> None:
        sock.settimeout(IO_SECONDS)
        self.sock = sock
        self.client = client
        self.server = server
        self.source = Source(sock)
        self.is_ended = self.is_late = self.is_closing = False
        self._began: float | None = None
        self._data = bytearray()
        self._searched = 0
        self._request: ScorelineRequest | None = None
        self._count = 0
        self.answer: Answer | None = None
        self.waits_since: float | None = None
        self.deadline: float | None = time.monotonic() + HEAD_SECONDS

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a next request has arrived."""
        return not self._data and self._request is None

    def receive(self) -> None:
        """Take what has arrived. Raises OSError when the connection is broken."""
        try:
            data = os.read(self.sock.fileno(), PIECE)
        except BlockingIOError:
            return
        self.is_ended = not data
        if not self.is_closing:
            self._data += data
            self._began = self._began or time.monotonic()

    def take_request(self, cfg: Config) -> ScorelineRequest | None:
        """The next request; None while its head or its small body is not whole.

        A client that ends amid the body has its request answered as it is. Raises gunicorn's
        ParseException.
        """
        if self._request is None:
            if not self._has_head():
                return None
            self._request = self._read_head(cfg)
        request = self._request
        if not request.is_large:
            is_whole = len(self._data) >= (request.length or 0)
            if not is_whole and (self.is_late or not self.is_ended):
                return None
            request.body = BytesIO(bytes(self._data[: request.length]))
            del self._data[: request.length]
        self._request = None
        self._began = time.monotonic() if self._data else None
        return request

    def _has_head(self) -> bool:
        """Whether a whole head is there, or what can never be one."""
        start = self._searched
        self._searched = max(0, len(self._data) - 3)
        return (
            self._data.find(b"\r\n\r\n", start) >= 0
            or _BARE_NEWLINE.search(self._data, start) is not None
            or len(self._data) > MOST_OF_A_HEAD
        )

    def _read_head(self, cfg: Config) -> ScorelineRequest:
        self._count += 1
        self.source.unread(bytes(self._data))
        self._data.clear()
        self._searched = 0
        request = ScorelineRequest(cfg, self.source, self.client, self._count)
        if not request.is_large:
            self._data += self.source.take_buffered()
            if request.takes_continue() and len(self._data) < (request.length or 0):
                send_at_once(self.sock, CONTINUE)
        return request

    def finish_large(self, request: ScorelineRequest) -> bool:
        """After a large body: be ready for what follows; False where it was not read whole."""
        self.source.may_wait(may=False)
        self._data += self.source.take_buffered()
        return request.is_read_whole()

    def rest(self, keepalive: float) -> None:
        """Give the client its time: for the rest of a request that it has begun, or for another."""
        now = time.monotonic()
        if self.answer:
            self.deadline = now + IO_SECONDS
        elif self.is_closing:
            self.deadline = now + LINGER_SECONDS
        elif self.is_idle:
            self.deadline = now + keepalive
        else:
            body_seconds = BODY_SECONDS if self._request else 0.0
            self.deadline = (self._began or now) + HEAD_SECONDS + body_seconds

    def wait_to_send(self, data: bytes | memoryview) -> None:
        """Send all of `data` to a client that may read slowly. Raises OSError."""
        if not data:
            return
        self.waits_since = time.monotonic()
        try:
            while data:
                data = data[self.sock.send(data) :]
        finally:
            self.waits_since = None

    def give_up(self) -> None:
        """Expect no more of the client: its connection gets an event, and is at its end."""
        self.is_late = True
        is_owed = not (self.is_closing or self.answer or self.waits_since)
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD if is_owed else socket.SHUT_RDWR)

    def say_goodbye(self) -> None:
        """Send no more, and wait for the client to end too: a close now could lose the answer."""
        self.is_closing = True
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
