"""A request's body: which bytes are JSON, how much is read, and what becomes of the rest."""

from __future__ import annotations

import threading
import time
from email.message import Message
from typing import IO, Any

from flask import Request, current_app, g
from gunicorn.http.errors import ParseException

from app import jsontext
from app.api.limits import acquire, take_place
from app.errors import Encoded, TooLarge, TooSlow, Unreadable

BODY_IS_READ = "scoreline.body_is_read"
"""WSGI's environ has this key once nothing of the body is left to read."""

DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_SECONDS = 5.0
_PIECE = 64 * 1024

LARGE = 256 * 1024
"""Bytes from which on a body takes a place among the long requests."""

PARSING_SECONDS = 60.0
_parsing = threading.Lock()


def refuse_encoded(request: Request) -> None:
    """Raise Encoded when the body is compressed, or encoded in any other way."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise Encoded(f"Send the body without Content-Encoding: {encoding} is not supported")


def read_body(request: Request) -> Any:
    """Return the body's content: JSON where it is JSON, else text; None when it is empty.

    Raises what `read_bytes` and `jsontext.read` raise.
    """
    data = read_bytes(request)
    if not data:
        return None
    if _is_json(request.environ.get("CONTENT_TYPE")):
        return jsontext.read(data)
    return data.decode("utf-8", "replace")


def read_bytes(request: Request) -> bytes:
    """Return the whole body; no more than the limit is ever in memory.

    Werkzeug's own limit cuts a chunked body short instead of refusing it. Raises TooLarge, TooSlow,
    Unreadable, Busy and ClientGone.
    """
    limit: int = current_app.config["MAX_CONTENT_LENGTH"]
    environ = request.environ
    given = environ.get("CONTENT_LENGTH")
    length = int(given) if given else None  # gunicorn takes nothing but digits.
    if length is not None and length > limit:
        raise TooLarge(_over(limit))
    try:
        data = _read(environ["wsgi.input"], length, limit)
    except (TimeoutError, BlockingIOError):  # What a stalled socket raises, see worker.py.
        raise TooSlow("The body came too slowly") from None
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
    """Read up to a byte more than `limit`; a large body takes a place before it is read."""
    if length is not None:
        if length > LARGE:
            take_place()
        return stream.read(limit + 1)
    beginning = stream.read(min(LARGE, limit) + 1)
    if len(beginning) <= LARGE:
        return beginning
    take_place()
    return beginning + stream.read(limit + 1 - len(beginning))


def _begin_parsing() -> None:
    """Wait until this process parses no other large body. Raises Busy and ClientGone.

    Python's objects take some 35 times the bytes of their text: one at a time bounds the memory.
    """
    acquire(_parsing, PARSING_SECONDS, "Other large bodies take too long, try again later")
    g.is_parsing = True


def end_parsing(_error: BaseException | None = None) -> None:
    """Let the next large body be parsed; called at the end of each request."""
    if g.pop("is_parsing", False):
        _parsing.release()


def _over(limit: int) -> str:
    return f"The body is over the limit of {limit} bytes"


def _is_json(content_type: str | None) -> bool:
    """FastAPI's rule: application/json, application/*+json, or no type at all."""
    if not content_type or content_type == "application/json":
        return True
    header = Message()
    header["content-type"] = content_type
    subtype = header.get_content_subtype()
    return header.get_content_maintype() == "application" and (
        subtype == "json" or subtype.endswith("+json")
    )


def drain(environ: dict[str, Any]) -> None:
    """Read and drop what the view left of the body, within bounds, once it is answered.

    A client that is still sending does not read the answer, and would have its connection reset.
    """
    connection = environ.get("gunicorn.socket")
    if connection is None:
        return
    before = connection.gettimeout()
    left, deadline = DRAIN_BYTES, time.monotonic() + DRAIN_SECONDS
    while left > 0 and time.monotonic() < deadline:
        try:
            connection.settimeout(DRAIN_SECONDS)
            piece = environ["wsgi.input"].read(_PIECE)
        except (OSError, ParseException):
            return  # The client is gone, or too slow, or sends no HTTP: gunicorn closes.
        finally:
            connection.settimeout(before)
        if not piece:
            return
        left -= len(piece)
