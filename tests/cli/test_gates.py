"""`scoreline gate`: its exit codes, table, JSON and JUnit report."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.commands import run_command
from tests.cli.test_commands import answering
from tests.processes import ADMIN_KEY, Service, command, environment

PROJECT = "acme/gates"
GATE = ("--project", PROJECT, "--scorer", "s")


@pytest.fixture(scope="module")
def filled(service: Service) -> Service:
    """The service with runs: base has the mean 0.85, next 0.83, nulls no value, pass only true.

    The run empty has no scores.
    """
    runs: dict[str, list[float | None]]
    runs = {"base": [0.8, 0.9], "next": [0.86, 0.8], "nulls": [None, None], "pass": [True, True]}
    for run, values in runs.items():
        for place, value in enumerate(values):
            score = {"prediction_id": f"p{place}", "scorer": "s", "value": value}
            service.post(f"/v2/{PROJECT}/scores", {**score, "evaluation_run_id": run})
    empty = {"evaluation": "e", "model": "m", "evaluation_run_id": "empty"}
    service.post(f"/v2/{PROJECT}/evaluation_runs", empty)
    return service


def run(
    service: Service, arguments: Sequence[str], key: str = ADMIN_KEY
) -> subprocess.CompletedProcess[str]:
    env = environment(SCORELINE_URL=service.url, SCORELINE_KEY=key)
    return run_command("gate", *arguments, cwd=service.log.parent, env=env)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--run", "next", "--min", "0.8"], 0),
        (["--run", "next", "--min", "0.9"], 1),
        (["--run", "next", "--baseline", "base", "--max-drop", "0.02"], 0),
        (["--run", "next", "--baseline", "base", "--max-drop", "0.01"], 1),
        (["--run", "next", "--min-coverage", "1"], 0),
        (["--run", "nulls", "--min-coverage", "0.95"], 1),
        (["--run", "nulls", "--min", "-1"], 4),
        (["--run", "no-such-run", "--min", "-1"], 2),
        (["--run", "empty", "--min", "-1"], 4),
        (["--run", "next", "--baseline", "nulls", "--max-drop", "1"], 4),
        (["--run", "next", "--min", "0.8", "--confidence"], 4),
        (["--run", "next", "--baseline", "base", "--not-worse-by", "9"], 2),
        (["--run", "pass", "--protected", "p0", "--protected", "p1"], 0),
        (["--run", "pass", "--protected", "p0", "--protected", "p2"], 1),
        (["--run", "pass", "--protected", "tag:must"], 2),
        (["--run", "pass", "--k", "1", "--min-pass-hat-k", "1"], 0),
        (["--run", "pass", "--k", "1", "--min-pass-hat-k", "1", "--confidence"], 4),
        (["--run", "pass", "--min-pass-at-k", "1"], 2),
        (["--run", "next", "--protected", "p0"], 2),
        (["--run", "next", "--baseline", "base", "--slice", "leaf:", "--direction", "lower"], 4),
        (["--run", "next", "--leaf", "none", "--min", "-1"], 2),
        (["--run", "next", "--baseline", "base", "--max-drop", "-0.1"], 2),
        (["--run", "next"], 2),
        (["--run", "next", "--max-drop", "0.1"], 2),
        (["--run", "next", "--min-coverage", "2"], 2),
        (["--run", "next", "--min", "much"], 2),
        ([], 2),
    ],
)
def test_the_exit_code_is_the_verdict(filled: Service, arguments: list[str], code: int) -> None:
    done = run(filled, [*GATE, *arguments])
    assert done.returncode == code, done.stdout + done.stderr
    is_empty = "empty" in arguments
    assert bool(done.stderr) == (code == 2 or is_empty)
    assert is_empty == ("no scores of run empty in acme/gates" in done.stderr)
    assert ("no-such-run" in arguments) == ("the name 'no-such-run'" in done.stderr)


def test_the_checks_are_printed_as_a_table(filled: Service) -> None:
    done = run(filled, [*GATE, "--run", "next", "--min", "0.9", "--min-coverage", "0.95"])
    header, least, coverage, reason = done.stdout.splitlines()
    assert header.split() == ["check", "wanted", "found", "outcome", "why"]
    assert least.split() == ["min", "0.9", "0.83", "FAILED"]
    assert coverage.split() == ["min_coverage", "0.95", "1", "passed"]
    assert reason == "next: 1 of 2 checks failed: s min (found 0.83, wanted 0.9)."


def test_no_difference_has_no_sign(filled: Service) -> None:
    limits = ["--run", "base", "--baseline", "base", "--max-drop", "0.1"]
    row = run(filled, [*GATE, *limits]).stdout.splitlines()[1]
    assert row.split() == ["max_drop", "0.1", "0", "passed"]


def test_json_is_the_response_of_the_api(filled: Service) -> None:
    done = run(filled, [*GATE, "--run", "nulls", "--min", "0.9", "--json"])
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["outcome"]) == (4, "inconclusive")
    assert answer["checks"][0]["why"] == "the run has no values at this leaf"


TOML = """
[[metric]]
scorer = "s"

[[gate]]
scorer = "s"
baseline = "base"
max_drop = 0.02
min = 0.8

[[gate]]
scorer = "s"
direction = "higher"
not_worse_by = 0.01
"""


def test_a_file_has_the_limits_of_several_metrics(filled: Service, tmp_path: Path) -> None:
    file = tmp_path / "scoreline.toml"
    file.write_text(TOML)
    arguments = ["--project", PROJECT, "--run", "next", "--file", str(file)]
    done = run(filled, [*arguments, "--baseline", "base"])
    assert done.returncode == 4, done.stderr
    _, *rows, reason = done.stdout.splitlines()
    assert [row.split("  ")[0] for row in rows] == [
        *("s min", "s max_drop", "s min_compared", "s not_worse_by", "s min_compared")
    ]
    assert rows[3].endswith("the margin is within the interval: more examples are needed")
    assert reason.startswith("next: 1 of 5 checks is inconclusive: s not_worse_by (")
    refused = run(filled, [*arguments, "--min", "0.5"])
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--min is given by the [[gate]] tables" in refused.stderr


def test_regressions_are_listed_when_asked_for(filled: Service, tmp_path: Path) -> None:
    limits = ("--run", "next", "--baseline", "base", "--max-drop", "1")
    file = tmp_path / "scoreline.toml"
    file.write_text('[[gate]]\nscorer = "s"\nmax_drop = 1\nbaseline = "base"\n')
    of_file = ["--project", PROJECT, "--file", str(file), "--run", "next"]
    for given in ([*GATE, *limits], of_file):
        assert "worse" not in run(filled, given).stdout
        *_, header, row = run(filled, [*given, "--worst", "1"]).stdout.splitlines()
        assert header.split()[:3] == ["scorer", "leaf", "change"]
        assert row.split()[:4] == ["s", "worse", "0.9", "0.8"]


def test_several_baselines_are_named_in_the_table(filled: Service, tmp_path: Path) -> None:
    file = tmp_path / "scoreline.toml"
    gate = '[[gate]]\nscorer = "s"\nmax_drop = 1\nbaseline = "{}"\n'
    file.write_text(gate.format("base") + gate.format("approved"))
    arguments = ["--project", PROJECT, "--run", "next", "--file", str(file)]
    filled.post(f"/v1/{PROJECT}/runs/approvals", {"run": "next", "reason": "r"})
    done = run(filled, arguments)
    assert done.returncode == 0, done.stdout
    _, *rows, _ = done.stdout.splitlines()
    assert [row.split("  ")[0] for row in rows] == [
        *("s max_drop against base", "s min_compared against base"),
        *("s max_drop against next", "s min_compared against next"),
    ]
    report = tmp_path / "gate.xml"
    run(filled, [*arguments, "--junit", str(report)])
    assert [case.get("name") for case in ET.parse(report).getroot()[0]] == [
        *("s max_drop against base 1", "s min_compared against base 0.9"),
        *("s max_drop against next 1", "s min_compared against next 0.9"),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[gate]", "is not TOML"),
        ("", "has no [[gate]]"),
        ("gates = 1", "write [[gate]]"),
        ("[gate]\nmin = 1", "written [[gate]]"),
        ('[[gate]]\nscorer = "s"\nlowest = 1', "lowest"),
        ('[[gate]]\nscorer = "s"', "give at least one of min"),
        ('[[gate]]\nscorer = "s"\nmin = "much"', "valid number"),
    ],
)
def test_a_wrong_file_exits_with_code_2(
    filled: Service, tmp_path: Path, text: str, why: str
) -> None:
    file = tmp_path / "scoreline.toml"
    file.write_text(text)
    done = run(filled, ["--project", PROJECT, "--run", "next", "--file", str(file)])
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr


def test_junit_has_a_case_for_each_check(filled: Service, tmp_path: Path) -> None:
    file = tmp_path / "gate.xml"
    arguments = ["--run", "next", "--min", "0.9", "--min-coverage", "1", "--junit", str(file)]
    assert run(filled, [*GATE, *arguments]).returncode == 1
    suites = ET.parse(file).getroot()
    (suite,) = suites
    assert {name: suite.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "2",
        "failures": "1",
        "errors": "0",
    }
    least, coverage = suite
    assert (least.get("name"), least.get("classname")) == ("min 0.9", "next s")
    assert least[0].tag == "failure"
    assert least[0].get("message") == "found 0.83"
    assert (coverage.get("name"), len(coverage)) == ("min_coverage 1", 0)


def test_junit_is_well_formed_whatever_the_names_are(filled: Service, tmp_path: Path) -> None:
    file = tmp_path / "gate.xml"
    arguments = ["--project", PROJECT, "--scorer", 'a<b>"&\x1b', "--run", "ü", "--min", "0"]
    for name, run_id in (("other", "ü"), ('a<b>"&\x1b', "another")):
        score = {"prediction_id": "p", "scorer": name, "value": 1, "evaluation_run_id": run_id}
        filled.post(f"/v2/{PROJECT}/scores", score)
    assert run(filled, [*arguments, "--junit", str(file)]).returncode == 4
    (case,) = ET.parse(file).getroot()[0]
    assert case[0].tag == "error"
    assert case.get("classname") == 'ü a<b>"&\ufffd'


def test_a_refused_call_is_an_error_and_not_a_failure(filled: Service, tmp_path: Path) -> None:
    file = tmp_path / "gate.xml"
    arguments = [*GATE, "--run", "next", "--min", "0.5", "--junit", str(file)]
    done = run(filled, arguments, key="sl_nobody")
    assert done.returncode == 2
    assert "401" in done.stderr
    (case,) = ET.parse(file).getroot()[0]
    assert case[0].tag == "error"


def test_an_unreachable_service_exits_with_code_2(filled: Service) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done = run(filled, [*GATE, "--run", "next", "--min", "0.5", "--url", url])
    assert done.returncode == 2
    assert "no answer" in done.stderr


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in</html>",
        b"",
        b"{}",
        b"[1]",
        b'{"outcome":"passed","checks":[]}',
        b'{"checks":[1]}',
    ],
)
def test_a_response_of_another_program_exits_with_code_2(
    filled: Service, tmp_path: Path, body: bytes
) -> None:
    file = tmp_path / "gate.xml"
    with answering(body) as url:
        arguments = ["--run", "next", "--min", "0.5", "--url", url, "--junit", str(file)]
        done = run(filled, [*GATE, *arguments])
    assert (done.returncode, done.stdout) == (2, "")
    assert "not Scoreline's" in done.stderr
    assert ET.parse(file).getroot()[0][0][0].tag == "error"


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="the machine has no /dev/full")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_output_that_cannot_be_written_exits_with_code_2(filled: Service, more: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("gate", *GATE, "--run", "next", "--min", "0.5", *more),
            env=environment(SCORELINE_URL=filled.url, SCORELINE_KEY=filled.key),
            stdout=full,
            check=False,
        )
    assert done.returncode == 2


def test_a_report_that_cannot_be_written_exits_with_code_2(filled: Service, tmp_path: Path) -> None:
    arguments = ["--run", "next", "--min", "0.5", "--junit", str(tmp_path / "none" / "gate.xml")]
    assert run(filled, [*GATE, *arguments]).returncode == 2
