"""Read request bodies within the limits of size, time and memory."""

from __future__ import annotations

import threading
import time
from email.message import Message
from typing import IO, Any

from flask import Request, current_app, g
from gunicorn.http.errors import ParseException

from app import jsontext
from app.api.limits import acquire, begin_long_request
from app.errors import Encoded, TooLarge, TooSlow, Unreadable

BODY_IS_READ = "scoreline.body_is_read"
"""The key that is set in WSGI's environ once the whole body has been read."""

DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_SECONDS = 5.0
_CHUNK = 64 * 1024

LARGE = 256 * 1024
"""A body of more bytes counts as a long request."""

PARSING_SECONDS = 60.0
_parsing = threading.Lock()


def reject_encoded(request: Request) -> None:
    """Raise Encoded if the body has a Content-Encoding, such as gzip."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise Encoded(f"Send the body without Content-Encoding: {encoding} is not supported")


def read_body(request: Request, empty: Any = None) -> Any:
    """Return the parsed body if its type is JSON, otherwise its text; `empty` if there is none.

    Raises the errors of `read_bytes` and `jsontext.read`.
    """
    data = read_bytes(request)
    if not data:
        return empty
    if _is_json(request.environ.get("CONTENT_TYPE")):
        return jsontext.read(data)
    return data.decode("utf-8", "replace")


def read_bytes(request: Request) -> bytes:
    """Return the whole body, holding no more than the limit in memory.

    Raises TooLarge, TooSlow, Unreadable, Busy and ClientGone. Werkzeug's own limit would truncate a
    chunked body instead of rejecting it.
    """
    limit = request.max_content_length or current_app.config["MAX_CONTENT_LENGTH"]
    environ = request.environ
    given = environ.get("CONTENT_LENGTH")
    length = int(given) if given else None  # gunicorn accepts only digits.
    if length is not None and length > limit:
        raise TooLarge(_over(limit))
    try:
        data = _read(environ["wsgi.input"], length, limit)
    except (TimeoutError, BlockingIOError):  # Raised by a stalled socket, see worker.py.
        raise TooSlow("The body arrived too slowly") from None
    except (ParseException, OSError):
        raise Unreadable("There was an error parsing the body") from None
    if len(data) > limit:
        raise TooLarge(_over(limit))
    environ[BODY_IS_READ] = True
    if length is not None and len(data) < length:
        raise Unreadable("The body is shorter than its Content-Length")
    if len(data) > LARGE:
        _begin_parsing()
    return data


def _read(stream: IO[bytes], length: int | None, limit: int) -> bytes:
    """Read at most one byte more than `limit`; count a large body as a long request first."""
    if length is not None:
        if length > LARGE:
            begin_long_request()
        return stream.read(limit + 1)
    beginning = stream.read(min(LARGE, limit) + 1)
    if len(beginning) <= LARGE:
        return beginning
    begin_long_request()
    return beginning + stream.read(limit + 1 - len(beginning))


def _begin_parsing() -> None:
    """Wait until this process parses no other large body. Raises Busy and ClientGone.

    Parsed objects take some 35 times as much memory as their text, so only one is parsed at a time.
    """
    acquire(_parsing, PARSING_SECONDS, "Other large bodies take too long, try again later")
    g.is_parsing = True


def end_parsing(_error: BaseException | None = None) -> None:
    """Allow the next large body to be parsed; called at the end of each request."""
    if g.pop("is_parsing", False):
        _parsing.release()


def _over(limit: int) -> str:
    return f"The body is over the limit of {limit} bytes"


def _is_json(content_type: str | None) -> bool:
    """Apply FastAPI's rule: application/json, application/*+json or no type at all."""
    if not content_type or content_type == "application/json":
        return True
    header = Message()
    header["content-type"] = content_type
    subtype = header.get_content_subtype()
    return header.get_content_maintype() == "application" and (
        subtype == "json" or subtype.endswith("+json")
    )


def drain(environ: dict[str, Any]) -> None:
    """Read and discard the rest of the body after the response, within limits.

    Otherwise the connection of a client that is still sending would be reset before it has read the
    response.
    """
    connection = environ.get("gunicorn.socket")
    if connection is None:
        return
    timeout = connection.gettimeout()
    left, deadline = DRAIN_BYTES, time.monotonic() + DRAIN_SECONDS
    while left > 0 and time.monotonic() < deadline:
        try:
            connection.settimeout(DRAIN_SECONDS)
            chunk = environ["wsgi.input"].read(_CHUNK)
        except (OSError, ParseException):
            return  # The client is gone, too slow or sends no HTTP; gunicorn closes the connection.
        finally:
            connection.settimeout(timeout)
        if not chunk:
            return
        left -= len(chunk)
