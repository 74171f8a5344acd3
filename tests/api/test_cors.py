"""Pages of other origins may call the service only if they are named. See also tests/browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes import Answer, Service, running

SCORES = "/v2/acme/cors/scores"
SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}
NAMED = "https://app.example.com"
OTHERS = [
    "https://app.example.com.evil.example",
    "https://app.example.com:8443",
    "http://app.example.com",
    "https://appXexample.com",
    "null",
    "",
]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service that allows pages of two origins."""
    origins = f"{NAMED},http://localhost:5173"
    with running(
        tmp_path_factory.mktemp("cors"), SCORELINE_CORS_ORIGINS=origins, WEB_CONCURRENCY="1"
    ) as started:
        yield started


def preflight(service: Service, origin: str | None, path: str = SCORES) -> Answer:
    """Send the preflight request of a browser for a POST of JSON with a key."""
    headers = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return service.send(
        "OPTIONS", path, headers=headers | ({"Origin": origin} if origin else {}), key=None
    )


def cors_headers(answer: Answer) -> dict[str, str]:
    return {
        name: value
        for name, value in answer.headers.items()
        if name.startswith("Access-Control-") or name == "Vary"
    }


def listed(text: str) -> set[str]:
    return set(text.lower().split(", "))


def test_without_the_setting_no_other_origin_is_allowed(service: Service) -> None:
    asked = preflight(service, NAMED)
    read = service.send("GET", SCORES, headers={"Origin": NAMED})
    assert (asked.status, read.status) == (405, 200)
    assert (cors_headers(asked), cors_headers(read)) == ({}, {})


@pytest.mark.parametrize("origin", [NAMED, "http://localhost:5173"])
def test_a_preflight_of_a_named_origin_is_answered_without_a_key(
    named: Service, origin: str
) -> None:
    answer = preflight(named, origin)
    assert (answer.status, answer.body) == (204, b"")
    headers = cors_headers(answer)
    assert headers["Access-Control-Allow-Origin"] == origin
    assert headers["Vary"] == "Origin"
    assert listed(headers["Access-Control-Allow-Methods"]) >= {"get", "post", "delete"}
    assert listed(headers["Access-Control-Allow-Headers"]) >= {
        "authorization",
        "content-type",
        "idempotency-key",
        "x-request-id",
    }
    assert "Access-Control-Allow-Credentials" not in headers
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("origin", [*OTHERS, None])
def test_a_preflight_of_another_origin_is_405(named: Service, origin: str | None) -> None:
    answer = preflight(named, origin)
    assert answer.status == 405
    assert cors_headers(answer) == {"Vary": "Origin"}


def test_options_without_a_preflight_is_405(named: Service) -> None:
    assert named.send("OPTIONS", SCORES, headers={"Origin": NAMED}).status == 405


def test_a_named_origin_may_read_responses(named: Service) -> None:
    for method, path, key, status in (
        ("GET", SCORES, "", 200),
        ("GET", SCORES, None, 401),
        ("GET", "/no/such", "", 404),
        ("PUT", SCORES, "", 405),
    ):
        answer = named.send(method, path, headers={"Origin": NAMED}, key=key)
        assert answer.status == status
        headers = cors_headers(answer)
        assert headers["Access-Control-Allow-Origin"] == NAMED
        assert headers["Vary"] == "Origin"
        assert listed(headers["Access-Control-Expose-Headers"]) >= {
            "x-request-id",
            "retry-after",
            "idempotent-replayed",
            "link",
        }


@pytest.mark.parametrize("origin", OTHERS)
def test_another_origin_may_not_read_responses(named: Service, origin: str) -> None:
    answer = named.post(SCORES, SCORE, headers={"Origin": origin})
    assert cors_headers(answer) == {"Vary": "Origin"}


def test_a_client_that_is_not_a_browser_sees_no_difference(named: Service) -> None:
    answer = named.post(SCORES, SCORE)
    assert (answer.status, cors_headers(answer)) == (200, {"Vary": "Origin"})
