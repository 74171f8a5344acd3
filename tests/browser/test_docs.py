"""`/docs` in a browser without a network: it loads, takes a key, and makes calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.processes import Service, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request

SCORE = {"prediction_id": "p", "scorer": "s", "value": {"accuracy": 0.5}}
CREATE = "#operations-Scores-score_create_v2__entity___project__scores_post"


class Visit:
    """A page, and the errors and foreign requests on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.troubles: list[str] = []
        page.on("request", self.note_request)
        page.on("console", self.note_said)
        page.on("pageerror", self.note_error)

    def note_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def note_said(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.troubles.append(said.text)

    def note_error(self, error: Error) -> None:
        self.troubles.append(str(error))


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open a page, which shares nothing with other tests."""
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield Visit(page)
    context.close()


@pytest.fixture(scope="module", params=["", "/traces"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, str]]:
    """Run a service, with a prefix and without, and yield it with the address of `/docs`."""
    with running(tmp_path_factory.mktemp("docs"), SCORELINE_URL_PREFIX=request.param) as service:
        yield service, f"{service.url}{request.param}/docs"


def authorize(page: Page, scheme: str, key: str) -> None:
    """Enter a key on the page, as a user does."""
    page.click("button.authorize >> nth=0")
    form = page.locator(".auth-container").filter(has_text=scheme)
    if scheme == "HTTPBasic":
        form.locator("input[name=username]").fill("api")
        form.locator("input[name=password]").fill(key)
    else:
        form.locator("input").fill(key)
    form.locator("button[type=submit]").click()
    form.locator("button", has_text="Logout").wait_for()
    page.click(".btn-done")


def try_out(page: Page) -> tuple[str, str]:
    """Send a score from the page, and return the status and body that it shows."""
    operation = page.locator(CREATE)
    if operation.locator(".opblock-body").count() == 0:
        operation.locator(".opblock-summary").click()
    operation.locator("button", has_text="Try it out").click()
    operation.locator('tr[data-param-name="entity"] input').fill("acme")
    operation.locator('tr[data-param-name="project"] input').fill("demo")
    operation.locator("textarea.body-param__text").fill(json.dumps(SCORE))
    operation.locator("button.execute").click()
    answer = operation.locator(".live-responses-table .response").first
    answer.wait_for()
    return (
        answer.locator(".response-col_status").inner_text().split()[0],
        answer.locator(".highlight-code code, .highlight-code pre").first.inner_text(),
    )


@pytest.mark.parametrize("scheme", ["HTTPBasic", "HTTPBearer"])
def test_the_page_authorizes_and_sends_a_score_and_loads_nothing_from_outside(
    visit: Visit, served: tuple[Service, str], scheme: str, tmp_path: Path
) -> None:
    service, address = served
    visit.requests.clear()
    visit.troubles.clear()
    visit.page.goto(address)
    visit.page.locator(CREATE).wait_for()
    visit.page.screenshot(path=tmp_path / "docs.png")
    assert visit.troubles == []
    authorize(visit.page, scheme, service.key)
    status, body = try_out(visit.page)
    visit.page.screenshot(path=tmp_path / "tried.png", full_page=True)
    assert (status, list(json.loads(body))) == ("200", ["score_id"])
    loaded = [url for url in visit.requests if not url.startswith(("data:", "blob:"))]
    assert loaded
    assert [url for url in loaded if not url.startswith(f"{service.url}/")] == []
    assert visit.troubles == []


def test_without_a_key_the_page_shows_the_401(visit: Visit, served: tuple[Service, str]) -> None:
    visit.page.goto(served[1])
    visit.page.locator(CREATE).wait_for()
    status, body = try_out(visit.page)
    assert (status, json.loads(body)) == ("401", {"detail": "Not authenticated"})


def test_a_key_is_forgotten_with_the_page(visit: Visit, served: tuple[Service, str]) -> None:
    visit.page.goto(served[1])
    visit.page.locator(CREATE).wait_for()
    authorize(visit.page, "HTTPBearer", served[0].key)
    stored = visit.page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    assert served[0].key not in stored
    visit.page.reload()
    visit.page.locator(CREATE).wait_for()
    assert try_out(visit.page)[0] == "401"
