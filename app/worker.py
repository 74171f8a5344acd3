"""gunicorn's threaded worker with stricter timeouts, fewer hand-overs and a clean stop.

A thread keeps its connection for some milliseconds after a response, because a busy client sends
its next request at once, and handing the connection to the main thread and back costs a third of a
request (docs/performance.md).
"""

from __future__ import annotations

import math
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

from gunicorn.config import Config
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import NoMoreData
from gunicorn.http.message import Request, _ip_in_allow_list
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader
from gunicorn.workers.gthread import _DEFER, STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

STAY_MILLISECONDS = 5
"""How long a thread waits for the next request on its connection."""

SEND_SECONDS, RECEIVE_SECONDS = 10, 60
"""How long a client may pause while it sends a request, or while it receives a response.

A slow client may pause for long even if it never stops reading: its system only accepts more data
once a large part of its buffer is free, which takes 20 seconds at 20 KB/s.
"""

CLOSE_SECONDS = 2.0
"""How long closing waits for the client to close its side (RFC 9112, section 9.6)."""

REQUEST_LINE_BYTES = 256 * 1024
_RESET = struct.pack("ii", 1, 0)
"""The value of SO_LINGER that resets the connection on close."""

_TIMEOUTS = {
    socket.SO_RCVTIMEO: struct.pack("ll", SEND_SECONDS, 0),
    socket.SO_SNDTIMEO: struct.pack("ll", RECEIVE_SECONDS, 0),
}


class Worker(ThreadWorker):  # type: ignore[misc]
    """Serve requests on threads; see `gunicorn.workers.gthread`, whose methods these refine."""

    slot = 0
    """The number of this worker among the running ones; its replacement gets the same number."""

    wsgi: Any = None

    def init_process(self) -> None:
        """Serve, with gunicorn's settings as attributes: a request reads some 25 of them."""
        self.cfg.__dict__.update((name, each.get()) for name, each in self.cfg.settings.items())
        self._active: set[TConn] = set()
        self._in_head: set[TConn] = set()
        self._end_of_heads = math.inf
        super().init_process()

    def enqueue_req(self, conn: TConn) -> None:
        """Queue a connection for the next free thread."""
        if conn.parser is None:
            for option, timeout in _TIMEOUTS.items():
                conn.sock.setsockopt(socket.SOL_SOCKET, option, timeout)
            conn.parser = Parser(self.cfg, conn.sock, conn.client)
        super().enqueue_req(conn)

    def handle_exit(self, *signal: Any) -> None:
        """Begin to stop: finish running requests, and end long polls."""
        self._end_waits()
        super().handle_exit(*signal)

    def handle_quit(self, *signal: Any) -> None:
        """Stop at once, as gunicorn does, without waiting for slow clients."""
        self._end_waits()
        for conn in self._active.copy():
            _shut_down(conn, socket.SHUT_RDWR)
        super().handle_quit(*signal)

    def _end_waits(self) -> None:
        if self.wsgi:
            self.wsgi.extensions["scoreline"].stopping.set()

    def handle(self, conn: TConn) -> Any:
        """Handle the requests of a connection until its client pauses."""
        if not (conn.initialized or conn.data_ready or self._is_readable(conn)):
            return _DEFER
        conn.data_ready = True
        kept = self._handle_next(conn)
        while kept and self.alive and not self._is_busy() and self._is_readable(conn):
            kept = self._handle_next(conn)
        if not kept:
            _end(conn.sock)
        return kept

    def _handle_next(self, conn: TConn) -> Any:
        """Handle the next request of a connection."""
        self._active.add(conn)
        self._in_head.add(conn)
        try:
            return super().handle(conn)
        finally:
            self._in_head.discard(conn)
            self._active.discard(conn)

    def _is_busy(self) -> bool:
        """Return whether another connection waits for a thread."""
        idle = len(self.keepalived_conns) + len(self.pending_conns)
        return bool(self.nr_conns - idle > self.cfg.threads)

    def _is_readable(self, conn: TConn) -> bool:
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(STAY_MILLISECONDS if self.alive else 1000 * STOP_KEEPALIVE_LINGER))

    def handle_request(self, req: Request, conn: TConn) -> Any:
        """Handle one request, and drop a client that does not receive its response."""
        self._in_head.discard(conn)
        try:
            return super().handle_request(req, conn)
        except BlockingIOError as error:
            raise NoMoreData from error

    def set_accept_enabled(self, enabled: bool) -> None:
        """Start or stop accepting; at the end, accept queued connections and close listeners."""
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
        """Close idle connections by `deadline`, including those that sent no request yet."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)
        self._end_of_heads = deadline

    def murder_pending(self) -> None:
        """Close expired idle connections; at a stop also those whose next head is incomplete."""
        super().murder_pending()
        if time.monotonic() > self._end_of_heads:
            for conn in self._in_head.copy():
                _shut_down(conn, socket.SHUT_RD)


def _shut_down(conn: TConn, how: int) -> None:
    with suppress(OSError):  # Its client or its thread has closed it.
        conn.sock.shutdown(how)


def _end(sock: socket.socket) -> None:
    """Shut down our side, and wait briefly for the client's, which may still be reading.

    gunicorn does the same later, but on the main thread, which must not wait.
    """
    deadline = time.monotonic() + CLOSE_SECONDS
    with suppress(OSError):
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET)) == _RESET:
            sock.close()  # The response is incomplete, and a clean end would make it look complete.
            return
        sock.shutdown(socket.SHUT_WR)
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            if not sock.recv(65536):
                break
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class ScorelineRequest(Request):  # type: ignore[misc]
    """A request that may have a longer request line and more than one Content-Type.

    gunicorn rejects both. A call that deletes a thousand scores names them in its request line, and
    FastAPI's servers use the first of two Content-Types.
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

    def _peer_is_trusted_proxy(self) -> bool:
        peer = self.peer_addr  # For a Unix socket, it is no tuple.
        return not isinstance(peer, tuple) or _is_trusted_proxy(self.cfg, peer[0])

    def should_close(self) -> bool:
        """Return whether to close the connection after this request, as after malformed chunks."""
        return bool(self.body.failed or super().should_close())


@lru_cache(maxsize=1024)
def _is_trusted_proxy(cfg: Config, address: str) -> bool:
    """Return whether a client may send X-Forwarded-Proto; gunicorn parses its address each time."""
    networks = cfg.forwarded_allow_networks()
    return bool(_ip_in_allow_list(address, cfg.forwarded_allow_ips, networks))


class Parser(RequestParser):  # type: ignore[misc]
    """Iterates over the requests of a connection."""

    mesg_class = ScorelineRequest

    def __iter__(self) -> Iterator[ScorelineRequest]:
        return self

    def __next__(self) -> ScorelineRequest:
        """Read the head of the next request. Raises NoMoreData if the client stalls."""
        try:
            request: ScorelineRequest = super().__next__()
        except BlockingIOError as error:
            raise NoMoreData from error
        return request

    def finish_body(self, *bounds: Any, **named: Any) -> bool:
        """Discard the rest of a body, without system calls if there is none."""
        body = self.mesg.body if self.mesg else None
        if body and isinstance(body.reader, LengthReader) and not body.reader.length:
            return not body.failed
        return bool(super().finish_body(*bounds, **named))
