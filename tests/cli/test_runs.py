"""`scoreline runs`, `scorers` and `projects`, run as processes against a real service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.cli.test_exports import run
from tests.cli.test_scores import SCORE, path_of, write_lines
from tests.cli.test_scores import project as project  # noqa: PLC0414 - a fixture.
from tests.processes import Service


def add(service: Service, project: str, run_id: str, **fields: Any) -> None:
    service.post(path_of(project), {**SCORE, "evaluation_run_id": run_id, **fields})


def on(service: Service, project: str, *arguments: str) -> str:
    """Run a command on a project, and return what it printed."""
    ended = run(service, *arguments, "--project", project)
    assert ended.returncode == 0, ended.stderr
    return str(ended.stdout)


def test_runs_are_listed_in_a_table_or_as_json_lines(service: Service, project: str) -> None:
    add(service, project, "a")
    body = {"evaluation": "e", "model": "m", "evaluation_run_id": "b/1", "name": "n"}
    service.post(f"/v2/{quote(project)}/evaluation_runs", body)
    header, *rows = (line.split() for line in on(service, project, "runs", "list").splitlines())
    assert header[:3] == ["evaluation_run_id", "name", "status"]
    assert [row[:4] for row in rows] == [["b/1", "n", "running", "m"], ["a", "-", "-", "-"]]
    assert rows[1][5:] == ["false", "-", "1", "1", "0", "s"]
    shown = on(service, project, "runs", "list", "--json").encode()
    assert shown == service.send("GET", f"/v1/{quote(project)}/runs").body
    (line,) = on(service, project, "runs", "list", "--json", "--status", "running").splitlines()
    assert json.loads(line)["evaluation_run_id"] == "b/1"


def test_a_list_of_runs_is_read_page_by_page(
    service: Service, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [{**SCORE, "evaluation_run_id": f"r{number}"} for number in range(101)]
    service.post(f"{path_of(project)}/batch", {"scores": scores})
    shown = run(service, "runs", "list", "--project", project)
    assert len(shown.stdout.splitlines()) == 101  # And the header.
    assert "only the first 100 are shown" in shown.stderr
    assert len(on(service, project, "runs", "list", "--limit", "101").splitlines()) == 102
    assert len(on(service, project, "runs", "list", "--json").splitlines()) == 101
    assert len(on(service, project, "runs", "list", "--json", "--limit", "3").splitlines()) == 3


def test_a_run_is_shown_renamed_described_and_archived(service: Service, project: str) -> None:
    add(service, project, "a/1")
    assert "evaluation_run_id: a/1\n" in on(service, project, "runs", "show", "a/1")
    assert "name: With ü\n" in on(service, project, "runs", "rename", "a/1", "With ü")
    assert "description: d\n" in on(service, project, "runs", "describe", "a/1", "d")
    assert "archived: true\n" in on(service, project, "runs", "archive", "a/1")
    assert run(service, "runs", "list", "--project", project).stdout == ""
    shown = json.loads(on(service, project, "runs", "show", "a/1", "--json"))
    assert (shown["name"], shown["description"], shown["archived"]) == ("With ü", "d", True)
    assert "archived: false\n" in on(service, project, "runs", "unarchive", "a/1")
    assert "name" not in on(service, project, "runs", "rename", "a/1", "").splitlines()[1]
    assert json.loads(on(service, project, "runs", "archive", "a/1", "--json"))["archived"] is True


def test_the_approval_of_a_run_that_is_not_completed_says_so(
    service: Service, project: str
) -> None:
    def approved(run_id: str) -> str:
        given = ["runs", "approve", run_id, "--project", project, "--reason", "Released"]
        ended = run(service, *given)
        assert ended.returncode == 0
        return str(ended.stderr)

    on(service, project, "runs", "create", "r", "--evaluation", "e", "--model", "m")
    assert approved("r").startswith("r is running, not completed: ")
    on(service, project, "runs", "finish", "r")
    assert approved("r") == ""
    add(service, project, "named by a score")
    on(service, project, "runs", "rename", "named by a score", "n")
    assert approved("n") == ""


def test_a_run_is_approved_and_its_approvals_are_listed(service: Service, project: str) -> None:
    assert run(service, "runs", "approvals", "--project", project).returncode == 1
    add(service, project, "a")
    on(service, project, "runs", "rename", "a", "The first")
    approved = on(service, project, "runs", "approve", "The first", "--reason", "Released")
    assert "evaluation_run_id: a\n" in approved
    assert "reason: Released\n" in approved
    assert "approved: true\n" in on(service, project, "runs", "show", "a")
    listed = on(service, project, "runs", "approvals")
    header, row = listed.splitlines()
    assert header.split()[2:] == ["evaluation_run_id", "wb_user_id", "reason"]
    assert row.split()[2:] == ["a", "admin", "Released"]
    shown = on(service, project, "runs", "approvals", "--json").encode()
    assert shown == service.send("GET", f"/v1/{quote(project)}/runs/approvals").body
    refused = run(service, "runs", "approve", "--project", project, "b", "--reason", "r")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "No evaluation run has the id or the name 'b'" in refused.stderr


@pytest.mark.parametrize(
    "arguments", [["show"], ["archive"], ["rename", "n"], ["describe", "d"], ["unarchive"]]
)
def test_an_unknown_run_is_named(service: Service, project: str, arguments: list[str]) -> None:
    command, *rest = arguments
    ended = run(service, "runs", command, "--project", project, "no/run", *rest)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"scoreline: no run no/run in {project}\n"


def test_a_list_without_runs_says_so(service: Service, project: str) -> None:
    for arguments, wanted in (
        (["runs", "list"], f"scoreline: no runs in {project} that are not archived\n"),
        (["runs", "list", "--model", "m"], "scoreline: no runs match\n"),
        (["scorers", "list"], f"scoreline: no scorers in {project}\n"),
        (["scorers", "list", "--run", "r"], f"scoreline: no scorers of run r in {project}\n"),
    ):
        ended = run(service, *arguments, "--project", project)
        assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", wanted)


def test_a_wrong_filter_is_explained(service: Service, project: str) -> None:
    ended = run(service, "runs", "list", "--project", project, "--status", "ended")
    assert ended.returncode == 1
    assert "query.status: Input should be 'running', 'completed' or 'failed'" in ended.stderr


def test_scorers_are_listed(service: Service, project: str) -> None:
    add(service, project, "a", scorer="weave:///a/b/object/Acc:v1", value={"f1": 1, "why": "x"})
    shown = on(service, project, "scorers", "list")
    header, row = (re.split("  +", line) for line in shown.splitlines())
    assert header == ["scorer_name", "created_at", "scores", "references", "leaves"]
    assert [*row[:1], *row[2:]] == ["Acc", "1", "weave:///a/b/object/Acc:v1", "f1, why"]
    (line,) = on(service, project, "scorers", "list", "--run", "a", "--json").splitlines()
    assert json.loads(line)["num_leaves"] == 2


def test_projects_are_listed(service: Service, project: str) -> None:
    add(service, project, "a")
    entity, _, name = project.partition("/")
    ended = run(service, "projects", "list")
    assert ended.returncode == 0, ended.stderr
    assert re.split("  +", ended.stdout.split("\n")[1])[:2] == [entity, name]
    shown = run(service, "projects", "list", "--json").stdout.splitlines()
    newest = json.loads(shown[0])
    assert (newest["entity"], newest["project"], newest["scores"]) == (entity, name, 1)


def test_runs_are_deleted_with_what_is_in_them(service: Service, project: str) -> None:
    for run_id in ("a/1", "a/1", "b", "c"):
        add(service, project, run_id)
    refused = run(service, "runs", "delete", "--project", project, "b")
    assert (refused.returncode, "use --yes" in refused.stderr) == (2, True)
    deleted = run(service, "runs", "delete", "--project", project, "--yes", "a/1", "b", "a/1")
    assert deleted.stderr == "deleted 2 of 2 runs, with 0 predictions and 3 scores\n"
    assert deleted.returncode == 0
    again = run(service, "runs", "delete", "--project", project, "--yes", "--json", "b", "c")
    assert (again.returncode, json.loads(again.stdout)) == (
        1,
        {"num_deleted": 1, "num_predictions": 0, "num_scores": 1, "num_pending": 0},
    )
    assert again.stderr == f"no run b in {project}\n"
    assert run(service, "runs", "list", "--project", project).returncode == 1


def test_predictions_and_what_a_run_lacks_are_listed(service: Service, project: str) -> None:
    for number in range(3):
        body = {"model": "m", "inputs": {"q": number}, "output": 1, "evaluation_run_id": "a"}
        created = service.post(f"/v2/{quote(project)}/predictions", body).json
        if number:
            add(service, project, "a", **created)
    add(service, project, "b", prediction_id="q")
    of_a = ("predictions", "list", "--run", "a")
    header, *rows = on(service, project, *of_a).splitlines()
    assert header.split()[0] == "prediction_id"
    assert [row.split()[-1] for row in rows] == ["1", "1", "0"]
    lacking = on(service, project, *of_a, "--missing", "scorer:s", "--json").splitlines()
    assert [json.loads(line)["inputs"] for line in lacking] == [{"q": 0}]
    of_b = ("predictions", "list", "--run", "b", "--missing", "example", "--of", "a", "--json")
    lacking = on(service, project, *of_b).splitlines()
    assert [json.loads(line)["inputs"]["q"] for line in lacking] == [2, 1, 0]
    ended = run(service, *of_a, "--missing", "example", "--of", "b", "--project", project)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "nothing is missing\n")
    ended = run(service, "predictions", "list", "--run", "nobody", "--project", project)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Evaluation run nobody not found" in ended.stderr


def test_a_run_is_created_filled_and_finished(
    service: Service, project: str, tmp_path: Path
) -> None:
    given = ["--evaluation", "faq", "--model", "m", "--expected", "2", "--attribute", "branch=a=b"]
    assert on(service, project, "runs", "create", "a/1", *given) == "a/1\n"
    lines = [
        {"prediction_id": f"p{place}", "evaluation_run_id": "a/1", "model": "m", "inputs": {}}
        for place in range(2)
    ]
    file = write_lines(tmp_path / "predictions.jsonl", [{**each, "output": 1} for each in lines])
    for expected in ("new 2, already there 0, refused 0", "new 0, already there 2, refused 0"):
        ended = run(service, "predictions", "add", "--project", project, "--file", str(file))
        assert (ended.returncode, ended.stderr.strip()) == (0, expected)
    gate = ["gate", "--project", project, "--run", "a/1", "--scorer", "s", "--min", "1"]
    add(service, project, "a/1")
    assert run(service, *gate).returncode == 4
    assert run(service, "runs", "finish", "a/1", "--project", project).returncode == 0
    assert run(service, *gate).returncode == 0
    (row,) = on(service, project, "runs", "list").splitlines()[1:]
    assert row.split()[6:8] == ["2", "3"], "expected and there"
    shown = json.loads(on(service, project, "runs", "show", "a/1", "--json"))
    assert (shown["status"], shown["attributes"]) == ("completed", {"branch": "a=b"})


def test_a_run_whose_id_is_taken_is_not_pooled(service: Service, project: str) -> None:
    given = ["runs", "create", "r", "--project", project, "--evaluation", "e", "--model", "m"]
    assert run(service, *given).returncode == 0
    add(service, project, "r")
    refused = run(service, *given)
    assert refused.returncode == 1
    assert "run r exists already: give --if-exists append" in refused.stderr
    assert run(service, *given, "--if-exists", "append").returncode == 0
    assert run(service, *given, "--if-exists", "replace").returncode == 0
    assert run(service, "scores", "list", "--project", project, "--run", "r").returncode == 1


def test_what_cannot_be_created_or_finished_is_one_line(
    service: Service, project: str, tmp_path: Path
) -> None:
    absent = run(service, "runs", "finish", "nobody", "--project", project)
    assert (absent.returncode, absent.stderr) == (1, f"scoreline: no run nobody in {project}\n")
    given = ["runs", "create", "r", "--project", project, "--evaluation", "e", "--model", "m"]
    assert run(service, *given, "--attribute", "branch").returncode == 2
    file = write_lines(tmp_path / "p.jsonl", [{"model": "m", "inputs": {}, "output": 1}, {}])
    ended = run(service, "predictions", "add", "--project", project, "--file", str(file))
    assert ended.returncode == 1
    assert "line 2: model: Field required" in ended.stderr


def test_a_prediction_is_shown_with_its_inputs_and_output(service: Service, project: str) -> None:
    body = {"model": "m", "inputs": {"q": "ü"}, "output": "a\x1b", "prediction_id": "r/1"}
    service.post(f"/v2/{quote(project)}/predictions", body)
    shown = on(service, project, "predictions", "get", "r/1").splitlines()
    assert shown[:4] == ["prediction_id: r/1", "model: m", 'inputs: {"q": "ü"}', "output: a\\x1b"]
    assert json.loads(on(service, project, "predictions", "get", "r/1", "--json"))["output"] == (
        "a\x1b"
    )
    for nobody in ("r/2", "..", "r/finish"):
        absent = run(service, "predictions", "get", nobody, "--project", project)
        assert (absent.returncode, absent.stdout) == (1, "")
        assert f"no prediction {nobody} is stored in {project}" in absent.stderr
