"""A full disk: writes are refused until there is space, and nothing is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.load import PATH, Load, count, report
from tests.processes import Service, running

pytestmark = pytest.mark.faults

SIZE = "24m"
ROUNDS = 3
FULL = "The store is full"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of a few megabytes; skip the test where that is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"a small file system cannot be mounted here: {error}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(ballast: Path) -> None:
    """Fill the disk."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.fixture
def disk_service(tmp_path: Path, small_disk: Path) -> Iterator[Service]:
    """Run a service whose store is on the small disk."""
    with running(tmp_path, f"sqlite:///{small_disk}/scoreline.db") as service:
        yield service


def test_a_full_disk_is_503_until_there_is_space_and_loses_nothing(
    disk_service: Service, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    with Load(disk_service) as load:
        for _ in range(ROUNDS):
            load.wait_for(acknowledged=200)
            fill(ballast)
            load.wait_for(refused=100)
            score_id, _ = load.acknowledged[0]
            assert disk_service.send("GET", f"{PATH}/{score_id}").status == 200
            ballast.unlink()
        load.wait_for(acknowledged=200)
    assert set(load.refusals) == {FULL}
    report(f"disk full {ROUNDS} times", count(disk_service, load))


def test_kill_9_on_a_full_disk_loses_nothing_and_a_start_needs_no_space(
    disk_service: Service, small_disk: Path
) -> None:
    with Load(disk_service) as load:
        load.wait_for(acknowledged=200)
        fill(small_disk / "ballast")
        load.wait_for(refused=100)
        disk_service.kill()
        disk_service.start_again()
        load.wait_for(refused=100)
        assert count(disk_service, load).clean
        (small_disk / "ballast").unlink()
        load.wait_for(acknowledged=200)
    report("disk full and kill -9", count(disk_service, load))
