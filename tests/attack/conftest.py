"""A service on each engine for the attacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Service, running


@pytest.fixture(params=["sqlite", "mongodb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """Run a service with an empty store, which must be healthy afterwards and log no defect."""
    store = "" if request.param == "sqlite" else request.getfixturevalue("mongodb_uri")
    with running(tmp_path, store, SCORELINE_TRUSTED_PROXIES="1") as service:
        yield service
        for probe in ("/health/live", "/health/ready"):
            assert service.send("GET", probe, key=None).status == 200
        assert "Traceback" not in service.log.read_text()
