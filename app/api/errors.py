"""Turn exceptions into JSON responses, by the only table of statuses."""

from __future__ import annotations

import logging
import math
from typing import Any
from urllib.parse import quote

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound as NoRoute

from app.api.contract import json_response
from app.api.idempotency import reused_header
from app.api.inputs import bounded, validation_error
from app.errors import (
    BeingDeleted,
    Busy,
    ClientGone,
    Conflict,
    CursorExpired,
    Deleted,
    Encoded,
    Forbidden,
    ForeignPage,
    IdTaken,
    Invalid,
    InvalidParameter,
    KeyReused,
    NotAuthenticated,
    NotFound,
    RunReplaced,
    ScorelineError,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreInaccessible,
    StoreRefused,
    StoreUnavailable,
    TooLarge,
    TooMany,
    TooManyKeys,
    TooSlow,
    Unreadable,
    Unsupported,
)
from app.logs import request_id
from app.schemas.fields import Reason

log = logging.getLogger("scoreline.errors")

RETRY_AFTER_SECONDS = 1
PATH_SAFE = "/:@!$&'()*+,;=~"
"""Characters that need no quoting in a path (RFC 3986, pchar)."""

STATUSES: dict[type[ScorelineError], tuple[int, str | None]] = {
    NotAuthenticated: (401, "Not authenticated"),
    Forbidden: (403, "Forbidden"),
    ForeignPage: (403, None),
    **dict.fromkeys((NotFound, Deleted), (404, "Not Found")),
    CursorExpired: (410, None),
    Conflict: (409, None),
    Invalid: (422, None),
    InvalidParameter: (422, None),
    KeyReused: (422, None),
    IdTaken: (422, None),
    Unsupported: (422, None),
    TooManyKeys: (422, None),
    Unreadable: (400, None),
    TooLarge: (413, None),
    Encoded: (415, None),
    TooMany: (429, None),
    TooSlow: (408, None),
    ClientGone: (499, "The client has disconnected"),
    Busy: (503, None),
    StoreUnavailable: (503, "The store does not answer"),
    BeingDeleted: (503, None),
    RunReplaced: (503, None),
    StoreBusy: (503, "The store cannot keep up"),
    StoreFull: (503, "The store is full"),
    StoreDamaged: (503, "The store is damaged"),
    StoreRefused: (503, "The store cannot be used"),
    StoreInaccessible: (503, "The store cannot be used"),
}
"""The status of each error, and the sentence to return instead of the error's own message."""


def install(app: Flask) -> None:
    """Register handlers that return every error of `app` as JSON."""
    app.register_error_handler(ScorelineError, _scoreline_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(NoRoute, _no_route)
    app.register_error_handler(Exception, _unexpected_error)


def _scoreline_error(error: ScorelineError) -> Response:
    if isinstance(error, Invalid):
        return _detail(422, bounded(error.errors, error.num_more))
    status, sentence = STATUSES[type(error)]
    if status == 422:
        return _detail(422, _value_errors(error))
    if isinstance(error, NotFound | Forbidden):
        details = error.details if isinstance(error, NotFound) else {}
        return json_response({"detail": sentence, "reason": str(error), **details}, status)
    response = _detail(status, sentence or str(error))
    if status == 401:
        response.headers.add("WWW-Authenticate", 'Basic realm="scoreline"')
        response.headers.add("WWW-Authenticate", "Bearer")
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(math.ceil(error.wait))
    if status == 503:
        log.error("%s: %s", sentence or "refused", error)
        response.headers["Retry-After"] = str(g.get("retry_after_seconds", RETRY_AFTER_SECONDS))
    return response


def _http_error(error: HTTPException) -> Response:
    """Return an error that Werkzeug raises, such as a 405 with its Allow header."""
    response = _detail(error.code or 500, error.name)
    for name, value in error.get_headers(request.environ):
        if name != "Content-Type":
            response.headers[name] = value
    return response


def _no_route(_error: NoRoute) -> Response:
    """Return 404 or, like FastAPI, a redirect to the route without trailing slashes.

    For a single slash, the location is a relative reference (RFC 3986), so that it is also right
    behind a prefix that a proxy strips. For several, it is an absolute path, because clients
    disagree on how to resolve a relative reference then.
    """
    path = request.path.rstrip("/")
    if request.path != path and _is_route(path):
        is_one = request.path == f"{path}/"
        location = quote(f"../{path.rpartition('/')[2]}" if is_one else path, safe=PATH_SAFE)
        query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
        redirect = Response(status=307, headers={"Location": location + query})
        del redirect.headers["Content-Type"]  # There is no content, and the default is HTML.
        return redirect
    return _detail(404, "Not Found")


def _is_route(path: str) -> bool:
    adapter = current_app.create_url_adapter(request)
    return adapter is not None and bool(adapter.allowed_methods(path))


def _unexpected_error(error: Exception) -> Response:
    """Log an unexpected error with its traceback, and return only the request id."""
    log.error("unexpected error", exc_info=error)
    return json_response(
        {"detail": "Internal Server Error", "request_id": request_id.get()}, status=500
    )


def _value_errors(error: ScorelineError) -> list[dict[str, Any]]:
    """Return FastAPI's list for an error that no schema finds, as a pydantic validator's error."""
    if isinstance(error, IdTaken):
        taken = Reason(f"{error.field}_taken", str(error))
        return [validation_error(taken, ("body", error.field), error.given)]
    reason = Reason("value_error", f"Value error, {error}", {"error": {}})
    if isinstance(error, TooManyKeys):
        return [validation_error(reason, ("body",), None)]
    if isinstance(error, Unsupported):
        return [validation_error(reason, ("query",), None)]
    if isinstance(error, InvalidParameter):
        return [validation_error(reason, (error.place, *error.within, error.name), error.given)]
    return [reused_header()]


def _detail(status: int, detail: Any) -> Response:
    return json_response({"detail": detail}, status)
