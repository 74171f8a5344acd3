"""A client of a running service, for the command line: one project's scores over HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urljoin

import urllib3

PAGE = 1_000
IDS_A_CALL = 100
"""Ids deleted by one call: a request line that every proxy takes."""

PIECE = 64 * 1024
STREAM = urllib3.Timeout(connect=10, read=3_600)
"""An export reads all its scores once before its first byte, and each wait counts alone."""

_NEXT = re.compile(r'<([^>]*)>; rel="next"')


class ServiceError(Exception):
    """An answer that is none of the wanted ones."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ServiceUnreachable(Exception):
    """No answer, or none but «try again»."""


class Client:
    """The scores of one project of the service at `url`.

    What may be repeated without harm is repeated: a connection that breaks, 429 and 503 after the
    time that the service asks for. Raises ServiceError and ServiceUnreachable.
    """

    def __init__(self, url: str, key: str, project: str) -> None:
        entity, _, name = project.partition("/")
        path = f"{quote(entity, safe='')}/{quote(name, safe='')}"
        self.scores_url = f"{url.rstrip('/')}/v2/{path}/scores"
        retries = urllib3.Retry(
            total=6,
            connect=3,
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=None,
            backoff_factor=0.2,
            raise_on_status=False,
        )
        self._pool = urllib3.PoolManager(
            headers=urllib3.make_headers(basic_auth=f"api:{key}"),
            retries=retries,
            timeout=urllib3.Timeout(connect=10, read=120),
        )

    def lines(self, filters: Mapping[str, str], limit: int | None) -> Iterator[bytes]:
        """Scores as the lines that the service sends, page by page."""
        left = limit
        url: str | None = f"{self.scores_url}?{urlencode(filters)}"
        while url and left != 0:
            page = PAGE if left is None else min(left, PAGE)
            response = self._send("GET", _with_limit(url, page))
            found = response.data.splitlines()
            yield from found
            left = None if left is None else left - len(found)
            following = _NEXT.fullmatch(response.headers.get("Link", ""))
            url = urljoin(self.scores_url, following[1]) if following else None

    def read(self, score_id: str) -> bytes:
        """One score, as the service sends it."""
        return self._send("GET", f"{self.scores_url}/{quote(score_id, safe='')}").data

    def gate(self, query: Mapping[str, str]) -> bytes:
        """Whether a run keeps its bounds, as the service sends it."""
        return self._send("GET", f"{self.scores_url}/gate?{urlencode(query)}").data

    def delete(self, score_ids: Sequence[str]) -> int:
        """Delete scores; how many of them were there."""
        query = urlencode([("score_ids", score_id) for score_id in score_ids])
        answer = json.loads(self._send("DELETE", f"{self.scores_url}?{query}").data)
        return int(answer["num_deleted"])

    def add(self, lines: Sequence[bytes]) -> list[dict[str, Any]]:
        """Send lines as one batch; what became of each. Each must carry an idempotency key."""
        response = self._send(
            "POST",
            f"{self.scores_url}/batch?partial=true",
            body=b"\n".join(lines),
            headers={"Content-Type": "application/jsonl"},
        )
        results: list[dict[str, Any]] = json.loads(response.data)["results"]
        return results

    def import_lines(self, lines: Sequence[bytes]) -> dict[str, Any]:
        """Send lines of an export; how many became new, and what became of each."""
        response = self._send(
            "POST",
            f"{self.scores_url}/import",
            body=b"\n".join(lines),
            headers={"Content-Type": "application/jsonl"},
        )
        answer: dict[str, Any] = json.loads(response.data)
        return answer

    def export(self, wanted: Sequence[tuple[str, str]]) -> Iterator[bytes]:
        """An export, piece by piece as it comes; one that breaks off is never taken for whole."""
        url = f"{self.scores_url}/export?{urlencode(wanted)}"
        response = self._send("GET", url, streamed=True)
        try:
            yield from response.stream(PIECE)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ServiceUnreachable(f"the export broke off: {_cause(error)}") from error

    def _send(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        streamed: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        sent = {**self._pool.headers, **(headers or {})}
        options: dict[str, Any] = {"preload_content": False, "timeout": STREAM} if streamed else {}
        try:
            response = self._pool.request(method, url, body=body, headers=sent, **options)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ServiceUnreachable(
                f"no answer from {self.scores_url}: {_cause(error)}"
            ) from error
        if response.status in (429, 500, 502, 503, 504):
            raise ServiceUnreachable(f"{response.status} {_detail(response)}")
        if response.status != 200:
            raise ServiceError(f"{response.status} {_detail(response)}", response.status)
        return response


def _with_limit(url: str, limit: int) -> str:
    if re.search(r"[?&]limit=", url):
        return re.sub(r"([?&]limit=)[0-9]+", rf"\g<1>{limit}", url)
    return f"{url}&limit={limit}"


def _cause(error: Exception) -> str:
    """The innermost reason; urllib3 wraps it in a sentence about retries."""
    reason = getattr(error, "reason", None)
    return str(reason or error)


def _detail(response: urllib3.BaseHTTPResponse) -> str:
    """What the service says is wrong, in one line."""
    try:
        answer = json.loads(response.data)
    except ValueError:
        return str(response.reason)
    if not isinstance(answer, dict):
        return str(response.reason)
    detail = answer.get("reason") or answer.get("detail")
    return describe(detail) if isinstance(detail, list) else str(detail)


def describe(errors: Sequence[Mapping[str, Any]]) -> str:
    """The errors of a 422, in one line."""
    return "; ".join(
        f"{'.'.join(str(step) for step in error['loc'])}: {error['msg']}" for error in errors
    )
