"""Fixtures of the fault tests: a service per test, and the file of its store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Service, running


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """Run a service on a new store."""
    with running(tmp_path) as service:
        yield service


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return the file of that store."""
    return tmp_path / "scoreline.db"
