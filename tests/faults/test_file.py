"""Move, delete or write-protect the file of the embedded store while the service runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.load import PATH, Load, count, report
from tests.processes import Service

pytestmark = pytest.mark.faults

ROUNDS = 3
SCORE = {"prediction_id": "p", "scorer": "s", "value": 1}


def assert_takes_no_score(service: Service) -> None:
    """Fail unless every worker of a service responds with 503 to a new score."""
    answers = [service.post(PATH, SCORE) for _ in range(20)]
    assert {answer.status for answer in answers} == {503}
    assert {answer.json["detail"] for answer in answers} == {"The store does not answer"}


def assert_refuses_to_start(service: Service, reason: str) -> None:
    """Fail unless a start exits with 2 and a line with the reason."""
    with pytest.raises(AssertionError, match="the process ended with 2") as found:
        service.start_again()
    line = str(found.value).splitlines()[-1]
    assert line.startswith("scoreline: ")
    assert reason in line


def test_a_file_that_is_moved_away_is_503_until_it_is_back_and_loses_nothing(
    own_service: Service, database: Path
) -> None:
    with Load(own_service) as load:
        for _ in range(ROUNDS):
            load.wait_for(acknowledged=200)
            away = database.rename(database.with_suffix(".away"))
            assert_takes_no_score(own_service)
            for path in (PATH, "/health/ready"):
                assert own_service.send("GET", path).status == 503
            assert not database.exists()
            away.rename(database)
        load.wait_for(acknowledged=200)
    report(f"file moved away {ROUNDS} times", count(own_service, load))


@pytest.mark.parametrize("end", [Service.kill, Service.stop])
def test_a_deleted_file_accepts_no_score_and_is_not_replaced_by_an_empty_one(
    own_service: Service, database: Path, end: Callable[[Service], object]
) -> None:
    with Load(own_service) as load:
        load.wait_for(acknowledged=200)
        backup = database.with_suffix(".backup")
        os.link(database, backup)
        database.unlink()
        assert_takes_no_score(own_service)
        end(own_service)
        assert_refuses_to_start(own_service, f"{database} is missing")
        backup.rename(database)
        own_service.start_again()
        load.wait_for(acknowledged=200)
    report(f"file deleted, {end.__name__}", count(own_service, load))


@contextmanager
def read_only(database: Path) -> Iterator[None]:
    """Make a file read-only; for the superuser, with the immutable flag."""
    program, make, undo = ("chmod", "444", "644") if os.geteuid() else ("chattr", "+i", "-i")
    try:
        subprocess.run([program, make, str(database)], check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"a file cannot be made read-only for the superuser here: {error}")
    try:
        yield
    finally:
        subprocess.run([program, undo, str(database)], check=True)


def test_a_read_only_file_is_read_and_accepts_no_score_until_it_is_writable(
    own_service: Service, database: Path
) -> None:
    with Load(own_service) as load:
        load.wait_for(acknowledged=200)
        with read_only(database):
            assert_takes_no_score(own_service)
            assert count(own_service, load).clean
        load.wait_for(acknowledged=200)
        with read_only(database):
            own_service.stop()
            assert_refuses_to_start(own_service, f"{database} is read-only")
        own_service.start_again()
        load.wait_for(acknowledged=200)
    report("file made read-only", count(own_service, load))
