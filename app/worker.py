"""gunicorn's threaded worker, with a few rules of ours.

A thread stays on its connection for some milliseconds after an answer, because a client that works
through a list sends its next request at once: handing the connection back to the main thread and
out again takes as long as a third of a request (docs/performance.md).
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from gunicorn.http.errors import NoMoreData
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader
from gunicorn.workers.gthread import _DEFER, STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

STAY_MILLISECONDS = 5
"""How long a thread waits on its connection for the next request."""

SEND_SECONDS, TAKE_SECONDS = 10, 60
"""How long a client may send nothing of a request, or take nothing of its answer.

A client that reads steadily but slowly takes nothing for long: its system asks for more only when a
good part of its buffer is free, which is 20 seconds at 20 KB/s.
"""

CLOSE_SECONDS = 2.0
"""How long a closed connection waits for its client to end it too (RFC 9112, section 9.6)."""

REQUEST_LINE_BYTES = 256 * 1024
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER's setting that resets the connection on close."""

_TIMEOUTS = {
    socket.SO_RCVTIMEO: struct.pack("ll", SEND_SECONDS, 0),
    socket.SO_SNDTIMEO: struct.pack("ll", TAKE_SECONDS, 0),
}


class Worker(ThreadWorker):  # type: ignore[misc]
    """Serve requests on threads; see `gunicorn.workers.gthread`, whose methods these refine."""

    slot = 0
    """The number of this worker among the living ones; its successor has the same."""

    wsgi: Any = None

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection to the next free thread."""
        if conn.parser is None:
            for option, timeout in _TIMEOUTS.items():
                conn.sock.setsockopt(socket.SOL_SOCKET, option, timeout)
            conn.parser = Parser(self.cfg, conn.sock, conn.client)
        super().enqueue_req(conn)

    def handle_exit(self, *signal: Any) -> None:
        """Begin to stop: answer what is under way, and end what waits for news."""
        self._end_waits()
        super().handle_exit(*signal)

    def handle_quit(self, *signal: Any) -> None:
        """Stop at once, as gunicorn does."""
        self._end_waits()
        super().handle_quit(*signal)

    def _end_waits(self) -> None:
        if self.wsgi:
            self.wsgi.extensions["scoreline"].stopping.set()

    def handle(self, conn: TConn) -> Any:
        """Answer the requests of a connection until its client pauses."""
        if not (conn.initialized or conn.data_ready or self._is_readable(conn)):
            return _DEFER
        conn.data_ready = True
        kept = super().handle(conn)
        while kept and self.alive and not self._is_awaited() and self._is_readable(conn):
            kept = super().handle(conn)
        if not kept:
            _end(conn.sock)
        return kept

    def _is_awaited(self) -> bool:
        """Return whether another connection waits for a thread."""
        idle = len(self.keepalived_conns) + len(self.pending_conns)
        return bool(self.nr_conns - idle > self.cfg.threads)

    def _is_readable(self, conn: TConn) -> bool:
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(STAY_MILLISECONDS if self.alive else 1000 * STOP_KEEPALIVE_LINGER))

    def handle_request(self, req: Request, conn: TConn) -> Any:
        """Answer one request; a client that takes nothing of its answer is given up."""
        try:
            return super().handle_request(req, conn)
        except BlockingIOError as error:
            raise NoMoreData from error

    def set_accept_enabled(self, enabled: bool) -> None:
        """Begin or cease to accept; at the end take those who wait already, and let no other in."""
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            before = None
            while before != self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """Close connections that wait for a request by `deadline`, those too that had none yet."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)


def _end(sock: socket.socket) -> None:
    """Send no more, and wait shortly for the client to end too: it may still read its answer.

    gunicorn does the same afterwards, but on the thread that accepts: there it must not wait.
    """
    deadline = time.monotonic() + CLOSE_SECONDS
    with suppress(OSError):
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET)) == _RESET:
            sock.close()  # An answer that was broken off: an orderly end would pass for its whole.
            return
        sock.shutdown(socket.SHUT_WR)
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            if not sock.recv(65536):
                break
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class ScorelineRequest(Request):  # type: ignore[misc]
    """A request whose line may be longer and whose Content-Type may be repeated.

    gunicorn refuses both. A call that deletes a thousand scores names them in its first line, and
    FastAPI's servers take the first of two Content-Types.
    """

    def read_line(self, unreader: Unreader, buf: bytearray, _limit: int = 0) -> Any:
        """Read the request line."""
        return super().read_line(unreader, buf, REQUEST_LINE_BYTES)

    def _apply_header_policy(
        self, name: str, value: str, scheme_state: list[bool], seen: set[str], *rest: Any, **kw: Any
    ) -> Any:
        if name == "CONTENT-TYPE" and name in seen:
            return None
        return super()._apply_header_policy(name, value, scheme_state, seen, *rest, **kw)

    def should_close(self) -> bool:
        """Return whether the connection ends with this request, as it does after broken chunks."""
        return bool(self.body.failed or super().should_close())


class Parser(RequestParser):  # type: ignore[misc]
    """The requests of one connection."""

    mesg_class = ScorelineRequest

    def __iter__(self) -> Iterator[ScorelineRequest]:
        return self

    def __next__(self) -> ScorelineRequest:
        """Read the head of the next request. Raises NoMoreData on a client that stalls."""
        try:
            request: ScorelineRequest = super().__next__()
        except BlockingIOError as error:
            raise NoMoreData from error
        return request
