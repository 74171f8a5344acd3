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
    "--no-sandbox",  # Chromium has no sandbox for root.
    "--disable-gpu",
    "--disable-gpu-sandbox",  # Chromium ends where a container forbids what that sandbox needs.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No host name resolves, so a page that needs another server fails.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Run one Chromium for all tests; skip them if Chromium or playwright is missing."""
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
    """Open an empty page, which shares nothing with other tests."""
    context = browser.new_context()
    yield context.new_page()
    context.close()
