"""`scoreline import`, run as a process against a real service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.api.test_imports import taken
from tests.cli.people import killed_once_there_is
from tests.cli.test_exports import fill, run
from tests.cli.test_scores import path_of, write_lines
from tests.cli.test_scores import project as project  # noqa: PLC0414 - a fixture.
from tests.processes import Service, running

LANGFUSE: dict[str, Any] = {
    "id": "lf-1",
    "timestamp": "2024-03-01T10:00:00.000Z",
    "name": "accuracy",
    "value": 0.9,
    "dataType": "NUMERIC",
    "source": "EVAL",
    "traceId": "t-1",
}


def stored(service: Service, project: str) -> list[dict[str, Any]]:
    body = service.send("GET", path_of(project)).body
    return [json.loads(line) for line in body.splitlines()]


def test_an_export_is_imported_into_another_service(
    service: Service, project: str, tmp_path: Path
) -> None:
    lines = fill(service, project, [None, True, 1.0, 10**300, {"a.b": ["é", "\ud800"]}])
    file = tmp_path / "scores.jsonl"
    file.write_bytes(lines)
    with running(tmp_path, WEB_CONCURRENCY="1") as other:
        arguments = ("import", "--project", project, "--file", str(file))
        first = run(other, *arguments)
        assert (first.returncode, first.stdout) == (0, "")
        assert first.stderr == "new 5, already there 0, refused 0\n"
        assert other.send("GET", path_of(project)).body == lines
        again = run(other, *arguments)
        assert again.stderr == "new 0, already there 5, refused 0\n"
        assert not (tmp_path / "scores.jsonl.progress").exists()


def test_rejected_lines_are_reported_and_the_others_stored(
    service: Service, project: str, tmp_path: Path
) -> None:
    good = taken()
    items = [good, {**good, "value": 2}, "no object", taken(scorer=1), taken()]
    file = write_lines(tmp_path / "scores.jsonl", items)
    with file.open("a") as opened:
        opened.write("\n{no json\n")
    done = run(service, "import", "--project", project, "--file", str(file), "--batch-size", "2")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "line 2: score_id: Another score has this score_id",
        "line 3, column 1: JSON, but not an object",
        "line 4: scorer: Input should be a valid string",
        "line 7, column 2: not JSON: Expecting property name enclosed in double quotes",
        "new 2, already there 0, refused 4",
    ]
    assert len(stored(service, project)) == 2


def test_a_batch_that_is_too_large_is_sent_in_parts(tmp_path: Path) -> None:
    items = [taken(value="x" * size) for size in (600, 600, 3_000, 600)]
    file = write_lines(tmp_path / "scores.jsonl", items)
    with running(tmp_path, SCORELINE_MAX_BODY_BYTES="1500") as service:
        done = run(service, "import", "--project", "a/b", "--file", str(file))
        assert done.returncode == 1
        assert done.stderr.splitlines() == [
            "line 3: 413 The body is over the limit of 1500 bytes",
            "new 3, already there 0, refused 1",
        ]


def test_an_interrupted_import_resumes(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "scores.jsonl", [taken(value=n) for n in range(6_000)])
    arguments = ("import", "--project", "a/b", "--file", str(file), "--batch-size", "50")
    progress = tmp_path / "scores.jsonl.progress"
    with running(tmp_path) as service:
        killed_once_there_is(progress, service, *arguments)
        again = run(service, *arguments)
        assert again.returncode == 0, again.stderr
        first, last = again.stderr.splitlines()
        assert first.startswith("resuming after line ")
        counted = re.fullmatch(r"new (\d+), already there (\d+), refused 0", last)
        assert counted, last
        assert sum(map(int, counted.groups())) == 6_000
        values = [score["value"] for score in stored(service, "a/b")]
    assert values == list(range(6_000))
    assert not progress.exists()


def test_scores_of_another_service_are_imported_once(
    service: Service, project: str, tmp_path: Path
) -> None:
    rows = [LANGFUSE, {**LANGFUSE, "id": "lf-2", "dataType": "BOOLEAN", "value": 1}]
    rows += [{**LANGFUSE, "id": "lf-3", "value": None}, {**LANGFUSE, "id": "lf-4", "traceId": None}]
    rows += [{**LANGFUSE, "id": "lf-5", "value": float("nan")}]
    file = write_lines(tmp_path / "langfuse.jsonl", rows)
    refused = "line 4: no traceId\nline 5: value: Input should be a finite number\n"
    arguments = ("import", "--project", project, "--file", str(file), "--from", "langfuse")
    first = run(service, *arguments)
    assert first.returncode == 1
    assert first.stderr == f"{refused}new 3, already there 0, refused 2\n"
    again = run(service, *arguments)
    assert again.stderr == f"{refused}new 0, already there 3, refused 2\n"
    found = {json.dumps(score["value"]) for score in stored(service, project)}
    assert found == {"0.9", "true", "null"}
    assert {score["created_at"] for score in stored(service, project)} == {
        "2024-03-01T10:00:00.000Z"
    }


def test_json_and_csv_are_detected_by_file_extension(
    service: Service, project: str, tmp_path: Path
) -> None:
    page = tmp_path / "page.JSON"
    page.write_text(json.dumps({"data": [LANGFUSE, {"id": 1}], "meta": {"page": 1}}))
    table = tmp_path / "table.csv"
    table.write_text(
        "\ufeffid,timestamp,name,value,dataType,traceId,comment\r\n"
        'lf-8,2024-03-01 10:00:00,"a,b",0.25,NUMERIC,t-2,"two\r\nlines"\r\n'
        "lf-9,2024-03-01 10:00:00,c,n/a,NUMERIC,t-2,\r\n",
        encoding="utf-8",
    )
    options = ("import", "--project", project, "--from", "langfuse", "--file")
    shown = run(service, *options, str(page))
    assert shown.stderr == "row 2: no traceId\nnew 1, already there 0, refused 1\n"
    shown = run(service, *options, str(table))
    counts = "new 1, already there 0, refused 1\n"
    assert shown.stderr == f"line 4: value is not a number\n{counts}"
    assert {(score["scorer"], score["value"]) for score in stored(service, project)} == {
        ("langfuse:EVAL/accuracy", 0.9),
        ("langfuse:a,b", 0.25),
    }
    assert list(tmp_path.glob("*.progress")) == []


def test_a_file_of_another_kind_is_reported_in_one_line(
    service: Service, project: str, tmp_path: Path
) -> None:
    scores = [{**LANGFUSE, "id": "lf-6"}, {"id": 1, "text": "x"}]
    files = {
        "some.jsonl": "\n".join(json.dumps(scores[n == 7]) for n in range(8)),
        "a.jsonl": '{"id": 1}\n{"id": 2}\n',
        "b.json": '[{"id": 1}, {"id": 2}]',
        "c.csv": "id,name\n1,x\n2,y\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        arguments = ("--project", project, "--file", str(tmp_path / name), "--from", "langfuse")
        shown = run(service, "import", *arguments)
        if name == "some.jsonl":
            assert shown.stderr == "line 8: no traceId\nnew 1, already there 6, refused 1\n"
        else:
            where = {"a.jsonl": "line 1", "b.json": "row 1", "c.csv": "line 2"}[name]
            message = f"{tmp_path / name} is not an export of langfuse: {where}: no traceId"
            assert (shown.returncode, shown.stderr) == (2, f"scoreline: {message}\n")


def test_a_file_without_rows_exits_with_code_2(
    service: Service, project: str, tmp_path: Path
) -> None:
    broken = {"a.json": '{"data"', "b.csv": 'id\n"open', "c.json": "3"}
    for name, text in broken.items():
        (tmp_path / name).write_text(text)
        arguments = ("--project", project, "--file", str(tmp_path / name))
        shown = run(service, "import", *arguments, "--from", "phoenix")
        assert (shown.returncode, len(shown.stderr.splitlines())) == (2, 1), shown.stderr
    own = run(service, "import", "--project", project, "--file", str(tmp_path / "b.csv"))
    assert own.returncode == 2
    assert "the only format of Scoreline's that can be imported" in own.stderr
    (tmp_path / "d.jsonl").write_text("{}\n")
    arguments = ("--project", project, "--file", str(tmp_path / "d.jsonl"))
    wrong = run(service, "import", *arguments, "--created-at", "yesterday")
    assert wrong.returncode == 2
