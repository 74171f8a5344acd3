"""Every response has the security headers, including errors, streams and files."""

from __future__ import annotations

from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from app.api.browsers import SECURITY_HEADERS, with_security_headers
from tests.api.test_http import exchange, head
from tests.processes import Service, running

SCORES = "/v2/acme/headers/scores"
SCORE = b'{"prediction_id": "p", "scorer": "s", "value": 1}'


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", SCORES, SCORE, 200),
        ("POST", SCORES, b"{}", 422),
        ("POST", SCORES, b"\xff", 400),
        ("GET", SCORES, None, 200),
        ("GET", f"{SCORES}/nope", None, 404),
        ("HEAD", SCORES, None, 200),
        ("GET", "/v2/no/such", None, 404),
        ("GET", f"{SCORES}/", None, 307),
        ("PUT", SCORES, None, 405),
        ("OPTIONS", SCORES, None, 405),
        ("GET", "/openapi.json", None, 200),
        ("GET", "/docs/nope", None, 404),
        ("GET", "/health/live", None, 200),
        ("GET", "/health/ready", None, 200),
        ("GET", "/" + "x" * 9_000, None, 414),
    ],
)
def test_every_response_has_the_headers(
    service: Service, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = service.send(method, path, body)
    assert answer.status == status
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers.get_all(name) == [value], name
    assert "Strict-Transport-Security" not in answer.headers


def test_a_file_of_the_page_has_the_headers_and_may_be_cached(service: Service) -> None:
    answer = service.send("GET", "/docs/swagger-ui.css")
    wanted = {**SECURITY_HEADERS, "Cache-Control": "public, max-age=3600"}
    for name, value in wanted.items():
        assert answer.headers.get_all(name) == [value], name


@pytest.mark.parametrize("key", [None, "sl_wrong"])
def test_a_response_without_a_key_has_the_headers_too(service: Service, key: str | None) -> None:
    answer = service.send("GET", SCORES, key=key)
    assert answer.status == 401
    assert set(SECURITY_HEADERS.items()) <= set(answer.headers.items())


def test_a_response_over_https_has_strict_transport_security(service: Service) -> None:
    request = head(service, "X-Forwarded-Proto: https", f"Content-Length: {len(SCORE)}") + SCORE
    status, headers, _ = exchange(service, request)
    assert (status, headers["strict-transport-security"]) == (200, "max-age=31536000")


@pytest.mark.parametrize(("proxies", "has_hsts"), [("0", False), ("1", True)])
def test_the_scheme_is_taken_only_from_a_trusted_proxy(
    tmp_path: Path, proxies: str, has_hsts: bool
) -> None:
    with running(tmp_path, SCORELINE_TRUSTED_PROXIES=proxies) as service:
        connection = HTTPConnection("127.0.0.1", service.port, source_address=("127.0.0.2", 0))
        connection.request("GET", "/health/live", headers={"X-Forwarded-Proto": "https"})
        answer = connection.getresponse()
        connection.close()
    assert ("Strict-Transport-Security" in answer.headers) is has_hsts


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_page_may_set_its_own_policy(scheme: str) -> None:
    own = [("Content-Security-Policy", "default-src 'self'"), ("Cache-Control", "max-age=60")]
    environ = {"wsgi.url_scheme": scheme}

    def application(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", own)
        return []

    sent: list[tuple[str, str]] = []

    def start_response(_status: str, headers: list[tuple[str, str]], *_exc_info: Any) -> Any:
        sent.extend(headers)

    with_security_headers(application)(environ, start_response)
    added = [header for header in SECURITY_HEADERS.items() if header[0] not in dict(own)]
    hsts = [("Strict-Transport-Security", "max-age=31536000")] * (scheme == "https")
    assert sent == own + added + hsts
