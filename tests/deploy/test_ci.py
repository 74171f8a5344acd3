"""The script of docs/ci.md, run with a real service through all of its exit codes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.processes import ROOT, Service, environment, free_port

TEXT = (ROOT / "docs" / "ci.md").read_text("utf-8")

EVALUATE = """
import json, os, sys
run, dataset = sys.argv[1:]
with open(dataset) as examples, open("predictions.jsonl", "w") as predictions, \\
        open("scores.jsonl", "w") as scores:
    right = int(os.environ["RIGHT"])
    for place, example in list(enumerate(examples))[:int(os.environ["ANSWERED"])]:
        one = {"prediction_id": f"{run}/{place}", "evaluation_run_id": run}
        answer = {"model": "bot", "inputs": json.loads(example), "output": "an answer"}
        value = {"scorer": "Exact", "value": place < right, "reason": "compared"}
        print(json.dumps({**one, **answer}), file=predictions)
        print(json.dumps({**one, **value}), file=scores)
sys.exit(int(os.environ["CODE"]))
"""


def block(language: str) -> str:
    """Return the only block of the document in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of a user, with the files of the document."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "gate.sh").write_text(block("bash"))
    (folder / "scoreline.toml").write_text(block("toml"))
    (folder / "evaluate.py").write_text(EVALUATE)
    examples = (f'{{"question": "What is {place}?"}}\n' for place in range(60))
    (folder / "dataset.jsonl").write_text("".join(examples))
    return folder


def job(
    service: Service, repository: Path, run: str, project: str = "acme/ci", **given: str
) -> subprocess.CompletedProcess[str]:
    """Run the script as a CI job does."""
    environ = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SCORELINE_URL": service.url,
        "SCORELINE_KEY": service.key,
        "PROJECT": project,
        "BRANCH": run.partition("-")[0],
        "RUN": run,
        "ANSWERED": "60",
        "RIGHT": "50",
        "CODE": "0",
        **given,
    }
    for name in ("gate.md", "gate.xml"):
        (repository / name).unlink(missing_ok=True)
    return subprocess.run(
        ["sh", "gate.sh"],
        check=False,
        cwd=repository,
        env=environment(**environ),
        capture_output=True,
        text=True,
        timeout=300,
    )


def approve(service: Service, run: str, project: str = "acme/ci") -> None:
    body = {"run": run, "reason": "Released"}
    assert service.post(f"/v1/{project}/runs/approvals", body).status == 200


def test_the_script_exits_as_its_gate_does(service: Service, repository: Path) -> None:
    comment, report = repository / "gate.md", repository / "gate.xml"

    first = job(service, repository, "main-1")
    assert first.returncode == 2, first.stdout
    assert "No completed evaluation run that is not archived has branch=main" in first.stderr
    assert "no result" in comment.read_text()
    second = job(service, repository, "main-2")
    assert second.returncode == 2, second.stdout
    assert "No evaluation run of this project is approved" in second.stderr

    approve(service, "latest:branch=main")
    passed = job(service, repository, "pr-1-abc")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "pr-1-abc passed all" in passed.stdout
    assert "scoreline gate: passed" in comment.read_text().lower()

    failed = job(service, repository, "pr-1-def", RIGHT="20")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert ET.parse(report).getroot().get("failures") == "2"
    assert "What is 20?" in comment.read_text()

    again = job(service, repository, "pr-1-def")  # The same commit: not pooled with the first.
    assert again.returncode == 0, again.stdout + again.stderr

    few = job(service, repository, "pr-1-fed", ANSWERED="59")
    assert few.returncode == 4
    assert "the run has 59 of 60 predictions" in few.stdout


def test_a_candidate_is_held_against_the_latest_and_the_approved_run(
    service: Service, repository: Path
) -> None:
    place = (service, repository)
    job(*place, "main-1", "acme/drift")
    approve(service, "main-1", "acme/drift")
    assert job(*place, "main-2", "acme/drift", RIGHT="20").returncode == 1
    as_latest = job(*place, "pr-1", "acme/drift", RIGHT="20")
    assert as_latest.returncode == 1, as_latest.stdout + as_latest.stderr
    failed = [line.split("  ")[0] for line in as_latest.stdout.splitlines() if "FAILED" in line]
    assert failed == ["Exact not_worse_by against main-1"]

    approve(service, "latest:branch=main", "acme/drift")  # The loss was meant.
    assert job(*place, "pr-2", "acme/drift", RIGHT="20").returncode == 0
    assert job(*place, "main-3", "acme/drift").returncode == 0
    as_approved = job(*place, "pr-3", "acme/drift", RIGHT="20")  # A gain is not lost again.
    failed = [line.split("  ")[0] for line in as_approved.stdout.splitlines() if "FAILED" in line]
    assert failed == ["Exact not_worse_by against main-3"]


def test_the_script_tells_no_result_from_a_failed_gate(service: Service, repository: Path) -> None:
    with_wrong_key = job(service, repository, "pr-2-abc", SCORELINE_KEY="sl_nobody")
    assert with_wrong_key.returncode == 2
    assert "401" in with_wrong_key.stderr

    broken = job(service, repository, "pr-2-def", CODE="1")
    assert broken.returncode == 2
    assert not (repository / "gate.md").exists()

    without_service = job(
        service, repository, "pr-2-fed", SCORELINE_URL=f"http://127.0.0.1:{free_port()}"
    )
    assert without_service.returncode == 3
    assert "no answer" in without_service.stderr
