"""`scoreline scores`, run as a process against a real service."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.cli.commands import run_command
from tests.cli.people import killed_once_there_is, on_a_terminal
from tests.processes import Service, environment, free_port, running

WRONG_KEY = "401 Not authenticated: is the API key right (SCORELINE_KEY or --key-file)?"
SCORE: dict[str, Any] = {"prediction_id": "p", "scorer": "s", "value": 1}
_projects = iter(range(10**9))


@pytest.fixture
def project() -> str:
    """An empty project for one test, with a name that needs quoting."""
    return f"acme/cli ü {next(_projects)}"


def run(
    service: Service, *arguments: str, stdin: str | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    given = {"SCORELINE_KEY": service.key, "SCORELINE_URL": service.url, **settings}
    return run_command(
        "scores", *arguments, cwd=service.log.parent, env=environment(**given), stdin=stdin
    )


def path_of(project: str) -> str:
    return f"/v2/{quote(project)}/scores"


def write_lines(path: Path, items: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(item)}\n" for item in items))
    return path


def stored(service: Service, project: str) -> list[dict[str, Any]]:
    shown = run(service, "list", "--project", project, "--json")
    assert shown.returncode == 0, shown.stderr
    return [json.loads(line) for line in shown.stdout.splitlines()]


def test_scores_are_found_by_content_and_sorted(service: Service, project: str) -> None:
    for value in (0.75, {"f1": 0.5}, {"f1": 0.25}, {"f1": 0.75}):
        service.post(path_of(project), {**SCORE, "value": value, "reason": f"Because {value}"})
    failed = {**SCORE, "value": None, "error": "timeout"}
    service.post(path_of(project), failed)

    def found(*arguments: str) -> list[Any]:
        shown = run(service, "list", "--project", project, "--json", *arguments)
        assert shown.returncode == 0, shown.stderr
        return [json.loads(line)["value"] for line in shown.stdout.splitlines()]

    assert found("--where", "f1>=0.5") == [{"f1": 0.5}, {"f1": 0.75}]
    assert found("--where", "f1>0.3", "--where", "f1<0.6") == [{"f1": 0.5}]
    assert found("--failed") == [None]
    assert len(found("--not-failed")) == 4
    assert found("--reason-contains", "because 0.75") == [0.75]
    assert found("--order", "desc", "--limit", "2") == [None, {"f1": 0.75}]
    best = ("--sort-by", "f1", "--order", "desc", "--limit", "2")
    assert found(*best) == [{"f1": 0.75}, {"f1": 0.5}]
    assert found("--where", "f1>1") == []
    for arguments, name, text in (
        (("--failed",), "error", "timeout"),
        (("--reason-contains", "because 0.75"), "reason", "Because 0.75"),
    ):
        shown = run(service, "list", "--project", project, *arguments)
        header, row = shown.stdout.splitlines()
        assert (header.split()[-1], row[header.index(name) :]) == (name, text)
    refused = run(service, "list", "--project", project, "--where", "f2>1")
    assert refused.returncode == 1
    assert "none of the scores has the leaf 'f2'; there is 'f1'" in refused.stderr
    refused = run(service, "list", "--project", project, "--where", "f1 1")
    assert "query.where.0: Value error, one of the operators" in refused.stderr


def test_a_rate_limit_is_waited_for(tmp_path: Path, project: str) -> None:
    settings = {"SCORELINE_RATE_LIMIT": "1/second", "WEB_CONCURRENCY": "1"}
    ids = [f"none-{number}" for number in range(300)]  # Three calls.
    with running(tmp_path, **settings) as service:
        deleted = run(service, "delete", "--yes", "--project", project, *ids)
    assert deleted.returncode == 1, deleted.stderr  # None of them exists.
    statuses = [line["status"] for line in service.log_lines() if line["message"] == "request"]
    assert statuses[:5] == [200, 429, 200, 429, 200]


def test_a_file_is_added_and_listed_again_exactly(
    service: Service, project: str, tmp_path: Path
) -> None:
    values = [None, True, 1.0, 10**300, {"a.b": ["é", "\ud800"]}]
    file = write_lines(tmp_path / "scores.jsonl", [{**SCORE, "value": value} for value in values])
    added = run(service, "add", "--project", project, "--file", str(file))
    assert (added.returncode, added.stdout, added.stderr) == (
        0,
        "",
        "new 5, already there 0, refused 0\n",
    )
    assert json.dumps([score["value"] for score in stored(service, project)]) == json.dumps(values)
    assert list(tmp_path.iterdir()) == [file]


def test_adding_a_corrected_file_stores_only_the_corrections(
    service: Service, project: str, tmp_path: Path
) -> None:
    items = [{**SCORE, "value": number} for number in range(2_500)]
    broken: list[Any] = [*items[:1_200], {"scorer": 1}, *items[1_201:], "no object"]
    file = write_lines(tmp_path / "scores.jsonl", broken)
    first = run(service, "add", "--project", project, "--file", str(file))
    assert first.returncode == 1
    assert first.stderr.splitlines() == [
        "line 1201: prediction_id: Field required; scorer: Input should be a valid string; "
        "value: Field required",
        "line 2501, column 1: JSON, but not an object",
        "new 2499, already there 0, refused 2",
    ]
    write_lines(file, items)
    again = run(service, "add", "--project", project, "--file", str(file))
    assert (again.returncode, again.stderr) == (0, "new 1, already there 2499, refused 0\n")
    assert sorted(score["value"] for score in stored(service, project)) == list(range(2_500))


def test_blank_lines_and_a_missing_final_newline_are_accepted(
    service: Service, project: str, tmp_path: Path
) -> None:
    line = json.dumps(SCORE)
    file = tmp_path / "scores.jsonl"
    file.write_text(f"\n{line}\r\n   \n{line}")
    added = run(service, "add", "--project", project, "--file", str(file), "--batch-size", "1")
    assert (added.returncode, added.stderr) == (0, "new 2, already there 0, refused 0\n")
    file.write_text("")
    empty = run(service, "add", "--project", project, "--file", str(file))
    assert (empty.returncode, empty.stderr) == (
        0,
        f"{file} is empty\nnew 0, already there 0, refused 0\n",
    )


def test_an_interrupted_add_resumes(tmp_path: Path) -> None:
    items = [{**SCORE, "value": number} for number in range(6_000)]
    file = write_lines(tmp_path / "scores.jsonl", items)
    arguments = ("add", "--project", "a/b", "--file", str(file), "--batch-size", "50")
    with running(tmp_path) as service:
        progress = tmp_path / "scores.jsonl.progress"
        killed_once_there_is(progress, service, "scores", *arguments)
        again = run(service, *arguments)
        assert again.returncode == 0, again.stderr
        first, last = again.stderr.splitlines()
        assert first.startswith("resuming after line ")
        counts = re.fullmatch(r"new (\d+), already there (\d+), refused 0", last)
        assert counts, last
        assert sum(map(int, counts.groups())) == 6_000
        assert sorted(score["value"] for score in stored(service, "a/b")) == list(range(6_000))
        assert not progress.exists()


def test_progress_of_another_file_is_ignored(
    service: Service, project: str, tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "scores.jsonl", [SCORE] * 3)
    progress = tmp_path / "scores.jsonl.progress"
    lefts = ("no json", '{"target": "x", "offset": 5, "lines": 2, "digest": "?"}', "[]")
    for number, left in enumerate(lefts):
        progress.write_text(left)
        added = run(service, "add", "--project", project, "--file", str(file))
        new = 3 if number == 0 else 0
        assert added.stderr == f"new {new}, already there {3 - new}, refused 0\n"


def test_a_batch_that_is_too_large_is_sent_in_parts(tmp_path: Path) -> None:
    items = [{**SCORE, "value": "x" * size} for size in (600, 600, 3_000, 600)]
    file = write_lines(tmp_path / "scores.jsonl", items)
    with running(tmp_path, SCORELINE_MAX_BODY_BYTES="1500") as service:
        added = run(service, "add", "--project", "a/b", "--file", str(file))
        assert added.returncode == 1
        assert added.stderr.splitlines() == [
            "line 3: 413 The body is over the limit of 1500 bytes",
            "new 3, already there 0, refused 1",
        ]
        assert len(stored(service, "a/b")) == 3


def test_a_list_is_printed_as_a_table(service: Service, project: str) -> None:
    path = path_of(project)
    for value in ("short", "\x1b[31mred", "long " * 40):
        service.post(path, {**SCORE, "value": value})
    shown = run(service, "list", "--project", project)
    header, *rows = shown.stdout.splitlines()
    assert header.split() == [
        "score_id",
        "created_at",
        "scorer",
        "prediction_id",
        "evaluation_run_id",
        "value",
    ]
    assert [row.split()[4] for row in rows] == ["-"] * 3
    assert rows[0].endswith('"short"')
    assert "\x1b" not in shown.stdout
    assert rows[2].endswith("…")


def test_a_cut_table_says_so_and_json_is_complete(
    service: Service, project: str, tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "scores.jsonl", [SCORE] * 2_345)
    run(service, "add", "--project", project, "--file", str(file))
    shown = run(service, "list", "--project", project)
    assert len(shown.stdout.splitlines()) == 101
    assert shown.stderr == "only the first 100 are shown; use --limit for more, --json for all\n"
    assert len(stored(service, project)) == 2_345
    limited = run(service, "list", "--project", project, "--json", "--limit", "1500")
    assert len(limited.stdout.splitlines()) == 1_500


def test_filters_narrow_a_list(service: Service, project: str, tmp_path: Path) -> None:
    items = [{**SCORE, "evaluation_run_id": f"r&{number % 2}"} for number in range(6)]
    file = write_lines(tmp_path / "scores.jsonl", items)
    run(service, "add", "--project", project, "--file", str(file))
    shown = run(service, "list", "--project", project, "--json", "--run", "r&1")
    assert len(shown.stdout.splitlines()) == 3
    wrong = run(service, "list", "--project", project, "--created-after", "yesterday")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("scoreline: 422 query.created_after: Input should be a valid")


def test_a_score_is_printed_and_deleted(service: Service, project: str, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "scores.jsonl", [SCORE] * 3)
    run(service, "add", "--project", project, "--file", str(file))
    ids = [score["score_id"] for score in stored(service, project)]
    shown = run(service, "get", "--project", project, ids[0])
    assert f"score_id: {ids[0]}" in shown.stdout.splitlines()
    assert json.loads(run(service, "get", "--project", project, "--json", ids[0]).stdout)
    deleted = run(service, "delete", "--yes", "--project", project, *ids[:2])
    assert (deleted.returncode, deleted.stderr) == (0, "deleted 2 of 2\n")
    rest = run(service, "delete", "--yes", "--project", project, "-", stdin="\n".join(ids))
    assert (rest.returncode, rest.stderr) == (1, "deleted 1 of 3\n")
    gone = run(service, "get", "--project", project, ids[0])
    assert (gone.returncode, gone.stderr) == (1, f"scoreline: 404 Score {ids[0]} not found\n")


def test_superseded_scores_are_left_out_of_a_list_and_shown_in_a_history(
    service: Service, project: str
) -> None:
    ids = [
        service.post(path_of(project), {**SCORE, "value": value}).json["score_id"]
        for value in range(3)
    ]
    current = run(service, "list", "--project", project, "--current", "--json")
    assert [json.loads(line)["score_id"] for line in current.stdout.splitlines()] == ids[2:]
    history = run(service, "history", "--project", project, ids[0], "--json")
    found = [json.loads(line) for line in history.stdout.splitlines()]
    assert [score["score_id"] for score in found] == ids[::-1]
    assert [score.get("superseded_by") for score in found] == [None, ids[2], ids[2]]
    shown = run(service, "history", "--project", project, ids[1])
    assert [line.split()[0] for line in shown.stdout.splitlines()[1:]] == ids[::-1]
    unknown = run(service, "history", "--project", project, "unknown")
    assert (unknown.returncode, unknown.stdout) == (1, "")


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", "\ufeff{}\r\n", "\n\n{}\n\n"])
def test_white_space_around_a_key_is_ignored(
    service: Service, project: str, tmp_path: Path, around: str
) -> None:
    text = around.format(service.key)
    service.post(path_of(project), SCORE)
    arguments = ("list", "--project", project)
    variable = run(service, *arguments, SCORELINE_KEY=text)
    assert (variable.returncode, variable.stderr) == (0, "")
    file = tmp_path / "a.key"
    for encoding in ("utf-8", *(["utf-16-le"] if text.startswith("\ufeff") else [])):
        file.write_bytes(text.encode(encoding))
        read = run(service, *arguments, "--key-file", str(file), SCORELINE_KEY="")
        assert (read.returncode, read.stderr) == (0, "")


def test_exit_codes_distinguish_refusals_wrong_usage_and_outages(
    service: Service, project: str
) -> None:
    wrong_key = run(service, "list", "--project", project, SCORELINE_KEY="sl_wrong")
    assert (wrong_key.returncode, wrong_key.stderr) == (1, f"scoreline: {WRONG_KEY}\n")
    assert run(service, "list", "--project", "no-slash").returncode == 2
    two_lines = run(service, "list", "--project", project, SCORELINE_KEY="sl_one\nsl_two")
    assert two_lines.returncode == 2
    assert two_lines.stderr.startswith("scoreline: SCORELINE_KEY holds no API key: ")
    assert "sl_one" not in two_lines.stderr
    no_key = run(service, "list", "--project", project, SCORELINE_KEY="")
    assert no_key.returncode == 2
    assert no_key.stderr.startswith("scoreline: SCORELINE_KEY is not set, and var/admin.key")
    assert len(no_key.stderr.splitlines()) == 1
    away = run(
        service, "list", "--project", project, SCORELINE_URL=f"http://127.0.0.1:{free_port()}"
    )
    assert away.returncode == 3
    assert away.stderr.startswith("scoreline: no answer from http://127.0.0.1:")
    assert away.stderr.endswith(": Connection refused\n")


def test_the_key_is_read_from_a_file(service: Service, project: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{service.key}\n")
    service.post(path_of(project), SCORE)
    arguments = ("list", "--project", project, "--key-file", str(file))
    assert run(service, *arguments, SCORELINE_KEY="").returncode == 0


def test_progress_is_shown_only_on_a_terminal(
    service: Service, project: str, tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "scores.jsonl", [SCORE] * 300)
    arguments = ("add", "--project", project, "--file", str(file), "--batch-size", "100")
    shown = on_a_terminal(service, "scores", *arguments)
    assert b"adding" in shown
    assert b"100%" in shown
    assert b"new 300, already there 0, refused 0" in shown
