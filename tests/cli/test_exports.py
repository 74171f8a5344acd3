"""`scoreline export`, run as a process against a real service."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from app.exports import parquet
from tests.cli.commands import run_command
from tests.cli.people import on_a_terminal
from tests.cli.test_scores import WRONG_KEY, path_of
from tests.cli.test_scores import project as project  # noqa: PLC0414 - a fixture.
from tests.processes import Service, command, environment

SCORE: dict[str, Any] = {"prediction_id": "p", "scorer": "s", "value": 1}


def run(
    service: Service,
    *arguments: str,
    stdin: str | None = None,
    text: bool = True,
    **settings: str,
) -> subprocess.CompletedProcess[Any]:
    given = {"SCORELINE_KEY": service.key, "SCORELINE_URL": service.url, **settings}
    return run_command(
        *arguments, cwd=service.log.parent, env=environment(**given), stdin=stdin, text=text
    )


def fill(service: Service, project: str, values: list[Any]) -> bytes:
    """Store scores, and return the lines of their list."""
    path = path_of(project)
    body = {
        "scores": [
            {**SCORE, "prediction_id": f"p-{number}", "value": value}
            for number, value in enumerate(values)
        ]
    }
    assert service.post(f"{path}/batch", body).status == 200
    return service.send("GET", path).body


def test_an_export_goes_to_a_file_or_standard_output(
    service: Service, project: str, tmp_path: Path
) -> None:
    lines = fill(service, project, [1, None, {"é": "x"}])
    shown = run(service, "export", "--project", project, text=False)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, lines, b"")
    out = tmp_path / "scores.jsonl"
    out.write_text("what was there")
    written = run(service, "export", "--project", project, "--out", str(out))
    assert (written.returncode, written.stdout, written.stderr) == (0, "", "")
    assert out.read_bytes() == lines
    assert list(tmp_path.iterdir()) == [out]


def test_formats_columns_and_filters_are_passed_on(
    service: Service, project: str, tmp_path: Path
) -> None:
    fill(service, project, [{"a": number, "b": "x"} for number in range(5)])
    out = tmp_path / "scores.csv"
    options = ["--format", "csv", "--column", "a", "--limit", "3", "--created-after", "2020-01-01"]
    assert run(service, "export", "--project", project, "--out", str(out), *options).returncode == 0
    with out.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["value.a"] for row in rows] == ["0", "1", "2"]
    assert "value.b" not in rows[0]
    if parquet.is_installed():
        shown = run(service, "export", "--project", project, "--format", "parquet", text=False)
        assert shown.stdout[:4] == shown.stdout[-4:] == b"PAR1"


def test_a_table_has_superseded_scores_if_asked_for(service: Service, project: str) -> None:
    for value in (1, 2):
        fill(service, project, [value])
    table = ("export", "--project", project, "--format", "csv", "--column", "")
    for options, count in ([], 1), (["--repeats", "all"], 2), (["--repeats", "current"], 1):
        shown = run(service, *table, *options)
        assert (shown.returncode, len(shown.stdout.splitlines())) == (0, 1 + count)
    everything = run(service, "export", "--project", project, "--all", "--repeats", "all")
    assert (everything.returncode, everything.stdout) == (2, "")


def test_a_rejected_export_leaves_no_file(service: Service, project: str, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    out.write_text("what was there")
    fill(service, project, [1])
    arguments = (
        "export",
        "--project",
        project,
        "--out",
        str(out),
        "--column",
        "a",
        "--format",
        "jsonl",
    )
    refused = run(service, *arguments)
    assert refused.returncode == 1
    assert refused.stderr.startswith("scoreline: 422 query.columns: ")
    assert out.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [out]
    sheet = run(service, "export", "--project", project, "--out", "scores.xlsx")
    assert (sheet.returncode, sheet.stderr) == (
        2,
        "scoreline: scores.xlsx: an export is not xlsx: name it .jsonl, .csv or .parquet, "
        "or use --format\n",
    )
    nowhere = run(service, "export", "--project", project, "--out", f"{tmp_path}/no/scores")
    assert (nowhere.returncode, len(nowhere.stderr.splitlines())) == (2, 1)


def test_an_interrupted_export_leaves_no_file(tmp_path: Path) -> None:
    """The service sends a 200 and a chunk, and then closes the connection."""
    line = b'{"score_id":"x"}\n'
    found = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 17\r\n\r\n" + line
    broken_off = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n" + line + b"\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in (found, broken_off):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        out = tmp_path / "scores.jsonl"
        given = environment(SCORELINE_KEY="k", SCORELINE_URL=url)
        broken = subprocess.run(
            command("export", "--project", "a/b", "--out", str(out)),
            check=False,
            env=given,
            capture_output=True,
            text=True,
            timeout=60,
        )
        server.join()
    assert broken.returncode == 3
    assert broken.stderr.startswith("scoreline: the export broke off: ")
    assert len(broken.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_progress_is_shown_on_a_terminal(service: Service, project: str, tmp_path: Path) -> None:
    fill(service, project, ["x" * 1_000] * 2_000)
    out = tmp_path / "scores.jsonl"
    shown = on_a_terminal(service, "export", "--project", project, "--out", str(out))
    assert b"exporting" in shown
    assert b" MB" in shown
    assert len(out.read_text().splitlines()) == 2_000
    assert json.loads(out.read_text().splitlines()[-1])["value"] == "x" * 1_000


@pytest.mark.parametrize("to_write", ["jsonl", "csv"])
def test_a_key_that_may_not_read_exports_nothing(
    service: Service, project: str, tmp_path: Path, to_write: str
) -> None:
    out = tmp_path / "scores"
    arguments = ("export", "--project", project, "--format", to_write, "--out", str(out))
    refused = run(service, *arguments, SCORELINE_KEY="sl_wrong")
    assert (refused.returncode, refused.stderr) == (1, f"scoreline: {WRONG_KEY}\n")
    assert not out.exists()
