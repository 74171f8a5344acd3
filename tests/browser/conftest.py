"""The browser of these tests: the Chromium of the machine, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = (
    "--no-sandbox",  # Root has none.
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No name leads anywhere: a page that needs another place than ours fails here.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the run; skips where there is none, or nothing to drive it."""
    driver = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: `make test-browser` does"
    )
    program = os.environ.get("SCORELINE_TEST_CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on PATH, and SCORELINE_TEST_CHROMIUM names none")
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page that knows nothing of other tests."""
    context = browser.new_context()
    yield context.new_page()
    context.close()
