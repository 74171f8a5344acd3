"""A request as Scoreline reads it: gunicorn's parser, with rules of ours, on bytes at hand."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from gunicorn.config import Config
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import InvalidHeader, InvalidRequestLine, UnsupportedTransferCoding
from gunicorn.http.message import Request, _ip_in_allow_list
from gunicorn.http.unreader import SocketUnreader, Unreader

REQUEST_LINE_BYTES = 256 * 1024

SMALL_BODY = 64 * 1024
"""A body up to this length is put together as it comes, and no thread waits for it."""

_HOST = re.compile(r"([\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?", re.ASCII)

GRACE_SECONDS = 10.0
BYTES_A_SECOND = 8 * 1024
"""How fast a large body must come, on the average, once the grace is over."""


class ScorelineRequest(Request):  # type: ignore[misc]
    """A request whose line may be longer and whose Content-Type may be repeated.

    gunicorn refuses both; FastAPI's servers take them. Beyond gunicorn it refuses what another
    server on the way might read otherwise (RFC 9112, sections 3.2 and 6.1). `is_large` tells that
    its body is read while it is answered: it is long, or nobody knows how long.
    """

    _expected_100_continue: bool

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

    def _peer_is_trusted_proxy(self) -> bool:
        if isinstance(self.peer_addr, tuple):
            return _is_trusted_proxy(self.peer_addr[0], self.cfg)
        return bool(super()._peer_is_trusted_proxy())

    def set_body_reader(self) -> None:
        """Decide how the body is read."""
        super().set_body_reader()
        reader = self.body.reader
        self.length: int | None = reader.length if isinstance(reader, LengthReader) else None
        self.is_large = self.length is None or self.length > SMALL_BODY
        self._check_host()
        if self.length is None:
            self._check_coding()
            reader.parser = self._chunks(reader.parser)

    def _check_host(self) -> None:
        """One valid Host, and none other in the request line."""
        host = _first(self.headers, "HOST")
        if host is None and self.version < (1, 1):
            return
        if host is None or not _HOST.fullmatch(host):
            raise InvalidHeader("HOST", req=self)
        if not self.uri.startswith("/") and self.uri != "*" and self.method != "CONNECT":
            scheme, _, rest = self.uri.partition("://")
            if scheme.lower() not in ("http", "https") or re.split("[/?#]", rest)[0] != host:
                raise InvalidRequestLine(self.uri)

    def _check_coding(self) -> None:
        """Chunks are the only coding that is undone."""
        coding = _first(self.headers, "TRANSFER-ENCODING")
        if coding is None or coding.lower() != "chunked":
            raise UnsupportedTransferCoding(coding)

    def _chunks(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass chunks on; after one that cannot be read, what follows is no request."""
        try:
            yield from chunks
        except Exception:
            self.force_close()
            raise

    def is_read_whole(self) -> bool:
        """Whether nothing is left of a large body."""
        reader = self.body.reader
        return not (reader.parser if self.length is None else reader.length)

    def takes_continue(self) -> bool:
        """Whether the client waits to be told that it may send its body; true only once."""
        waits = bool(self._expected_100_continue)
        self._expected_100_continue = False
        return waits


def _first(headers: list[tuple[str, str]], wanted: str) -> str | None:
    for name, value in headers:
        if name == wanted:
            return value
    return None


@lru_cache(maxsize=1024)
def _is_trusted_proxy(address: str, cfg: Config) -> bool:
    """What gunicorn finds out anew for each request, though an address has many."""
    networks = cfg.forwarded_allow_networks()
    return bool(_ip_in_allow_list(address, cfg.forwarded_allow_ips, networks))


class Source(SocketUnreader):  # type: ignore[misc]
    """Where a request is read from: the bytes at hand and, while it may wait, the socket."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._waits_since: float | None = None
        self._received = 0

    def may_wait(self, *, may: bool) -> None:
        """From now on wait for bytes that have not arrived, or don't."""
        self._waits_since, self._received = time.monotonic() if may else None, 0

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next bytes; none while it may not wait. Raises TimeoutError on a slow client."""
        if self._waits_since is None:
            return b""
        waited = time.monotonic() - self._waits_since
        if self._received < (waited - GRACE_SECONDS) * BYTES_A_SECOND:
            raise TimeoutError("the body comes too slowly")
        data: bytes = super().chunk(size_hint)
        self._received += len(data)
        return data
