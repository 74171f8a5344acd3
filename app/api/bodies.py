"""A request's body: which bytes are JSON, how much of it is read, and what is left unread."""

from __future__ import annotations

import threading
import time
from email.message import Message
from typing import Any

from flask import Request, current_app, g
from gunicorn.http.errors import ParseException

from app import jsontext
from app.errors import Busy, TooLarge, TooSlow, Unreadable

BODY_IS_READ = "scoreline.body_is_read"
"""Whether WSGI's environ has nothing left of the body to read."""

DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_SECONDS = 5.0
_PIECE = 64 * 1024

LARGE = 256 * 1024
LARGE_SECONDS = 60.0
_large_turn = threading.Lock()


def read_body(request: Request) -> Any:
    """The body's content: JSON where it is JSON, else text; None when it is empty.

    Raises TooLarge, Unreadable and what `jsontext.read` raises.
    """
    data = read_bytes(request)
    if not data:
        return None
    if _is_json(request.environ.get("CONTENT_TYPE")):
        return jsontext.read(data)
    return data.decode("utf-8", "replace")


def read_bytes(request: Request) -> bytes:
    """The whole body, of which no more than the limit is ever in memory.

    Werkzeug's own limit cuts a chunked body short instead of refusing it. Raises TooLarge and
    Unreadable.
    """
    limit: int = current_app.config["MAX_CONTENT_LENGTH"]
    environ = request.environ
    given = environ.get("CONTENT_LENGTH")
    length = int(given) if given else None  # gunicorn takes no other than digits.
    if length is not None and length > limit:
        raise TooLarge(_over(limit))
    try:
        data: bytes = environ["wsgi.input"].read(limit + 1)
    except TimeoutError:
        raise TooSlow("The body came too slowly") from None
    except (ParseException, OSError):
        raise Unreadable("There was an error parsing the body") from None
    if len(data) > limit:
        raise TooLarge(_over(limit))
    environ[BODY_IS_READ] = True
    if length is not None and len(data) < length:
        raise Unreadable("The body is shorter than its Content-Length")
    if len(data) > LARGE:
        _take_large_turn()
    return data


def _take_large_turn() -> None:
    """Wait until no other large body is in this process, read as Python's objects.

    Those take some 35 times the bytes of the text: one at a time bounds the memory.
    """
    if not _large_turn.acquire(timeout=LARGE_SECONDS):
        raise Busy("a large body waited too long for its turn")
    g.has_large_turn = True


def give_large_turn_back(_error: BaseException | None = None) -> None:
    """At the end of a request: let the next large body be read."""
    if g.pop("has_large_turn", False):
        _large_turn.release()


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
    """Read and forget what the view left of the body, within bounds, once it is answered.

    A client that is still sending reads no answer, and would find its connection reset instead.
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
