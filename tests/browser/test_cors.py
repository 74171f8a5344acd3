"""Pages of listed origins can call the service from a browser; all others are refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.api.test_auth import create
from tests.processes import Service, running

if TYPE_CHECKING:
    from playwright.sync_api import Page

SCORES = "/v2/acme/browser/scores"

CALL = """
async ({url, method, key, body, headers}) => {
  try {
    const answer = await fetch(url, {
      method,
      body: body && JSON.stringify(body),
      headers: {"Authorization": `Bearer ${key}`, ...headers},
    });
    return {
      status: answer.status,
      content: await answer.json(),
      id: answer.headers.get("X-Request-Id"),
      retry: answer.headers.get("Retry-After"),
      replayed: answer.headers.get("Idempotent-Replayed"),
    };
  } catch (error) {
    return {refused: error.name};
  }
}
"""
JSON = {"Content-Type": "application/json"}


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page</title>")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def site() -> Iterator[str]:
    """Serve a web site of one empty page, and yield its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Sites(NamedTuple):
    """Serve a web site whose pages may call the service, another one, and the service."""

    named: str
    other: str
    service: Service


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    directory: Path = tmp_path_factory.mktemp("browser")
    with ExitStack() as stack:
        named, other = stack.enter_context(site()), stack.enter_context(site())
        settings = {
            "SCORELINE_CORS_ORIGINS": named,
            "SCORELINE_RATE_LIMIT": "3/hour",
            "WEB_CONCURRENCY": "1",
        }
        yield Sites(named, other, stack.enter_context(running(directory, **settings)))


def call(page: Page, service: Service, key: str, value: Any, **more: Any) -> dict[str, Any]:
    """Call the service from a script of the page, and return what the script can read."""
    asked = {
        "url": f"{service.url}{SCORES}",
        "method": "POST",
        "key": key,
        "headers": JSON,
        "body": {"prediction_id": "p", "scorer": "s", "value": value},
    }
    found: dict[str, Any] = page.evaluate(CALL, asked | more)
    return found


def stored(service: Service) -> bytes:
    _, reader = create(service, "read", "*")
    return service.send("GET", SCORES, key=reader).body


def test_a_page_of_a_named_origin_posts_with_a_create_key_and_reads_the_answers(
    page: Page, sites: Sites
) -> None:
    _, key = create(sites.service, "create", "acme/browser")
    page.goto(sites.named)
    headers = {**JSON, "Idempotency-Key": "once", "X-Request-Id": "from-a-page"}
    first = call(page, sites.service, key, "from a page", headers=headers)
    again = call(page, sites.service, key, "from a page", headers=headers)
    assert (first["status"], first["id"]) == (200, "from-a-page")
    assert first["content"]["score_id"].encode() in stored(sites.service)
    assert (again["content"], again["replayed"]) == (first["content"], "true")
    # The page can also read errors and Retry-After.
    wrong = call(page, sites.service, key, None, body={"scorer": "s"})
    assert [error["type"] for error in wrong["content"]["detail"]] == ["missing", "missing"]
    much = call(page, sites.service, key, 1)
    assert (much["status"], int(much["retry"]) > 0) == (429, True)
    assert call(page, sites.service, "sl_wrong", 1)["status"] == 401


def test_the_browser_refuses_a_page_of_another_origin(page: Page, sites: Sites) -> None:
    _, key = create(sites.service, "write", "acme/browser")
    page.goto(sites.other)
    before = stored(sites.service)
    assert call(page, sites.service, key, 1) == {"refused": "TypeError"}
    assert call(page, sites.service, key, 1, method="DELETE") == {"refused": "TypeError"}
    assert call(page, sites.service, key, 1, method="GET", body=None) == {"refused": "TypeError"}
    assert stored(sites.service) == before
