"""The benchmarks compare like with like, and count only successful requests. No timing."""

from __future__ import annotations

import importlib.util
import runpy
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from benchmarks import analysis, lists, machine, raw, run, servers, table, wrk
from benchmarks.documents import SCORES, batch, body
from benchmarks.rounds import Plan, alternate
from tests.processes import ROOT, Service, environment

Start = Callable[[Path], AbstractContextManager[servers.Server]]

without_fastapi = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("fastapi", "uvloop", "httptools"))),
    reason="FastAPI is not installed (pip install '.[bench]')",
)
JSON = {"Content-Type": "application/json"}
COLUMNS = "entity, project, evaluation_run_id, prediction_id, scorer, value_json, wb_user_id"


def client(server: servers.Server) -> Service:
    """Return a client of a side."""
    return Service(server.port, None, Path())  # type: ignore[arg-type]


def answered_id(server: servers.Server) -> UUID:
    answer = client(server).post(SCORES, body(7), headers=JSON)
    assert answer.status == 200
    assert answer.headers.get_content_type() == "application/json"
    assert list(answer.json) == ["score_id"]
    return UUID(answer.json["score_id"])


def query(path: Path | None, statement: str) -> list[tuple[object, ...]]:
    assert path
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


@pytest.mark.parametrize("worker", ["gthread", servers.OUR_WORKER])
def test_the_bare_view_answers_as_scoreline_does(tmp_path: Path, worker: str) -> None:
    with servers.bare(tmp_path, worker) as server:
        assert answered_id(server).version == 7


def test_the_bare_view_keeps_connections_as_long_as_scoreline() -> None:
    assert runpy.run_path(str(ROOT / "config" / "gunicorn.py"))["keepalive"] == servers.KEEP_ALIVE


@without_fastapi
def test_the_reference_keeps_the_same_score_in_the_same_table(tmp_path: Path) -> None:
    tables = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    with servers.scoreline(tmp_path) as ours, servers.reference(tmp_path) as theirs:
        for server in (ours, theirs):
            score_id = answered_id(server)
            assert score_id.version == 7
            assert query(server.database, "SELECT _id FROM scores") == [(str(score_id),)]
            assert query(server.database, "PRAGMA journal_mode") == [("wal",)]
            assert client(server).post(SCORES, body(7), headers=JSON, key="wrong").status == 401
            assert client(server).post(SCORES, body(7), headers=JSON, key=None).status == 401
            basic = {**JSON, "Authorization": "Basic Og=="}
            assert client(server).post(SCORES, body(7), key=None, headers=basic).status == 401
            assert raw.count(server.database or Path()) == 1
        for statement in (tables, f"SELECT {COLUMNS} FROM scores"):
            assert query(ours.database, statement) == query(theirs.database, statement)


def test_raw_inserts_add_the_same_documents_to_the_same_tables(tmp_path: Path) -> None:
    tables = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
    with servers.scoreline(tmp_path) as server:
        answer = client(server).send("POST", f"{SCORES}/batch", batch(3))
        assert answer.status == 200, answer.body
    database, copy = tmp_path / "scoreline.db", tmp_path / "raw.db"
    documents = raw.rows(database, 10)
    with raw.like(copy, database) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        raw.batches(connection, [raw.renewed(documents), raw.renewed(documents)])
        assert query(copy, tables) == query(database, tables)
        assert query(copy, f"SELECT {COLUMNS} FROM scores ORDER BY _id LIMIT 3") == query(
            database, f"SELECT {COLUMNS} FROM scores ORDER BY _id"
        )
        before = raw.count(copy)
        assert before == 6
        raw.single_inserts(connection, documents, 0.01)
        assert raw.count(copy) > before


def test_a_ratio_compares_values_of_the_same_round() -> None:
    row = table.Row("creates", "Scoreline", "bare", "/s", [300.0, 100.0, 900.0], [100, 200, 600])
    assert row.ratios() == [3.0, 0.5, 1.5]
    assert row.cells()[3:] == ("1.50", "0.50", "3.00", "[300/s : 200/s]")
    assert "| creates | Scoreline | bare | 1.50 |" in table.markdown([row])


def test_sides_take_turns_and_change_their_order() -> None:
    calls: list[str] = []

    def measure(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    sides = {name: partial(measure, name) for name in ("a", "b")}
    assert alternate("turns", sides, 3) == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}
    assert calls == ["a", "b", "b", "a", "a", "b"]


REPORT = "  812 requests in 2.00s, 150.00KB read\n{}Requests/sec:    405.50\n"


def test_load_counts_only_when_every_request_was_answered() -> None:
    assert wrk.read(REPORT.format("")) == wrk.Load(812, 405.5)
    for trouble in (
        "  Non-2xx or 3xx responses: 1\n",
        "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
    ):
        with pytest.raises(wrk.BrokenLoad):
            wrk.read(REPORT.format(trouble))
    with pytest.raises(wrk.BrokenLoad):
        wrk.read("unable to connect")


def test_missing_wrk_is_reported(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.run"],
        cwd=tmp_path,
        env={**environment(), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"benchmarks: {wrk.MISSING}\n"
    assert not list(tmp_path.iterdir())


def test_a_directory_in_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.filesystem(Path("/proc/self")) == "proc"
    monkeypatch.setattr(wrk, "is_missing", lambda: False)
    monkeypatch.setattr(run, "filesystem", lambda _: "tmpfs")
    assert run.main(["--directory", str(tmp_path)]) == 2
    assert "is on tmpfs" in capsys.readouterr().err


def test_every_list_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lists.main(["--directory", str(tmp_path), "--runs", "4"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [row.split(" | ")[0] for row in rows] == [f"| {what}" for what in lists.PATHS]
    assert list(tmp_path.iterdir()) == []


def test_analysis_is_compared_with_sql_and_with_a_tenth_of_the_scores(tmp_path: Path) -> None:
    plan = Plan(1, 1, 1, batch_scores=1, small=1, large=1_000)
    rows = analysis.measure(plan, tmp_path)
    assert [(row.side, row.against) for row in rows] == [
        ("Scoreline", "SQL of its columns"),
        ("Scoreline", "SQL of scorer and leaves"),
        ("1,000", "100"),
        ("Scoreline", "SQL of its columns"),
        ("100", "10"),
    ]
    assert all(len(row.ours) == len(row.theirs) == 1 for row in rows)
