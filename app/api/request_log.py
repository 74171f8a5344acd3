"""Give each request an id, log it in one line, and count it."""

from __future__ import annotations

import logging
import re
import secrets
import time

from flask import Flask, Request, Response, abort, request

from app.api.auth import current_key
from app.api.bodies import BODY_IS_READ, drain, end_parsing
from app.api.state import state
from app.logs import fields, request_id

log = logging.getLogger("scoreline.requests")

STARTED = "scoreline.started"
"""The key in WSGI's environ for the time at which the request started."""

MAX_PATH = 8_192
"""The most bytes of a decoded path, and so of entity and project together."""

_VALID_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def install(app: Flask) -> None:
    """Log every request of `app`."""
    app.before_request(_start)
    app.after_request(_finish)
    app.teardown_request(end_parsing)


def _start() -> None:
    environ = request.environ
    environ[STARTED] = time.perf_counter()
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    request_id.set(sent if _VALID_ID.fullmatch(sent) else secrets.token_hex(16))
    path = environ["PATH_INFO"]
    if len(path) > MAX_PATH:
        abort(414)
    if path.startswith("//"):
        # Werkzeug would ignore the empty first segment.
        abort(404)


def _finish(response: Response) -> Response:
    # Flask's proxy would look up the request at each use.
    current: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
    environ = current.environ
    if current.method != "GET" and BODY_IS_READ not in environ:
        response.call_on_close(lambda: drain(environ))
    response.headers["X-Request-Id"] = request_id.get() or ""
    seconds = time.perf_counter() - environ[STARTED]
    rule = current.url_rule
    state().metrics.count_request(
        rule.rule if rule else None, current.method, response.status_code, seconds
    )
    if log.isEnabledFor(logging.INFO):
        key = current_key()
        log.info(
            "request",
            extra=fields(
                method=current.method,
                path=current.path,
                status=response.status_code,
                milliseconds=round(seconds * 1000, 2),
                key_id=key.key_id if key else None,
            ),
        )
    return response
