"""An unchanged program of the npm package `weave` loses no score, and none is doubled.

The service is killed and started while the program runs. `make test-interop` installs the package.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_auth import create as create_key
from tests.interop.test_programs import Program, counted, lines, scores_of
from tests.mongodb import drop_database, with_database
from tests.processes import Service, running

PACKAGES = Path(f"{sys.prefix}-weave-npm", "node_modules")
PROGRAMS = Path(__file__).with_name("programs") / "node"

if shutil.which("node") is None or not (PACKAGES / "weave").exists():
    pytest.skip(
        "the npm package weave is not installed: `make .venv/.interop` installs it, with Node 20",
        allow_module_level=True,
    )

Done = tuple[Program, dict[str, Any]]


def start(service: Service, directory: Path) -> Program:
    """Start the program with the variables of docs/weave.md and a key with the role create."""
    shutil.copytree(PROGRAMS, directory, dirs_exist_ok=True)
    (directory / "node_modules").symlink_to(PACKAGES)
    _, key = create_key(service, "create", "acme/*")
    variables = {"WF_TRACE_SERVER_URL": service.url, "WANDB_API_KEY": key}
    path = directory / "report.json"
    process = subprocess.Popen(
        ["node", "evaluation.mjs", str(path), "acme/node"],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Program(process, path, service, "acme/node")


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a program that has ended, and its report, on each engine in turn.

    The program goes on while the service is down.
    """
    directory = tmp_path_factory.mktemp("node")
    uri = "" if request.param == "sqlite" else request.getfixturevalue("mongodb_server")
    store = uri and with_database(uri, f"scoreline_test_{secrets.token_hex(6)}")
    with running(directory, store) as service:
        program = start(service, directory)
        while not scores_of(service, program.project):
            assert program.process.poll() is None
            time.sleep(0.1)
        service.kill()
        program.write_line()
        service.start_again()
        yield program, program.wait()
    if store:
        drop_database(store)


def test_every_score_of_a_node_program_is_there_once(done: Done) -> None:
    program, report = done
    assert scores_of(program.service, program.project) == counted(report)
    assert len(report["scores"]) == 34


def test_every_run_of_a_node_program_has_its_predictions(done: Done) -> None:
    program, report = done
    listed = lines(program.service, f"{program.project}/predictions")
    assert Counter(each["evaluation_run_id"] for each in listed) == report["runs"]
    runs = lines(program.service, f"{program.project}/evaluation_runs")
    assert {each["status"] for each in runs} == {"completed"}


def test_a_node_program_connects_to_the_service_only(done: Done) -> None:
    _, report = done
    assert report["tried"] == []
