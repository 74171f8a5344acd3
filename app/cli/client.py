"""The HTTP client of the command line: lists, and reads and writes the scores of a project."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urljoin

import urllib3

from app.cli.base import ServiceError, ServiceUnreachable

PAGE = 1_000
MAX_IDS_PER_DELETE = 100
"""How many ids one request deletes, so that its request line is not too long for proxies."""

MAX_ID = 2_000
"""The most characters of an id in a path, so that the request line is not too long for proxies."""

MAX_WAIT = 30
"""How many seconds the service may wait for new scores."""

CHUNK_BYTES = 64 * 1024
STREAM = urllib3.Timeout(connect=10, read=3_600)
"""The timeout of an export: the service reads all scores before it sends the first byte."""

HINTS = {
    401: ": is the API key right (SCORELINE_KEY or --key-file)?",
    404: ": is the URL right?",
}
"""What may be wrong, by the status of a refusal."""

JSON = {"Content-Type": "application/json"}

Filters = Sequence[tuple[str, str]]
"""The names and values of query parameters."""

_NEXT = re.compile(r'<([^>]*)>; rel="next"')


class ServiceClient:
    """A client for the service at `url`.

    Broken connections and statuses 429, 502, 503 and 504 are retried, after `Retry-After` where
    it is sent; every call is safe to repeat. Raises ServiceError and ServiceUnreachable.
    """

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        retries = urllib3.Retry(
            total=6,
            connect=3,
            redirect=False,
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

    def read_list(
        self, url: str, field: str, filters: Filters = (), limit: int | None = None
    ) -> Iterator[bytes]:
        """Yield the JSON lines of a list, each with a `field`, as the service sends them.

        The list is read page by page.
        """
        left = limit
        page_url: str | None = f"{url}?{urlencode(filters)}"
        while page_url and left != 0:
            page = PAGE if left is None else min(left, PAGE)
            response = self._send("GET", _with_limit(page_url, page))
            found = response.data.splitlines()
            if found:
                read_object(found[0], field)
            yield from found
            left = None if left is None else left - len(found)
            following = _NEXT.fullmatch(response.headers.get("Link", ""))
            page_url = urljoin(url, following[1]) if following else None

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
            raise ServiceUnreachable(f"no answer from {self.url}: {_cause(error)}") from error
        if response.status in (429, 500, 502, 503, 504):
            raise ServiceUnreachable(f"{response.status} {_detail(response)}")
        if 300 <= response.status < 400:
            where = response.headers.get("Location", "another address")
            raise ServiceError(f"{response.status} redirects to {where}: is the URL right?", 300)
        if response.status != 200:
            raise _refusal(response)
        return response


class Client(ServiceClient):
    """A client for one project."""

    def __init__(self, url: str, key: str, project: str) -> None:
        super().__init__(url, key)
        self.project = project
        entity, _, name = project.partition("/")
        place = f"{quote(entity, safe='')}/{quote(name, safe='')}"
        self.project_url = f"{url}/v2/{place}"
        self.scores_url = f"{self.project_url}/scores"
        self.predictions_url = f"{self.project_url}/predictions"
        self.runs_url = f"{self.project_url}/evaluation_runs"
        self.lists_url = f"{url}/v1/{place}"

    def lines(self, filters: Mapping[str, str], limit: int | None) -> Iterator[bytes]:
        """Yield scores as JSON lines, as the service sends them, page by page."""
        return self.read_list(self.scores_url, "score_id", list(filters.items()), limit)

    def change_run(self, run_id: str, changes: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """Change fields of a run; return the run, as the service sends it and parsed."""
        url = f"{self.lists_url}/runs?{urlencode({'run': run_id})}"
        body = json.dumps(changes).encode()
        text = self._send("PATCH", url, body=body, headers=JSON).data
        return text, read_object(text, "evaluation_run_id")

    def approve_run(self, run: str, reason: str) -> tuple[bytes, dict[str, Any]]:
        """Approve a run; return the approval, as the service sends it and parsed."""
        body = json.dumps({"run": run, "reason": reason}).encode()
        text = self._send("POST", f"{self.lists_url}/runs/approvals", body=body, headers=JSON).data
        return text, read_object(text, "approval_id")

    def metrics(self) -> list[dict[str, Any]]:
        """Return the declared metrics."""
        return _metrics(self._send("GET", f"{self.lists_url}/metrics").data)

    def declare(
        self, metrics: Sequence[Mapping[str, Any]], *, dry_run: bool = False
    ) -> list[dict[str, Any]]:
        """Declare metrics, all or none, and return them; with `dry_run`, only check them."""
        url = f"{self.lists_url}/metrics{'?dry_run=true' if dry_run else ''}"
        body = json.dumps({"metrics": metrics}).encode()
        return _metrics(self._send("PUT", url, body=body, headers=JSON).data)

    def metric_report(self, name: str, run: str | None, *fields: str) -> dict[str, Any]:
        """Return figures about metrics: `proposal` or `against_schema`."""
        query = urlencode({} if run is None else {"run": run})
        text = self._send("GET", f"{self.lists_url}/metrics/{name}?{query}").data
        return read_object(text, "metrics", *fields)

    def delete_metric(self, scorer: str, leaf: str) -> None:
        """Remove what is declared of one leaf of a scorer."""
        query = urlencode({"scorer": scorer, "leaf": leaf})
        read_object(self._send("DELETE", f"{self.lists_url}/metrics?{query}").data, "num_deleted")

    def changes(self, cursor: str | None, wait: int) -> tuple[bytes, str]:
        """Return the scores after `cursor` as JSON lines, and the cursor for the next call."""
        query = {"limit": str(PAGE), "wait": str(wait), **({"cursor": cursor} if cursor else {})}
        response = self._send("GET", f"{self.scores_url}/changes?{urlencode(query)}")
        following = response.headers.get("Scoreline-Cursor")
        if following is None:
            raise not_scoreline(response.status)
        return response.data, following

    def read(self, score_id: str) -> tuple[bytes, dict[str, Any]]:
        """Return one score, as the service sends it and parsed."""
        text = self._send("GET", self._score_url(score_id)).data
        return text, read_object(text, "score_id")

    def read_prediction(self, prediction_id: str) -> tuple[bytes, dict[str, Any]]:
        """Return one prediction, as the service sends it and parsed.

        Raises ServiceError for an id that no URL can name.
        """
        url = f"{self.predictions_url}/{_quoted('Prediction', prediction_id)}"
        text = self._send("GET", url).data
        return text, read_object(text, "prediction_id", "inputs", "output", "evaluation_run_id")

    def delete_run(self, run_id: str) -> dict[str, int]:
        """Delete a run; return how much was there, and whether something is left to remove."""
        url = f"{self.lists_url}/runs?{urlencode({'run': run_id})}"
        return read_object(self._send("DELETE", url).data, "num_deleted", "num_pending")

    def history(self, score_id: str) -> list[bytes]:
        """Return the lines of a score's history, as the service sends them."""
        lines = self._send("GET", f"{self._score_url(score_id)}/history").data.splitlines()
        read_object(lines[0] if lines else b"", "score_id")
        return lines

    def _score_url(self, score_id: str) -> str:
        """Return the URL of a score. Raises ServiceError for an id that no URL can name."""
        if score_id in ("", ".", ".."):
            raise ServiceError(f"404 Score {score_id} not found", 404, is_missing=True)
        return f"{self.scores_url}/{quote(score_id, safe='')}"

    def analyse(
        self, name: str, query: Sequence[tuple[str, str]], *fields: str
    ) -> tuple[bytes, dict[str, Any]]:
        """Return a summary or a comparison, as the service sends it and parsed."""
        text = self._send("GET", f"{self.scores_url}/{name}?{urlencode(query)}").data
        return text, read_object(text, *fields)

    def gate(self, query: Mapping[str, str | list[str]]) -> tuple[bytes, dict[str, Any]]:
        """Return the result of a gate, as the service sends it and parsed."""
        text = self._send("GET", f"{self.scores_url}/gate?{urlencode(query, doseq=True)}").data
        return text, read_object(text, "checks", "outcome")

    def gates(self, wanted: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """Return the result of a gate of several metrics, as the service sends it and parsed."""
        body, headers = json.dumps(wanted).encode(), {"Content-Type": "application/json"}
        text = self._send("POST", f"{self.scores_url}/gate", body=body, headers=headers).data
        return text, read_object(text, "checks", "outcome")

    def delete(self, score_ids: Sequence[str]) -> int:
        """Delete scores; return how many existed."""
        query = urlencode([("score_ids", score_id) for score_id in score_ids])
        content = read_object(
            self._send("DELETE", f"{self.scores_url}?{query}").data, "num_deleted"
        )
        return int(content["num_deleted"])

    def add(self, lines: Sequence[bytes]) -> dict[str, Any]:
        """Send lines as one batch, each with an idempotency key; return the result of each."""
        content = self._send_lines(f"{self.scores_url}/batch?partial=true", lines)
        return read_object(content, "results", "num_replayed")

    def add_predictions(self, lines: Sequence[bytes]) -> dict[str, Any]:
        """Send lines of predictions as `add` sends those of scores."""
        content = self._send_lines(f"{self.predictions_url}/batch?partial=true", lines)
        return read_object(content, "results", "num_replayed")

    def create_run(self, run: Mapping[str, Any], if_exists: str | None) -> str:
        """Create a run, and return its id."""
        query = urlencode({"if_exists": if_exists} if if_exists else {})
        body = json.dumps(run).encode()
        # A retry of a lost response is the same call, and no second run.
        headers = {**JSON, "Idempotency-Key": secrets.token_hex(16)}
        text = self._send("POST", f"{self.runs_url}?{query}", body=body, headers=headers).data
        return str(read_object(text, "evaluation_run_id")["evaluation_run_id"])

    def finish_run(self, run_id: str) -> None:
        """Finish a run."""
        url = f"{self.runs_url}/{_quoted('Evaluation run', run_id)}/finish"
        read_object(self._send("POST", url).data, "success")

    def import_scores(self, lines: Sequence[bytes]) -> dict[str, Any]:
        """Send lines of an export of scores; return the result of each."""
        content = self._send_lines(f"{self.scores_url}/import", lines)
        return read_object(content, "results", "num_created", "num_present")

    def import_project(self, lines: Sequence[bytes]) -> dict[str, Any]:
        """Send lines of an export of a project; return the result of each."""
        content = self._send_lines(f"{self.project_url}/import", lines)
        return read_object(content, "results", "num_created", "num_present")

    def _send_lines(self, url: str, lines: Sequence[bytes]) -> bytes:
        body, headers = b"\n".join(lines), {"Content-Type": "application/jsonl"}
        return self._send("POST", url, body=body, headers=headers).data

    def export_scores(self, query: Sequence[tuple[str, str]]) -> Iterator[bytes]:
        """Yield an export of scores in chunks. Raises ServiceUnreachable when it breaks off."""
        return self._export(f"{self.scores_url}/export?{urlencode(query)}")

    def export_project(self) -> Iterator[bytes]:
        """Yield an export of the project in chunks, as `export_scores` does."""
        return self._export(f"{self.project_url}/export")

    def _export(self, url: str) -> Iterator[bytes]:
        response = self._send("GET", url, streamed=True)
        try:
            yield from response.stream(CHUNK_BYTES)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ServiceUnreachable(f"the export broke off: {_cause(error)}") from error


def _quoted(what: str, document_id: str) -> str:
    """Return an id for a path. Raises ServiceError for one that no URL can name."""
    quoted = quote(document_id, safe="")
    is_nameless = document_id in ("", ".", "..") or document_id.endswith("/finish")
    if is_nameless or len(quoted) > MAX_ID:
        raise ServiceError(f"404 {what} {document_id} not found", 404, is_missing=True)
    return quoted


def _with_limit(url: str, limit: int) -> str:
    if re.search(r"[?&]limit=", url):
        return re.sub(r"([?&]limit=)[0-9]+", rf"\g<1>{limit}", url)
    return f"{url}&limit={limit}"


def not_scoreline(status: int) -> ServiceError:
    """Return the error for a response that is not Scoreline's, such as a login page."""
    return ServiceError(f"{status}, but the response is not Scoreline's: is the URL right?", status)


def read_object(text: bytes, *names: str) -> dict[str, Any]:
    """Parse a response or a line of it, an object with these fields. Raises ServiceError."""
    try:
        content = json.loads(text)
    except ValueError:
        raise not_scoreline(200) from None
    if not isinstance(content, dict) or any(name not in content for name in names):
        raise not_scoreline(200)
    return content


def _metrics(text: bytes) -> list[dict[str, Any]]:
    found = read_object(text, "metrics")["metrics"]
    if not isinstance(found, list):
        raise not_scoreline(200)
    return found


def _cause(error: Exception) -> str:
    """Return the underlying error, which urllib3 wraps in sentences about its own objects."""
    reason = getattr(error, "reason", None) or error
    cause = reason.__cause__
    return str((isinstance(cause, OSError) and cause.strerror) or cause or reason)


def _refusal(response: urllib3.BaseHTTPResponse) -> ServiceError:
    """Return the error for a status below 500; a 404 without a reason is that of a wrong path."""
    is_missing = response.status == 404 and "reason" in _content(response)
    hint = "" if is_missing else HINTS.get(response.status, "")
    message = f"{response.status} {_detail(response)}{hint}"
    detail = _content(response).get("detail")
    errors = detail if isinstance(detail, list) else ()
    return ServiceError(message, response.status, is_missing=is_missing, errors=errors)


def _detail(response: urllib3.BaseHTTPResponse) -> str:
    """Return the service's error message in one line."""
    content = _content(response)
    detail = content.get("reason") or content.get("detail") or response.reason
    return error_text(detail) if isinstance(detail, list) else str(detail)


def _content(response: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    """Return the JSON object in an error, or an empty one."""
    try:
        content = json.loads(response.data)
    except (ValueError, urllib3.exceptions.HTTPError):
        return {}
    return content if isinstance(content, dict) else {}


def error_text(errors: Sequence[Any]) -> str:
    """Return the errors of a 422 in one line."""
    return "; ".join(map(_one_error, errors))


def _one_error(error: Any) -> str:
    if not isinstance(error, dict) or "msg" not in error:
        return str(error)
    location = ".".join(str(step) for step in error.get("loc", ()))
    message = error["msg"]
    if isinstance(context := error.get("ctx"), dict) and message == "JSON decode error":
        message = f"{message}: {context.get('error')}"
    return f"{location}: {message}" if location else str(message)
