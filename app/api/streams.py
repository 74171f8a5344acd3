"""Stream JSON lines and files in large chunks, without holding a whole response in memory."""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Response, after_this_request, request
from marshmallow import Schema

from app.api.contract import View, contract_of
from app.api.limits import client_check
from app.errors import ClientGone, ScorelineError
from app.services.lists import ClientCheck, Page

log = logging.getLogger("scoreline.errors")

CHUNK = 64 * 1024
"""About how many bytes are written at once."""

_RESET = struct.pack("ii", 1, 0)
"""The value of SO_LINGER that discards unsent data and resets the connection on close."""


def lines(schema: type[Schema], header: str = "Link") -> Callable[[View], View]:
    """Stream the page that the view returns as JSON lines, with a link to the next page.

    `header` names the response header with the position of the next page, for the documentation.
    """
    dumper = schema()

    def decorate(view: View) -> View:
        contract = contract_of(view)
        contract.response, contract.mimetype = schema, "application/jsonl"
        contract.header = header

        @wraps(view)
        def wrapper(**rest: Any) -> Response:
            page: Page[Any] = view(**rest)
            if page.next_after:
                link_to_page_after(page.next_after)
            pieces = (f"{dumper.dumps(each)}\n".encode() for each in page.items)
            return stream(pieces, contract.mimetype)

        return wrapper  # type: ignore[return-value]

    return decorate


def link_to_page_after(last_id: str) -> None:
    """Add a `Link` header to this request's response, with the page of its list after an id.

    The link is a relative reference (RFC 3986) that is only a query, so that it is right behind any
    host name and any prefix that a proxy strips.
    """
    given = parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True)
    kept = [(name, value) for name, value in given if name not in ("after", "offset")]
    link = f'<?{urlencode([*kept, ("after", last_id)])}>; rel="next"'

    @after_this_request
    def add_link(response: Response) -> Response:
        if response.status_code == 200:
            response.headers["Link"] = link
        return response


def stream(pieces: Iterable[bytes], mimetype: str) -> Response:
    """Return a response that streams `pieces`, joined to chunks of about CHUNK bytes.

    The first chunk is computed now, so that its errors still get a response with their status.
    Pieces are computed only as long as the client is connected.
    """
    chunks = _chunks(pieces, client_check())
    first = next(chunks)
    return Response(break_on_error(chain([first], chunks), request.environ), mimetype=mimetype)


def _chunks(pieces: Iterable[bytes], check_client: ClientCheck) -> Iterator[bytes]:
    """Yield `pieces` joined to chunks; yield at least one chunk."""
    waiting: list[bytes] = []
    length = 0
    for piece in pieces:
        check_client()
        waiting.append(piece)
        length += len(piece)
        if length > CHUNK:
            yield b"".join(waiting)
            waiting, length = [], 0
    yield b"".join(waiting)


def break_on_error(chunks: Iterator[bytes], environ: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield `chunks`; on an error, log it and close the connection so that the client notices.

    A chunked response then lacks its last chunk. HTTP/1.0 has no chunks, and a normal close would
    look like the end of the response, so the connection is reset. Raises ConnectionResetError,
    which makes the worker close the connection.
    """
    try:
        yield from chunks
    except ScorelineError as error:
        if not isinstance(error, ClientGone):
            log.error("a response was broken off: %s", error)
        connection = environ.get("gunicorn.socket")
        if connection and environ["SERVER_PROTOCOL"] == "HTTP/1.0":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        raise ConnectionResetError(errno.ECONNRESET, "broken off") from error
