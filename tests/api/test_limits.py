"""Limits over HTTP: calls over the limit get 429 with Retry-After, and only those."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from app import create_app
from app.api.limits import FAILURES, network
from config.settings import read_settings
from tests.api.test_auth import basic, create
from tests.processes import ADMIN_KEY, ROOT, Answer, Service, command, environment, running

SCORES = "/v2/acme/limits/scores"
SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}
TOO_MANY = b'{"detail":"Too many requests with this API key"}'
TOO_MANY_FAILURES = b'{"detail":"Too many failures to authenticate from this address"}'
ONE_WORKER = {"WEB_CONCURRENCY": "1"}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service of one worker that allows three calls per key and hour."""
    settings = {**ONE_WORKER, "SCORELINE_RATE_LIMIT": "3/hour"}
    with running(tmp_path_factory.mktemp("limited"), **settings) as started:
        yield started


# Calls


def test_a_key_over_its_limit_is_429_with_retry_after(limited: Service) -> None:
    _, key = create(limited, "write", "*")
    answers = [limited.post(SCORES, SCORE, key=key) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[3].body == TOO_MANY
    assert 0 < int(answers[3].headers["Retry-After"]) <= 1200
    assert answers[3].headers["Content-Type"] == "application/json"


def test_each_key_has_its_own_limit(limited: Service) -> None:
    for _ in range(2):
        _, key = create(limited, "create", "*")
        assert [limited.post(SCORES, SCORE, key=key).status for _ in range(4)][2:] == [200, 429]


def test_every_call_is_counted_whatever_its_status(limited: Service) -> None:
    _, key = create(limited, "create", "acme/*")
    statuses = [
        limited.send("GET", SCORES, key=key).status,
        limited.send("POST", "/v2/other/limits/scores", b"{}", key=key).status,
        limited.send("POST", SCORES, b"{", key=key).status,
        limited.post(SCORES, SCORE, key=key).status,
    ]
    assert statuses == [403, 403, 422, 429]


def test_a_batch_is_one_call(limited: Service) -> None:
    _, key = create(limited, "write", "*")
    for _ in range(3):
        assert limited.post(f"{SCORES}/batch", {"scores": [SCORE] * 100}, key=key).status == 200
    assert limited.send("GET", SCORES, key=key).status == 429


def test_a_call_over_the_limit_is_not_read_and_stores_nothing(limited: Service) -> None:
    path = "/v2/acme/limits-unread/scores"
    _, key = create(limited, "create", "*")
    for _ in range(3):
        limited.post(SCORES, SCORE, key=key)
    assert limited.send("POST", path, b"{" * 1_000_000, key=key).status == 429
    assert limited.post(path, SCORE, key=key).status == 429
    _, reader = create(limited, "read", "*")
    assert limited.send("GET", path, key=reader).body == b""


def test_routes_without_a_key_are_not_limited(limited: Service) -> None:
    for path in ("/health/live", "/health/ready", "/openapi.json"):
        assert [limited.send("GET", path, key=None).status for _ in range(5)] == [200] * 5


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, None),
        ({"SCORELINE_HOST": "127.0.0.9"}, None),
        ({"SCORELINE_HOST": "::1"}, None),
        ({"SCORELINE_HOST": "localhost", "PORT": "80"}, None),
        ({"PORT": "80"}, (1000, 1)),
        ({"SCORELINE_HOST": "0.0.0.0"}, (1000, 1)),
        ({"SCORELINE_HOST": "::"}, (1000, 1)),
        ({"SCORELINE_HOST": "scores.example.com"}, (1000, 1)),
        ({"SCORELINE_HOST": "0.0.0.0", "SCORELINE_RATE_LIMIT": "off"}, None),
        ({"SCORELINE_RATE_LIMIT": "10/minute"}, (10, 60)),
        ({"SCORELINE_RATE_LIMIT": "999999/hour"}, (999999, 3600)),
    ],
)
def test_the_limit_is_off_on_loopback_and_on_elsewhere(
    settings: dict[str, str], wanted: tuple[int, int] | None
) -> None:
    assert read_settings(settings).rate_limit == wanted


def test_a_limit_whose_store_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "redis.py").write_text("raise ImportError")
    environ = environment(
        SCORELINE_RATE_LIMIT="1/second", SCORELINE_RATE_LIMIT_STORE="redis://u:hush@127.0.0.1"
    )
    environ["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    ended = subprocess.run(
        command("serve"), check=False, cwd=tmp_path, env=environ, capture_output=True, timeout=30
    )
    (line,) = ended.stderr.decode().splitlines()
    assert ended.returncode == 2
    assert line.startswith("scoreline: SCORELINE_RATE_LIMIT_STORE cannot be used: 'redis'")
    assert b"hush" not in ended.stderr + ended.stdout


# Failures to authenticate


def wrong(service: Service) -> Answer:
    return service.send("POST", SCORES, b"{}", key="sl_wrong")


def test_failures_are_limited_while_a_valid_key_from_the_same_address_works(tmp_path: Path) -> None:
    with running(tmp_path, **ONE_WORKER) as service:
        answers = [wrong(service) for _ in range(3 * FAILURES[0])]
        refused = [answer for answer in answers if answer.status == 429]
        assert {answer.status for answer in answers} == {401, 429}
        assert [answer.status for answer in answers[: FAILURES[0]]] == [401] * FAILURES[0]
        assert {answer.body for answer in refused} == {TOO_MANY_FAILURES}
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        # A key that is not in this process's cache, while the failures go on.
        _, key = create(service, "create", "*")
        for _ in range(20):
            wrong(service)
            assert service.post(SCORES, SCORE, key=key).status == 200
        # Whatever is wrong, none tells more than another.
        for authorization in (None, basic("api", ""), "Digest x"):
            headers = {"Authorization": authorization} if authorization else {}
            answer = service.send("POST", SCORES, b"{}", headers, key=None)
            assert answer.status in (401, 429)


@pytest.fixture
def proxied(tmp_path: Path) -> Flask:
    """Return an application behind two proxies."""
    environ = {
        "SCORELINE_STORE": f"sqlite:///{tmp_path}/scoreline.db",
        "SCORELINE_ADMIN_KEY": ADMIN_KEY,
        "SCORELINE_TRUSTED_PROXIES": "2",
    }
    made = create_app(read_settings(environ))
    made.extensions["scoreline"].store.prepare()
    return made


def fail(app: Flask, remote: str, forwarded: str = "", times: int = 1) -> int:
    """Fail to authenticate `times` from an address; return the status of the last response."""
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    client, environ = app.test_client(), {"REMOTE_ADDR": remote}
    for _ in range(times):
        status = client.post(SCORES, headers=headers, environ_overrides=environ).status_code
    return status


def test_failures_are_counted_per_address(app: Flask) -> None:
    assert fail(app, "192.0.2.1", times=FAILURES[0] + 5) == 429
    assert fail(app, "192.0.2.2") == 401
    assert fail(app, "2001:db8:1:2::1", times=FAILURES[0] + 5) == 429
    assert fail(app, "2001:db8:1:2:ffff::7") == 429
    assert fail(app, "2001:db8:1:3::1") == 401


def test_without_trusted_proxies_a_client_cannot_choose_its_address(app: Flask) -> None:
    assert fail(app, "192.0.2.1", times=FAILURES[0] + 5) == 429
    assert fail(app, "192.0.2.1", "198.51.100.1") == 429


def test_behind_trusted_proxies_the_address_is_the_one_that_the_first_saw(proxied: Flask) -> None:
    seen = "198.51.100.1, 192.0.2.254"
    assert fail(proxied, "192.0.2.1", seen, times=FAILURES[0] + 5) == 429
    assert fail(proxied, "192.0.2.1", f"203.0.113.9, {seen}") == 429
    assert fail(proxied, "192.0.2.1", "198.51.100.2, 192.0.2.254") == 401
    assert fail(proxied, "192.0.2.1", "::::, nonsense") == 401


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("no address: " + "x" * 999, "no address: " + "x" * 52),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str, wanted: str) -> None:
    assert network(address) == wanted
