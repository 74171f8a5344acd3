"""Connections that break at any moment, on the way to a service that is well."""

from __future__ import annotations

import pytest

from tests.faults.load import Load, count, read_back, report
from tests.faults.proxy import CUTS, cutting
from tests.processes import Service

pytestmark = pytest.mark.faults

CALLS = 10_000


def test_10_000_calls_over_breaking_connections_are_exactly_10_000_scores(
    service: Service,
) -> None:
    with cutting(service.port) as proxy, Load(service, port=proxy.port, calls=CALLS) as load:
        load.wait_for(acknowledged=CALLS)
    assert all(proxy.cuts[cut] > CALLS / 20 for cut in CUTS)
    found = count(service, load)
    report(f"{CALLS} calls through {proxy.cuts.total() - proxy.cuts['never']} cuts", found)
    assert found.acknowledged == len(read_back(service)) == CALLS
