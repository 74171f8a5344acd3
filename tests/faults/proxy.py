"""A TCP proxy in front of a service that cuts connections, at random with a fixed seed."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO

SEED = 5
CUTS = ("before", "during", "after")
"""When to cut a connection, relative to the response."""

SHARE = 0.4
"""How many connections are cut."""


class Proxy:
    """Forward HTTP/1.1 with a Content-Length, one request at a time, and cut connections.

    With `attempts` it spares clients that repeat a call so often, without a key: one attempt of a
    body always gets through, and none is cut before the service has answered it. (Without a key, no
    service can tell two attempts at the same time apart from two calls.)

    Requests for paths in `spared` are never cut.
    """

    def __init__(
        self, port: int, attempts: int | None = None, spared: Sequence[bytes] = ()
    ) -> None:
        self.cuts: Counter[str] = Counter()
        self._attempts = attempts
        self._spared = spared
        self._cuts_of: Counter[bytes] = Counter()
        self._service = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._random = random.Random(SEED)
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._listener.getsockname()[1])

    def serve(self) -> None:
        """Accept connections until `close`."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._forward_all, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Stop accepting connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _forward_all(self, client: socket.socket) -> None:
        """Forward one connection's requests until it is cut, or one side ends it."""
        with client, socket.create_connection(self._service) as service, suppress(OSError):
            requests, answers = client.makefile("rb"), service.makefile("rb")
            while request := _message(requests):
                service.sendall(request)
                cut = self._draw(request)
                if cut == "before" and not self._attempts:
                    return
                answer = _message(answers)
                if cut or not answer:
                    # Send it together with the end of the connection, so that the client does not
                    # use the connection for its next call.
                    client.sendall(answer[: self._part(cut, answer)], socket.MSG_MORE)
                    return
                client.sendall(answer)

    def _draw(self, request: bytes) -> str | None:
        """Return when to cut this request's connection, or None."""
        if request.split(b" ", 2)[1] in self._spared:
            return None
        with self._lock:
            cut = self._random.choice(CUTS) if self._random.random() < SHARE else None
            if cut and self._attempts:
                body = request.partition(b"\r\n\r\n")[2]
                self._cuts_of[body] += 1
                cut = cut if self._cuts_of[body] < self._attempts else None
            self.cuts[cut or "never"] += 1
            return cut

    def _part(self, cut: str | None, answer: bytes) -> int:
        """Return the part of a response to forward before the cut."""
        if cut != "during":
            return 0 if cut == "before" else len(answer)
        with self._lock:
            return self._random.randrange(len(answer) or 1)


def _message(file: BinaryIO) -> bytes:
    """Return the next complete request or response, or nothing at the end of the connection."""
    head, length = b"", 0
    while line := file.readline():
        head += line
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
        if line == b"\r\n":
            return head + file.read(length)
    return b""


@contextmanager
def cutting(
    port: int, attempts: int | None = None, spared: Sequence[bytes] = ()
) -> Iterator[Proxy]:
    """Run a proxy in front of `port` during a block."""
    proxy = Proxy(port, attempts, spared)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
