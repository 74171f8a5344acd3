"""A page on another port of the host writes nothing with the browser's cached credentials."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.test_cors import site
from tests.processes import Service, running

if TYPE_CHECKING:
    from playwright.sync_api import Page

SCORES = "/v2/acme/foreign/scores"
SCORE = '{"prediction_id":"p","scorer":"s","value":1}'
KEY = '{"name":"stolen","role":"admin","scope":"*"}'

NO_CORS = """
([url, body]) => fetch(url, {
  method: "POST", mode: "no-cors", credentials: "include", body: new Blob([body]),
}).then((answer) => answer.type, (error) => error.name)
"""
"""Send the request; the page cannot read the response."""

BEACON = "([url, body]) => navigator.sendBeacon(url, new Blob([body]))"
FORM = """
([url, body]) => {
  const form = document.createElement("form");
  Object.assign(form, {method: "POST", action: url, enctype: "text/plain"});
  const field = document.createElement("input");
  const middle = body.indexOf(",");
  Object.assign(field, {name: body.slice(0, middle), value: body.slice(middle)});
  form.append(field);
  document.body.append(form);
  form.submit();
}
"""
SAME_ORIGIN = """
([url, body]) => fetch(url, {
  method: "POST", credentials: "include", body, headers: {"Content-Type": "application/json"},
}).then((answer) => answer.status)
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service with the default settings."""
    directory: Path = tmp_path_factory.mktemp("foreign")
    with running(directory, WEB_CONCURRENCY="1") as started:
        yield started


def answered(service: Service, status: int, method: str = "POST") -> int:
    """Return how many requests with a method got a status."""
    lines = service.log_lines()
    return sum((line.get("method"), line.get("status")) == (method, status) for line in lines)


def log_in(page: Page, service: Service) -> None:
    """Make the browser cache the credentials, as after a user has entered them."""
    address = service.url.replace("//", f"//api:{service.key}@")
    reply = page.goto(f"{address}{SCORES}/00000000-0000-7000-8000-000000000000")
    assert reply is not None
    assert reply.status == 404  # Not a 401, so the credentials were accepted.


@pytest.mark.parametrize("script", [NO_CORS, BEACON, FORM])
@pytest.mark.parametrize(("path", "body"), [(SCORES, SCORE), ("/v1/keys", KEY)])
def test_a_page_of_another_port_creates_nothing_with_cached_credentials(
    page: Page, plain: Service, script: str, path: str, body: str
) -> None:
    log_in(page, plain)
    before = answered(plain, 403)
    with site() as other:
        page.goto(other)
        page.evaluate(script, [f"{plain.url}{path}", body])
        for _ in range(200):
            if answered(plain, 403) > before:
                break
            threading.Event().wait(0.05)
    assert answered(plain, 403) == before + 1
    assert plain.send("GET", SCORES).body == b""
    assert plain.send("GET", "/v1/keys").json["keys"] == []


def test_a_page_of_the_own_origin_writes_with_cached_credentials(
    page: Page, plain: Service
) -> None:
    log_in(page, plain)
    page.goto(f"{plain.url}/docs")
    assert page.evaluate(SAME_ORIGIN, [f"{plain.url}/v2/acme/own/scores", SCORE]) == 200
