"""`scoreline metrics`, run as processes against a real service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_exports import run
from tests.cli.test_runs import on
from tests.cli.test_scores import path_of
from tests.cli.test_scores import project as project  # noqa: PLC0414 - a fixture.
from tests.processes import Service

FILE = """
[[gate]]
name = "the founder's"

[[metric]]
scorer = "Judge"
leaf = "accuracy.f1"
direction = "higher"
unit = "points"
primary = true
schema = {type = "number", minimum = 0}

[[metric]]
scorer = "Verdict"
true_when = ["pass", "é"]

[[metric]]
scorer = "Speed"
direction = "lower"
true_when = "< 2"
"""


def apply(
    service: Service, project: str, path: Path, text: str, *options: str
) -> tuple[int, str, str]:
    """Apply a file with a text; return the exit code and what was printed."""
    file = path / "scoreline.toml"
    file.write_text(text, "utf-8")
    wanted = ("metrics", "apply", "--project", project, "--file", str(file), *options)
    ended = run(service, *wanted)
    return ended.returncode, ended.stdout, ended.stderr.replace(str(file), "FILE")


def listed(service: Service, project: str) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in on(service, project, "metrics", "list", "--json").split("\n")
        if line
    ]


def test_a_file_is_applied_and_again_it_changes_nothing(
    service: Service, project: str, tmp_path: Path
) -> None:
    code, said, told = apply(service, project, tmp_path, FILE)
    assert (code, told) == (0, "changed 3 metrics, 0 are as declared\n")
    assert said.splitlines() == [
        '+ Judge accuracy.f1: direction higher, unit points, schema {"type": "number", '
        '"minimum": 0}, primary true',
        '+ Verdict: true_when ["pass", "é"]',
        "+ Speed: direction lower, true_when < 2",
    ]
    before = listed(service, project)
    assert apply(service, project, tmp_path, FILE) == (
        0,
        "",
        "changed 0 metrics, 3 are as declared\n",
    )
    assert listed(service, project) == before


def test_a_dry_run_shows_the_change_and_makes_none(
    service: Service, project: str, tmp_path: Path
) -> None:
    apply(service, project, tmp_path, FILE)
    before = listed(service, project)
    text = '[[metric]]\nscorer = "Speed"\ndirection = "higher"\n'
    assert apply(service, project, tmp_path, text, "--dry-run") == (
        0,
        "~ Speed: direction lower -> higher, true_when < 2 -> null\n",
        "would change 1 metric, 0 are as declared; 2 others not in the file\n",
    )
    assert listed(service, project) == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("metric = 1", "metric must be a table that is written [[metric]]"),
        ('[[metrics]]\nscorer = "s"', "unknown key 'metrics'; write [[metric]]"),
        ('[[gate]]\nname = "g"', "FILE has no [[metric]]"),
        ("[[metric]\n", "FILE is not TOML: Expected ']]' at the end of an array declaration"),
        (
            '[[metric]]\nscorer = "s"\nunit = 1979-05-27',
            "[[metric]] 1 (s): unit: Object of type date",
        ),
        ('[[metric]]\nscorer = "s"\nschema = {minimum = nan}', "[[metric]] 1 (s): schema: Out of"),
        ('[[metric]]\nleaf = "x"', "[[metric]] 1 (x): scorer: Field required"),
        (
            '[[metric]]\nscorer = "s"\n[[metric]]\nscorer = "t"\nleaf = "x"\ndirectoin = "up"',
            "[[metric]] 2 (t,x): directoin: Extra inputs are not permitted",
        ),
        (
            '[[metric]]\nscorer = "s"\ndirection = "up"\ntrue_when = "yes"',
            "direction: Input should be 'higher', 'lower' or 'none'; FILE: [[metric]] 1 (s): "
            "true_when: Value error, ",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_place(
    service: Service, project: str, tmp_path: Path, text: str, why: str
) -> None:
    for options in ([], ["--dry-run"]):
        code, said, told = apply(service, project, tmp_path, text, *options)
        assert (code, said) == (2, "")
        assert why in told
    assert listed(service, project) == []


def test_a_file_that_is_not_there_is_named(service: Service, project: str) -> None:
    ended = run(service, "metrics", "apply", "--project", project)
    assert ended.returncode == 2
    assert ended.stderr == ("scoreline: scoreline.toml cannot be read: No such file or directory\n")


def test_one_metric_is_set_and_the_rest_of_it_stays(
    service: Service, project: str, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "number"}')
    reference = f"weave:///{project}/object/Judge:v1"
    command = ("metrics", "set", "Judge", "a.b")
    assert on(service, project, *command, "--direction", "higher", "--schema", str(schema)) == (
        '+ Judge a.b: direction higher, schema {"type": "number"}\n'
    )
    command = ("metrics", "set", reference, "a.b")
    assert on(service, project, *command, "--unit", "s", "--primary") == (
        "~ Judge a.b: unit null -> s, primary false -> true\n"
    )
    assert on(service, project, *command, "--true-text", "a", "--true-text", "b") == (
        '~ Judge a.b: true_when null -> ["a", "b"]\n'
    )
    assert on(service, project, *command, "--true-when", ">= 1") == (
        '~ Judge a.b: true_when ["a", "b"] -> >= 1\n'
    )
    assert on(service, project, *command) == "= Judge a.b\n"
    (found,) = listed(service, project)
    assert (found["direction"], found["unit"], found["schema"]) == (
        "higher",
        "s",
        {"type": "number"},
    )


def test_metrics_are_listed_in_a_table(service: Service, project: str, tmp_path: Path) -> None:
    ended = run(service, "metrics", "list", "--project", project)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == f"no metrics are declared in {project}\n"
    apply(service, project, tmp_path, FILE)
    header, *rows = on(service, project, "metrics", "list").splitlines()
    assert header.split() == [
        *("scorer", "leaf", "direction", "true_when", "unit", "schema", "primary"),
    ]
    assert rows[0].split() == ["Judge", "accuracy.f1", "higher", "-", "points", "warn", "yes"]
    assert rows[2].split()[:6] == ["Verdict", "none", "pass,", "é", "-", "-"]


def test_a_metric_is_deleted_after_confirmation(service: Service, project: str) -> None:
    on(service, project, "metrics", "set", "Judge", "a")
    ended = run(service, "metrics", "delete", "--project", project, "Judge", "a")
    assert ended.returncode == 2
    assert "use --yes" in ended.stderr
    on(service, project, "metrics", "delete", "--yes", "Judge", "a")
    assert listed(service, project) == []
    ended = run(service, "metrics", "delete", "--yes", "--project", project, "Judge", "a")
    assert ended.returncode == 1
    assert "No metric is declared for the leaf 'a' of the scorer 'Judge'" in ended.stderr


def add(service: Service, project: str, scorer: str, *values: Any) -> None:
    for number, value in enumerate(values):
        body = {"prediction_id": f"p{number}", "scorer": scorer, "value": value}
        assert service.post(path_of(project), body).status == 200


def test_a_proposal_is_a_file_that_can_be_applied(
    service: Service, project: str, tmp_path: Path
) -> None:
    add(service, project, "Rate", {"a.b": 1}, {"a.b": 0})
    add(service, project, "Points", 0.25, 7, None, "x")
    add(service, project, "Verdict", 'p"\x7f\n', "fail", "fail")
    text = on(service, project, "metrics", "propose")
    assert text.split("\n\n", 1)[1] == (
        '[[metric]]\nscorer = "Points"\ndirection = "none"\n'
        "# 2 numbers from 0.25 to 7\n"
        '# 1 text\n#   1 times "x"\n# true_when = ["x"]  # Leave only those that are true.\n'
        "# 1 null: failed judgements\n\n"
        '[[metric]]\nscorer = "Rate"\nleaf = "a\\\\.b"\ndirection = "none"\n'
        '# 2 numbers, all 0 or 1: a rate\n# true_when = "= 1"\n\n'
        '[[metric]]\nscorer = "Verdict"\ndirection = "none"\n'
        '# 3 texts\n#   2 times "fail"\n#   1 times "p\\"\\u007f\\n"\n'
        '# true_when = ["fail", "p\\"\\u007f\\n"]  # Leave only those that are true.\n'
    )
    edited = text.replace("# true_when", "true_when")
    code, _, told = apply(service, project, tmp_path, edited)
    assert (code, told) == (0, "changed 3 metrics, 0 are as declared\n")
    found = {(each["scorer"], each["leaf"]): each["true_when"] for each in listed(service, project)}
    assert found == {
        ("Points", ""): ["x"],
        ("Rate", r"a\.b"): "= 1",
        ("Verdict", ""): ["fail", 'p"\x7f\n'],
    }
    ended = run(service, "metrics", "propose", "--project", project)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.endswith("all its leaves are declared\n")


def test_a_proposal_of_a_project_without_scores_says_so(service: Service, project: str) -> None:
    ended = run(service, "metrics", "propose", "--project", project)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.endswith("it has no such scores\n")


def test_values_are_counted_against_their_schema(
    service: Service, project: str, tmp_path: Path
) -> None:
    text = '[[metric]]\nscorer = "Judge"\nschema = {type = "number"}\n'
    apply(service, project, tmp_path, text)
    add(service, project, "Judge", 1, "x", None)
    ended = run(service, "metrics", "check", "--project", project)
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[1].split() == ["Judge", "warn", "2", "1"]
    assert ended.stderr.startswith("Judge: score ")
    assert ended.stderr.endswith(': "x" is not of type "number"\n')
    shown = json.loads(on(service, project, "metrics", "check", "--json"))
    assert shown["metrics"][0]["against"] == 1
