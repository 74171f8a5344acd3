"""`scoreline export --all` and `scoreline import` of its file, run as processes."""

from __future__ import annotations

from pathlib import Path

from app.cli.transfers import FIELDS_BY_KIND
from app.schemas.transfers import EvaluationRunLine, PredictionLine, ScoreLine
from tests.api.test_imports import taken
from tests.api.test_project_transfers import PREDICTION, RUN, a_score, export, fill
from tests.cli.test_exports import run
from tests.cli.test_scores import path_of, write_lines
from tests.cli.test_scores import project as project  # noqa: PLC0414 - a fixture.
from tests.processes import Service, running


def test_a_project_is_moved_to_another_service(
    service: Service, project: str, tmp_path: Path
) -> None:
    path = path_of(project).removesuffix("/scores")
    fill(service, path)
    text = export(service, path)
    shown = run(service, "export", "--project", project, "--all", text=False)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, text, b"")
    file = tmp_path / "project.jsonl"
    written = run(service, "export", "--project", project, "--all", "--out", str(file))
    assert (written.returncode, written.stderr, file.read_bytes()) == (0, "", text)
    with running(tmp_path, WEB_CONCURRENCY="1") as other:
        arguments = ("import", "--project", project, "--file", str(file), "--batch-size", "5")
        first = run(other, *arguments)
        assert (first.returncode, first.stderr) == (0, "new 17, already there 0, refused 0\n")
        assert export(other, path) == text
        again = run(other, *arguments)
        assert again.stderr == "new 0, already there 17, refused 0\n"


def test_rejected_lines_are_reported(service: Service, project: str, tmp_path: Path) -> None:
    items = [
        RUN,
        {**PREDICTION, "colour": "red"},
        {**PREDICTION, "evaluation_run_id": "other"},
        {"kind": "trace"},
        a_score(),
        taken(),
        {**a_score(), "kind": 1},
    ]
    file = write_lines(tmp_path / "project.jsonl", items)
    done = run(service, "import", "--project", project, "--file", str(file))
    assert done.returncode == 1
    kinds = "kind: Input should be 'evaluation_run', 'prediction' or 'score'"
    assert done.stderr.splitlines() == [
        "line 3: prediction_id: Another prediction has this prediction_id",
        f"line 4: {kinds}",
        f"line 7: {kinds}",
        "ignored: colour",
        "new 4, already there 0, refused 3",
    ]


def test_an_export_of_everything_takes_no_filters(service: Service, project: str) -> None:
    for option in (("--run", "r"), ("--format", "csv"), ("--column", "a"), ("--limit", "1")):
        shown = run(service, "export", "--project", project, "--all", *option)
        assert shown.returncode == 2
        assert shown.stderr.endswith(
            "--all exports JSON lines of everything: it takes no filters, columns or formats\n"
        )
    empty = run(service, "export", "--project", project, "--all")
    assert (empty.returncode, empty.stdout) == (1, "")
    assert f"nothing in {project}" in empty.stderr


def test_the_fields_that_are_not_ignored_are_those_of_the_service() -> None:
    schemas = {
        "evaluation_run": EvaluationRunLine(),
        "prediction": PredictionLine(),
        "score": ScoreLine(),
    }
    fields = {kind: set(schema.fields) for kind, schema in schemas.items()}
    assert fields == FIELDS_BY_KIND
