"""A client with one persistent connection, for large requests and responses."""

from __future__ import annotations

import http.client
from typing import Self

from benchmarks.documents import SCORES
from tests.processes import ADMIN_KEY

HEADERS = {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}
CHUNK = 1 << 20


class Client:
    """A connection to a service on loopback."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def post_batch(self, body: bytes) -> None:
        """Store a batch of scores."""
        self._connection.request("POST", f"{SCORES}/batch", body, HEADERS)
        with self._connection.getresponse() as response:
            answer = response.read()
            assert response.status == 200, answer

    def get(self, path: str) -> None:
        """Read a whole response."""
        self._connection.request("GET", path, headers=HEADERS)
        with self._connection.getresponse() as response:
            answer = response.read()
            assert response.status == 200, answer

    def count_lines(self, path: str) -> int:
        """Read a response as a stream, and return the number of its lines."""
        self._connection.request("GET", path, headers=HEADERS)
        with self._connection.getresponse() as response:
            assert response.status == 200, response.read()
            lines = 0
            while chunk := response.read1(CHUNK):
                lines += chunk.count(b"\n")
            return lines

    def is_ready(self) -> bool:
        """Return whether /health/ready returns 200."""
        self._connection.request("GET", "/health/ready")
        with self._connection.getresponse() as response:
            response.read()
            return response.status == 200
