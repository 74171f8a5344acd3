"""`/docs` without a browser: its files and its security policy; tests/browser opens the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.processes import Service, running


def test_the_page_needs_no_key_and_loads_only_from_its_own_origin(service: Service) -> None:
    answer = service.send("GET", "/docs", key=None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    for kind in ("script-src", "style-src", "connect-src"):
        assert policy[kind] == "'self'"
    page = answer.body.decode()
    assert "//" not in page
    assert re.findall(r"<script[^>]*>([^<]*)", page) == ["", ""]


def test_every_file_of_the_page_is_served_under_any_prefix(tmp_path: Path) -> None:
    with running(tmp_path, WEB_CONCURRENCY="1", SCORELINE_URL_PREFIX="/traces") as service:
        page = service.send("GET", "/traces/docs", key=None).body.decode()
        files = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(files) == 4
        for file in files:
            answer = service.send("GET", f"/traces/{file}", key=None)
            assert answer.status == 200
            assert answer.body
        assert service.send("GET", "/docs", key=None).status == 404


@pytest.mark.parametrize(
    "name", ["oauth2-redirect.html", "VERSION", "..%2F__init__.py", "%2Fetc%2Fpasswd", "..", "x.js"]
)
def test_no_other_file_is_served(service: Service, name: str) -> None:
    answer = service.send("GET", f"/docs/{name}", key=None)
    assert (answer.status, answer.json) == (404, {"detail": "Not Found"})
