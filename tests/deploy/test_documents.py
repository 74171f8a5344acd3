"""The shell commands in the README and the documents work, in order, with a real service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT, Service, environment, running

DOCUMENTS = [
    path
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    ]
    if "```sh" in path.read_text("utf-8")
]

RUN_ELSEWHERE = {
    "make run": "tests/test_start.py starts it",
    "make test": "this is it",
    "mongodump": "tests/deploy/test_operations.py runs it where it is installed",
    "mongorestore": "tests/deploy/test_operations.py runs it where it is installed",
    "scoreline store shard": "tests/deploy/test_operations.py runs it on a sharded cluster",
    "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 scoreline serve": "tests/test_tracing.py",
    **dict.fromkeys(
        ("python3 -m venv /opt", "/opt/scoreline", "cp deploy/scoreline.service", "systemctl"),
        "tests/deploy/test_systemd.py checks the unit; it installs nothing on the machine",
    ),
}
"""Commands that this test does not run, and where they are tested."""

GATE = """
[[gate]]
scorer = "exact"
baseline = "approved"
direction = "higher"
not_worse_by = 0.02
"""

ANSWERS = (ROOT / "docs" / "answers.md").read_text("utf-8")
EXAMPLE = ANSWERS.partition("## An example")[2].partition("\n## ")[0]
(PROGRAM,) = re.findall(r"```python\n(.*?)```", EXAMPLE, re.DOTALL)

SCORERS = ("exact", "Judge", "Human", "weave:///acme/demo/object/Exact:v0")

MAY_FAIL = ("scoreline gate",)
"""Commands that may exit with 1, or 4."""


def commands(document: Path) -> list[str]:
    """Return the commands of a document's `sh` blocks, each with its continuation lines."""
    text = document.read_text("utf-8")
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


@pytest.fixture
def workplace(tmp_path: Path, mongodb_uri: str) -> Iterator[tuple[Path, Service]]:
    """A directory with the files that the documents name, and a service with its store there."""
    (tmp_path / "srv" / "backups").mkdir(parents=True)
    (tmp_path / "scores.jsonl").write_text("".join(_scores()), "utf-8")
    (tmp_path / "scoreline.toml").write_text(GATE, "utf-8")
    (tmp_path / "example.py").write_text(PROGRAM, "utf-8")
    (tmp_path / "mongodb.url").write_text(mongodb_uri, "utf-8")
    store = f"sqlite:///{tmp_path}/srv/scoreline.db"
    with running(tmp_path, store, SCORELINE_ADMIN_KEY="") as service:
        service.key = (tmp_path / "var" / "admin.key").read_text("utf-8").strip()
        yield tmp_path, service


def _scores() -> Iterator[str]:
    for run in ("main", "run-1", "run-2", "main-1"):
        for number in range(20):
            for scorer in SCORERS if run != "main-1" else SCORERS[:1]:
                score = {
                    "prediction_id": f"p-{number}",
                    "scorer": scorer,
                    "value": {"accuracy": {"f1": number % 2}} if "/" in scorer else number % 3 > 0,
                    "evaluation_run_id": run,
                }
                yield f"{json.dumps(score)}\n"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_of_a_document_runs(document: Path, workplace: tuple[Path, Service]) -> None:
    folder, service = workplace
    environ = _environ(service)
    _add_scores(folder, environ)
    for line in commands(document):
        if any(line.startswith(command) for command in RUN_ELSEWHERE):
            continue
        own = dict(environ)
        if line.startswith("scoreline store restore"):  # Only a store that no service uses.
            own["SCORELINE_STORE"] = f"sqlite:///{folder}/restored.db"
        ran = subprocess.run(
            ["sh", "-c", _here(line, folder, service)],
            check=False,
            cwd=folder,
            env=own,
            capture_output=True,
            text=True,
            timeout=120,
        )
        allowed = (0, 1, 4) if line.startswith(MAY_FAIL) else (0,)
        assert ran.returncode in allowed, (line, ran.stdout, ran.stderr)
        assert "Traceback" not in ran.stderr, line


def test_the_example_of_the_answers_prints_what_is_shown(workplace: tuple[Path, Service]) -> None:
    folder, service = workplace
    printed = ""
    for language, block in re.findall(r"```(\w*)\n(.*?)```", EXAMPLE, re.DOTALL):
        if language == "sh":
            printed = subprocess.run(
                ["sh", "-c", block],
                check=False,
                cwd=folder,
                env=_environ(service),
                stdout=subprocess.PIPE,
                text=True,
                timeout=120,
            ).stdout
        elif not language:
            assert set(block.splitlines()) <= {"", *printed.splitlines()}, printed


def _environ(service: Service) -> dict[str, str]:
    return environment(
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        SCORELINE_STORE=service.environ["SCORELINE_STORE"],
        SCORELINE_URL=service.url,
        SCORELINE_KEY=service.key,
        KEY=service.key,
        RUN="run-1",
    )


def _add_scores(folder: Path, environ: dict[str, str]) -> None:
    """Add the scores, those of the run main-1 to a finished run of the branch main."""
    place = "--project acme/demo"
    for command in (
        f"scoreline runs create {place} --evaluation e --model m --attribute branch=main main-1",
        f"scoreline scores add {place} --file scores.jsonl",
        f"scoreline runs finish {place} main-1",
    ):
        subprocess.run(["sh", "-c", command], check=True, cwd=folder, env=environ)


def _here(line: str, folder: Path, service: Service) -> str:
    """Replace the addresses, directories and ids in a command with those of the test."""
    line = line.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}").replace(
        "/srv", f"{folder}/srv"
    )
    while "SCORE_ID" in line:
        line = line.replace("SCORE_ID", _new_score(service), 1)
    return re.sub(r"\bID\b", lambda _: _new_key(service), line)


def _new_score(service: Service) -> str:
    score = {"prediction_id": "p", "scorer": "s", "value": 1}
    return str(service.post("/v2/acme/demo/scores", score).json["score_id"])


def _new_key(service: Service) -> str:
    key = {"name": "old", "role": "read", "scope": "acme/*"}
    return str(service.post("/v1/keys", key).json["key_id"])
