"""Connections to a healthy service that break at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.load import (
    CONNECTIONS,
    PROJECT,
    Acknowledged,
    Load,
    content,
    count,
    count_of,
    read_back,
    report,
)
from tests.faults.proxy import CUTS, Proxy, cutting
from tests.interop import client as official
from tests.interop.loopback import loopback_only
from tests.processes import Service, running

pytestmark = pytest.mark.faults

ALONE_CALLS = 2_000
KEYED_CALLS = 8_000
WEAVE_CALLS = 2_000
ATTEMPTS = 3
"""How often Weave's client 0.54 tries a call."""


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """Run a service on a new store."""
    with running(tmp_path) as service:
        yield service


@pytest.fixture
def only_loopback() -> Iterator[None]:
    """Set Weave's variables, and check that there were no connections beyond loopback."""
    with official.settings_of_weave(), loopback_only() as tried:
        yield
    assert tried == []


def cuts(*proxies: Proxy) -> int:
    """Return how many connections were cut, and check that each proxy cut some at each moment."""
    for proxy in proxies:
        assert all(proxy.cuts[cut] > proxy.cuts.total() / 20 for cut in CUTS), proxy.cuts
    return sum(proxy.cuts[cut] for proxy in proxies for cut in CUTS)


def test_calls_with_a_key_over_breaking_connections_create_one_score_each(
    own_service: Service,
) -> None:
    with cutting(own_service.port) as proxy:
        with Load(own_service, port=proxy.port, calls=ALONE_CALLS) as load:
            load.finish()
        found = count(own_service, load)
        report(f"{ALONE_CALLS} calls through {cuts(proxy)} cuts", found)
    assert found.acknowledged == len(read_back(own_service)) == ALONE_CALLS


def send_by_weave(service: Service, port: int, first: int) -> list[Acknowledged]:
    """Make one client's part of WEAVE_CALLS with Weave's client."""
    made = []
    with official.weave_client(f"http://127.0.0.1:{port}", service.key) as client:
        for number in range(first, WEAVE_CALLS, CONNECTIONS):
            sent = content(f"weave-{number}")
            answer = client.score_create({"project_id": PROJECT, **sent})
            made.append((answer.score_id, sent))
    return made


@pytest.mark.skipif(official.is_missing, reason=official.MISSING)
def test_10_000_calls_of_two_clients_create_exactly_10_000_scores(
    own_service: Service, only_loopback: None
) -> None:
    with (
        cutting(own_service.port) as keyed,
        cutting(own_service.port, ATTEMPTS) as keyless,
        Load(own_service, port=keyed.port, calls=KEYED_CALLS) as load,
        ThreadPoolExecutor(CONNECTIONS) as pool,
    ):
        sending: list[Future[list[Acknowledged]]] = [
            pool.submit(send_by_weave, own_service, keyless.port, first)
            for first in range(CONNECTIONS)
        ]
        by_weave = [each for future in sending for each in future.result()]
        load.finish()
    found = count_of(own_service, [*load.acknowledged, *by_weave])
    calls = KEYED_CALLS + WEAVE_CALLS
    report(f"{calls} calls, Weave's and keyed, through {cuts(keyed, keyless)} cuts", found)
    assert found.acknowledged == len(read_back(own_service)) == calls
