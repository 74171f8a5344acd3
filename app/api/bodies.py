"""Read request bodies within the limits of size, time and memory."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
import time
from email.message import Message
from typing import IO, Any

from flask import Request, current_app, g
from gunicorn.http.errors import ParseException

from app import jsontext
from app.api.limits import acquire, begin_long_request
from app.api.parsing import dense_bodies, is_dense
from app.errors import Busy, Encoded, TooLarge, TooSlow, Unreadable

BODY_IS_READ = "scoreline.body_is_read"
"""The key that is set in WSGI's environ once the whole body has been read."""

DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_SECONDS = 5.0
_CHUNK = 64 * 1024

LARGE = 256 * 1024
"""A body of more bytes counts as a long request."""

PARSING_SECONDS = 20.0
"""How long a large body waits for others, and a dense one once more; the SDK waits for 30."""

WAITED = "Other large bodies take too long, try again later"
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
    """Return the whole body; a large one is in a temporary file until it may be parsed.

    Raises TooLarge, TooSlow, Unreadable, Busy and ClientGone. Werkzeug's own limit would truncate a
    chunked body instead of rejecting it.
    """
    limit = request.max_content_length or current_app.config["MAX_CONTENT_LENGTH"]
    environ = request.environ
    given = environ.get("CONTENT_LENGTH")
    length = int(given) if given else None  # gunicorn accepts only digits.
    if length is not None and length > limit:
        raise TooLarge(_over(limit))
    if length is not None and length > LARGE:
        begin_long_request()
    stream = environ["wsgi.input"]
    data = receive(stream, min(limit, LARGE) + 1)
    if len(data) > limit:
        raise TooLarge(_over(limit))
    if len(data) > LARGE:
        begin_long_request()
        return _read_large(environ, data, length, limit)
    _end(environ, len(data), length)
    return data


def receive(stream: IO[bytes], most: int) -> bytes:
    """Return up to `most` bytes of a body, fewer at its end. Raises TooSlow and Unreadable."""
    try:
        return stream.read(most)
    except (TimeoutError, BlockingIOError):  # Raised by a stalled socket, see worker.py.
        raise TooSlow("The body arrived too slowly") from None
    except (ParseException, OSError):
        raise Unreadable("There was an error parsing the body") from None


def _read_large(environ: dict[str, Any], beginning: bytes, length: int | None, limit: int) -> bytes:
    """Return a body of which the beginning was read, once it may be parsed."""
    with _temporary_file() as file:
        size, chunk = 0, beginning
        while chunk:
            size += len(chunk)
            if size > limit:
                raise TooLarge(_over(limit))
            _write(file, chunk)
            chunk = receive(environ["wsgi.input"], _CHUNK)
        _end(environ, size, length)
        begin_parsing()
        file.seek(0)
        data = file.read()
    if is_dense(data):
        _begin_dense()
    return data


def read_file(request: Request, name: str = "file") -> tuple[str | None, IO[bytes] | None]:
    """Return `project_id` and a file of a form, None where they are missing.

    Werkzeug writes a large file to the disk while it arrives, and raises its own errors. Raises
    Busy and ClientGone.
    """
    project_id, sent = request.form.get("project_id"), request.files.get(name)
    request.environ[BODY_IS_READ] = True
    if sent is None:
        return project_id, None
    if sent.seek(0, os.SEEK_END) > LARGE:
        begin_parsing()
    sent.seek(0)
    return project_id, sent.stream


def _temporary_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise _no_room(error) from error


def _write(file: IO[bytes], data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[file.write(left) :]
        except OSError as error:
            raise _no_room(error) from error


def _no_room(error: OSError) -> Busy:
    return Busy(f"There is no room for a large body in {tempfile.gettempdir()}: {error.strerror}")


def _end(environ: dict[str, Any], size: int, length: int | None) -> None:
    """Note that a body has been read to its end. Raises Unreadable if it was cut off."""
    environ[BODY_IS_READ] = True
    if length is not None and size < length:
        raise Unreadable("The body is shorter than its Content-Length")


def begin_parsing() -> None:
    """Wait until this process parses no other large body. Raises Busy and ClientGone.

    Parsed objects take some 35 times as much memory as their text, so only one is parsed at a time.
    """
    if not g.get("is_parsing"):
        acquire(_parsing, PARSING_SECONDS, WAITED)
        g.is_parsing = True


def _begin_dense() -> None:
    """Wait until no process of the service parses another dense body. Raises Busy, ClientGone.

    Python's collection of cycles, of which JSON has none, would take nine tenths of the time.
    """
    acquire(dense_bodies, PARSING_SECONDS, WAITED)
    g.is_parsing_dense = True
    gc.disable()


def end_parsing(_error: BaseException | None = None) -> None:
    """Allow the next large body to be parsed; called at the end of each request."""
    if g.pop("is_parsing_dense", False):
        gc.enable()
        dense_bodies.release()
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
