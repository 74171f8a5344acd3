"""How gunicorn serves: `gunicorn --config config/gunicorn.py "app:create_app()"`.

gunicorn runs this file once, in the master process, before any worker exists.
"""

from __future__ import annotations

import json
import logging.config
import os
import secrets
import signal
import socket
import sys
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import TConn, ThreadWorker

from app.logs import logging_config, request_id
from app.start import first_start
from config.settings import SettingsError, read_settings

REQUEST_LINE_BYTES = 256 * 1024


class JsonLogger(Logger):  # type: ignore[misc]
    """gunicorn's logger with Scoreline's lines."""

    def setup(self, cfg: Config) -> None:
        """Set the loggers up as gunicorn does, then format them as ours."""
        super().setup(cfg)
        logging.config.dictConfig(logging_config(settings.log_level))


class ScorelineRequest(Request):  # type: ignore[misc]
    """A request as Scoreline reads it: gunicorn refuses some that FastAPI's servers take."""

    def read_line(self, unreader: Unreader, buf: bytearray, _limit: int = 0) -> Any:
        """Read the request line: a thousand score_ids to delete are more than gunicorn takes."""
        return super().read_line(unreader, buf, REQUEST_LINE_BYTES)

    def _apply_header_policy(
        self, name: str, value: str, scheme_state: list[bool], seen: set[str], *rest: Any, **kw: Any
    ) -> tuple[str, str] | None:
        if name == "CONTENT-TYPE" and name in seen:
            return None  # The first one counts.
        kept: tuple[str, str] | None = super()._apply_header_policy(
            name, value, scheme_state, seen, *rest, **kw
        )
        return kept


class Parser(RequestParser):  # type: ignore[misc]
    """gunicorn's parser of our requests."""

    mesg_class = ScorelineRequest


class JsonWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, which answers broken HTTP in JSON too."""

    statuses = {
        errors.LimitRequestLine: (414, "URI Too Long"),
        errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
        errors.ExpectationFailed: (417, "Expectation Failed"),
        errors.UnsupportedTransferCoding: (501, "Not Implemented"),
        errors.ForbiddenProxyRequest: (403, "Forbidden"),
    }

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take connections or leave them waiting; a worker that stops takes all and closes.

        gunicorn would close after the last answer only, and reset those that came meanwhile.
        """
        super().set_accept_enabled(enabled)
        if not (enabled or self.alive):
            for listener in self.sockets:
                self._take_waiting(listener)
                listener.close()

    def _take_waiting(self, listener: socket.socket) -> None:
        taken = -1
        while taken != self.nr_conns:
            taken = self.nr_conns
            self.accept(listener)

    def handle(self, conn: TConn) -> Any:
        """Answer one request of a connection."""
        request_id.set(None)  # The thread's last request is over.
        conn.parser = conn.parser or Parser(self.cfg, conn.sock, conn.client)
        return super().handle(conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer a request that gunicorn could not read; the connection ends with it."""
        status, reason = self.statuses.get(type(exc), (400, "Bad Request"))
        if not isinstance(exc, errors.ParseException):
            status, reason = 500, "Internal Server Error"
            self.log.error("Error handling request", exc_info=exc)
        number = secrets.token_hex(16)
        request_id.set(number)
        self.log.info("answered %s to what is no HTTP request", status)
        body = json.dumps({"detail": reason}, separators=(",", ":"))
        head = (
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-Request-Id: {number}\r\n\r\n"
        )
        try:
            write_nonblock(client, (head + body).encode())
        except OSError:
            self.log.debug("The client is gone before it was told %s", reason)


def on_starting(_arbiter: Arbiter) -> None:
    """Make the store ready before any worker opens it, and the first key when there is none."""
    # A worker that is told to stop before it has handlers of its own would pass it over in the
    # master's, which it inherits, and be waited for until the graceful timeout.
    os.register_at_fork(after_in_child=_stop_at_once)
    first_start(settings)


def _stop_at_once() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


try:
    settings = read_settings(os.environ)
except SettingsError as error:
    print(f"scoreline: {error}", file=sys.stderr)
    sys.exit(2)

host = f"[{settings.host}]" if ":" in settings.host else settings.host
bind = f"{host}:{settings.port}"
workers = settings.workers
worker_class = JsonWorker
threads = settings.threads
logger_class = JsonLogger
loglevel = settings.log_level
timeout = 30
graceful_timeout = 30
keepalive = 75
control_socket_disable = True
# Of what proxies may say of a request, only whether it came by HTTPS is taken.
forwarder_headers = ""
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
