"""Writes of pages are allowed from the same origin and from named ones; all others are 403."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator

import pytest

from app.api.browsers import is_own_page
from tests.processes import Service, running

SCORES = "/v2/acme/foreign/scores"
SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}
NAMED = "https://app.example.com"
REFUSAL = {
    "detail": "Pages of other origins may not write, unless SCORELINE_CORS_ORIGINS lists them"
}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service behind one proxy, with one named origin."""
    settings = {"SCORELINE_TRUSTED_PROXIES": "1", "SCORELINE_CORS_ORIGINS": NAMED}
    with running(tmp_path_factory.mktemp("foreign"), **settings) as started:
        yield started


OWN = [
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "{own}"},
    {"Origin": "{own}"},
]
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "same-site", "Origin": "{own}"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "{own}.evil.example"},
    {"Origin": "http://localhost:{port}"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"},
    {"Origin": "chrome-extension://127.0.0.1:{port}"},
    {"Origin": NAMED},
]


def filled(headers: dict[str, str], service: Service) -> dict[str, str]:
    return {
        name: value.format(own=service.url, port=service.port) for name, value in headers.items()
    }


@pytest.mark.parametrize("headers", OWN)
def test_a_write_of_the_same_origin_or_without_a_page_is_allowed(
    service: Service, headers: dict[str, str]
) -> None:
    assert service.post(SCORES, SCORE, headers=filled(headers, service)).status == 200


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_write_of_a_foreign_page_is_403_and_stores_nothing(
    service: Service, headers: dict[str, str]
) -> None:
    path = f"/v2/acme/{secrets.token_hex(4)}/scores"
    basic = base64.b64encode(f"api:{service.key}".encode()).decode()
    sent = {"Authorization": f"Basic {basic}", **filled(headers, service)}
    answer = service.post(path, SCORE, headers=sent, key=None)
    assert (answer.status, answer.json) == (403, REFUSAL)
    assert service.send("GET", path, headers=filled(headers, service)).body == b""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/keys"),
        ("DELETE", "/v1/keys/nobody"),
        ("POST", f"{SCORES}/batch"),
        ("POST", f"{SCORES}/import"),
        ("DELETE", f"{SCORES}?score_ids=x"),
        ("PUT", SCORES),
        ("PATCH", "/no/such/path"),
        ("POST", "/docs"),
    ],
)
def test_every_writing_method_on_every_path_is_checked(
    service: Service, method: str, path: str
) -> None:
    foreign = {"Origin": "http://127.0.0.1:1"}
    # Before the key and before the body.
    for key in ("", None, "sl_wrong"):
        answer = service.send(method, path, b"{", headers=foreign, key=key)
        assert (answer.status, answer.json) == (403, REFUSAL)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_of_another_origin_may_still_send_reads(service: Service, method: str) -> None:
    headers = {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}
    assert service.send(method, SCORES, headers=headers).status in (200, 405)
    assert service.send("OPTIONS", SCORES, headers=headers).status == 405


@pytest.mark.parametrize("site", [{}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_named_origin_may_write(behind: Service, site: dict[str, str]) -> None:
    assert behind.post(SCORES, SCORE, headers={"Origin": NAMED, **site}).status == 200
    other = {"Origin": f"{NAMED}:8443", **site}
    assert behind.post(SCORES, SCORE, headers=other).status == 403


def test_behind_a_trusted_proxy_the_origin_is_compared_with_x_forwarded_host(
    behind: Service,
) -> None:
    origin = {"Origin": "https://scores.example"}
    for forwarded, status in (
        ({}, 403),
        ({"X-Forwarded-Host": "scores.example"}, 200),
        ({"X-Forwarded-Host": "scores.example:443"}, 200),
        ({"X-Forwarded-Host": "SCORES.example"}, 200),
        ({"X-Forwarded-Host": "scores.example:8443"}, 403),
        ({"X-Forwarded-Host": "other.example"}, 403),
        # The client's own values come before the one that the proxy adds.
        ({"X-Forwarded-Host": "scores.example, other.example"}, 403),
        ({"Host": "scores.example"}, 200),
    ):
        assert behind.post(SCORES, SCORE, headers=origin | forwarded).status == status, forwarded
    own = {"Origin": behind.url, "X-Forwarded-Host": "scores.example"}
    assert behind.post(SCORES, SCORE, headers=own).status == 403


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "own"),
    [
        ("http://a.example", "a.example", "http", True),
        ("http://a.example", "a.example:80", "http", True),
        ("https://a.example", "a.example", "http", True),  # A proxy that does not send the scheme.
        ("https://a.example", "a.example:443", "https", True),
        ("https://a.example:443", "a.example", "https", True),
        ("http://a.example", "a.example", "https", False),
        ("http://a.example", "a.example:443", "http", False),
        ("http://a.example:8080", "a.example", "http", False),
        ("http://[::1]:8000", "[::1]:8000", "http", True),
        ("http://[::1]:8000", "[::2]:8000", "http", False),
        ("http://user@a.example", "a.example", "http", False),
        ("http://a.example/", "a.example", "http", False),
        ("http://a.example, http://b.example", "a.example", "http", False),
        ("http://a.example", "", "http", False),
        ("null", "null", "http", False),
    ],
)
def test_origins_are_compared_by_host_and_port_with_default_ports(
    origin: str, host: str, scheme: str, own: bool
) -> None:
    environ = {"HTTP_ORIGIN": origin, "HTTP_HOST": host, "wsgi.url_scheme": scheme}
    assert is_own_page(environ) is own
