"""What the faults of one file share: a service of the test's own, and where its store is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Service, running


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """A service on a store of this test's own."""
    with running(tmp_path) as service:
        yield service


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The file of that store."""
    return tmp_path / "scoreline.db"
