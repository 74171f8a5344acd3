"""Unchanged programs of three versions of Weave's SDK lose no score, and none is doubled.

Each program counts its own scores (`tests/interop/programs`). Each version has an environment
of its own, which `make test-interop` makes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.scorers import scorer_name
from tests.api.test_auth import create as create_key
from tests.faults.proxy import CUTS, cutting
from tests.interop import client as official
from tests.processes import ROOT, Service, environment, running

if official.is_missing:
    pytest.skip(official.MISSING, allow_module_level=True)

NEWEST = "0.54.0"
PYTHONS = {
    NEWEST: sys.executable,
    "0.53.12": f"{sys.prefix}-weave-0.53.12/bin/python",
    "0.52.43": f"{sys.prefix}-weave-0.52.43/bin/python",
}
CLOSED = "http://127.0.0.1:9"
VERSION_CHECK = {"socket.getaddrinfo pypi.org"}
"""What `weave.init` always asks, and no variable of Weave turns off."""

SECONDS = 300.0
"""How long a program may take on a busy machine."""

ATTEMPTS = 3
"""How often the SDK tries to send feedback and objects."""

NEVER_TRIED_AGAIN = (b"/graphql",)
"""The path of `weave.init` that older versions of the SDK send once; then the program ends."""

Score = tuple[str, str, str, str, str]
"""The call of a prediction, scorer, value, error and annotator."""


@dataclass
class Program:
    """A running program of Weave's SDK, and what it counts."""

    process: subprocess.Popen[str]
    path: Path
    service: Service
    project: str

    def write_line(self) -> None:
        """Send a line to the program's standard input."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def wait(self) -> dict[str, Any]:
        """Wait until the program has ended by itself, and return its report."""
        try:
            _, errors = self.process.communicate(timeout=SECONDS)
        finally:
            self.process.kill()
        assert self.process.returncode == 0, errors
        report: dict[str, Any] = json.loads(self.path.read_text())
        return report


def start(
    service: Service, directory: Path, project: str, version: str = NEWEST, **options: Any
) -> Program:
    """Start a program with the variables of docs/weave.md and a key with the role create.

    The project is in the entity acme, which the key's scope names.
    """
    if not Path(PYTHONS[version]).exists():
        pytest.skip(f"weave {version} is not installed: `make .venv/.interop` installs it")
    _, secret = create_key(service, "create", "acme/*")
    url = f"http://127.0.0.1:{options.get('port', service.port)}"
    variables = {
        "WANDB_BASE_URL": url,
        "WANDB_API_KEY": secret,
        "WEAVE_USE_SERVER_CACHE": "false",
        "WANDB_ERROR_REPORTING": "false",
        "no_proxy": "127.0.0.1",
        **options.get("variables", {}),
    }
    path = directory / f"{project.replace('/', '-')}-{version}.json"
    module = f"tests.interop.programs{options.get('module', '')}"
    process = subprocess.Popen(
        [PYTHONS[version], "-m", module, str(path), project],
        cwd=directory,
        env={**environment(), "PYTHONPATH": str(ROOT), **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Program(process, path, service, f"acme/{project.removeprefix('acme/')}")


def lines(service: Service, path: str) -> list[dict[str, Any]]:
    """Return the JSON lines of a response."""
    answer = service.send("GET", f"/v2/{path}")
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def scores_of(service: Service, project: str) -> Counter[Score]:
    """Return all scores of a project, superseded ones too."""
    exported = lines(service, f"{project}/export")
    calls = {
        each["prediction_id"]: each["predict_and_score_call_id"]
        for each in exported
        if each["kind"] == "prediction"
    }
    return Counter(
        score_key(
            calls.get(each["prediction_id"], each["prediction_id"]),
            scorer_name(each["scorer"]),
            each["value"],
            each.get("error"),
            each.get("annotator"),
        )
        for each in exported
        if each["kind"] == "score"
    )


def score_key(call: str, scorer: str, value: Any, error: Any, annotator: Any) -> Score:
    return call, scorer, json.dumps(value, sort_keys=True), error or "", annotator or ""


def counted(report: dict[str, Any]) -> Counter[Score]:
    """Return the scores that a program has counted."""
    return Counter(score_key(**each) for each in report["scores"])


# Programs that do all that the SDK can do


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def engine(request: pytest.FixtureRequest) -> Service:
    """Return a service on each engine in turn."""
    name = "service" if request.param == "sqlite" else "mongodb_service"
    found: Service = request.getfixturevalue(name)
    return found


@pytest.fixture(scope="module")
def programs(
    engine: Service, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Program, dict[str, Any]]]:
    """Return the programs of all versions, which run at the same time, and their reports.

    The newest names its project without an entity, and can reach no `https` address.
    """
    directory = tmp_path_factory.mktemp("programs")
    started = {
        NEWEST: start(engine, directory, "program-new", variables={"HTTPS_PROXY": CLOSED}),
        "0.53.12": start(engine, directory, "acme/program-old", "0.53.12"),
        "0.52.43": start(engine, directory, "acme/program-older", "0.52.43"),
    }
    return {version: (program, program.wait()) for version, program in started.items()}


@pytest.fixture(params=PYTHONS)
def done(
    request: pytest.FixtureRequest, programs: dict[str, tuple[Program, dict[str, Any]]]
) -> tuple[Program, dict[str, Any]]:
    """Return the program of each version in turn, and its report."""
    return programs[request.param]


def test_every_score_of_a_program_is_there_once(done: tuple[Program, dict[str, Any]]) -> None:
    program, report = done
    found = scores_of(program.service, program.project)
    assert found == counted(report)
    assert len(found) > 80


def test_every_run_has_its_predictions(done: tuple[Program, dict[str, Any]]) -> None:
    program, report = done
    found = Counter(
        each["evaluation_run_id"]
        for each in lines(program.service, f"{program.project}/predictions")
    )
    assert found == report["runs"]


def test_the_statuses_of_runs_are_those_of_the_program(
    done: tuple[Program, dict[str, Any]],
) -> None:
    program, _ = done
    runs = lines(program.service, f"{program.project}/evaluation_runs")
    statuses = {each["name"]: each["status"] for each in runs}
    assert {name: statuses[name] for name in ("names", "contexts", "unfinished")} == {
        "names": "completed",
        "contexts": "failed",
        "unfinished": "running",
    }


def test_two_runs_of_a_dataset_pair_by_example(done: tuple[Program, dict[str, Any]]) -> None:
    program, report = done
    baseline, candidate = list(report["runs"])[:2]
    query = f"baseline={baseline}&candidate={candidate}&scorer=exact"
    path = f"/v2/{program.project}/scores/compare?{query}"
    answer = program.service.send("GET", path).json
    (comparison,) = answer["comparisons"]
    assert answer["pair_by"] == "example"
    assert comparison["pairs"]["compared"] == 3
    assert comparison["pairs"]["trials_in_candidate"] == 6


def test_a_program_connects_to_the_service_only(
    programs: dict[str, tuple[Program, dict[str, Any]]],
) -> None:
    tried = {version: set(report["tried"]) for version, (_, report) in programs.items()}
    assert tried == {NEWEST: set(), "0.53.12": VERSION_CHECK, "0.52.43": VERSION_CHECK}


@pytest.mark.parametrize("version", PYTHONS)
def test_values_of_fetched_rows_are_scored_once(
    engine: Service, tmp_path: Path, version: str
) -> None:
    key = {"WANDB_API_KEY": engine.key}
    name = f"acme/fetched-{version}"
    program = start(engine, tmp_path, name, version, module=".fetched", variables=key)
    report = program.wait()
    assert scores_of(engine, program.project) == counted(report)
    predictions = lines(engine, f"{program.project}/predictions")
    assert len(report["scores"]) == 3 * len(predictions) == 60
    assert all(each["output"] == {"q": each["inputs"]["q"]} for each in predictions)


@pytest.mark.parametrize("version", PYTHONS)
def test_objects_and_several_values_of_one_scorer_are_scored_once(
    engine: Service, tmp_path: Path, version: str
) -> None:
    program = start(engine, tmp_path, f"acme/objects-{version}", version, module=".objects")
    report = program.wait()
    assert scores_of(engine, program.project) == counted(report)
    assert len(report["scores"]) == 3 * (5 + 3 + 4)
    answer = engine.send("GET", f"/v2/{program.project}/scores?scorer_name=again&current=true")
    current = [json.loads(each)["value"] for each in answer.body.splitlines()]
    assert current == [{"x": 3}] * 3


# Interruptions


@pytest.fixture(params=["sqlite", "mongodb"])
def own_service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """Run a service of its own on each engine in turn."""
    store = "" if request.param == "sqlite" else request.getfixturevalue("mongodb_uri")
    with running(tmp_path, store) as service:
        yield service


def start_all(service: Service, directory: Path, port: int) -> list[Program]:
    """Start the program that can be interrupted with every version."""
    return [
        start(service, directory, f"p{number}", version, module=".interrupted", port=port)
        for number, version in enumerate(PYTHONS)
    ]


def test_no_score_is_lost_or_doubled_if_the_service_is_killed_and_started(
    own_service: Service, tmp_path: Path
) -> None:
    programs = start_all(own_service, tmp_path, own_service.port)
    for program in programs:
        while not scores_of(own_service, program.project):
            assert program.process.poll() is None
            time.sleep(0.1)
    for program in programs:
        program.write_line()
    own_service.kill()
    own_service.start_again()
    for program in programs:
        program.write_line()
    reports = [program.wait() for program in programs]
    for program, report in zip(programs, reports, strict=True):
        assert scores_of(own_service, program.project) == counted(report)


def test_no_score_is_lost_or_doubled_if_connections_are_cut(
    any_service: Service, tmp_path: Path
) -> None:
    with cutting(any_service.port, ATTEMPTS, spared=NEVER_TRIED_AGAIN) as proxy:
        programs = start_all(any_service, tmp_path, proxy.port)
        for program in programs:
            program.write_line()
            program.write_line()
        reports = [program.wait() for program in programs]
    assert all(proxy.cuts[cut] for cut in CUTS), proxy.cuts
    for program, report in zip(programs, reports, strict=True):
        assert scores_of(any_service, program.project) == counted(report)
