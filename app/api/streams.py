"""A stream that fails after its 200: it is broken off, so that nobody takes it for complete."""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from app.errors import ScorelineError

log = logging.getLogger("scoreline.errors")

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER's «throw away what is not sent, and reset» when the connection is closed."""


def breaking(chunks: Iterator[bytes], environ: Mapping[str, Any]) -> Iterator[bytes]:
    """The chunks; an error of ours among them is logged in one line and ends the connection.

    A chunked answer then lacks its last chunk. HTTP/1.0 has no chunks, an end is an end there: the
    connection is reset. Raises ConnectionResetError: the worker closes at once.
    """
    try:
        yield from chunks
    except ScorelineError as error:
        log.error("an answer was broken off: %s", error)
        connection = environ.get("gunicorn.socket")
        if connection and environ["SERVER_PROTOCOL"] == "HTTP/1.0":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        raise ConnectionResetError(errno.ECONNRESET, "broken off") from error
