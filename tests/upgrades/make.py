"""Write the store of one version of Scoreline: `python tests/upgrades/make.py CHECKOUT`.

CHECKOUT is a checkout of that version; the Python needs its dependencies. Its own service is
started there, and is sent ODD; written beside this file are schema-N.db (the embedded store),
schema-N.jsonl (its list of all scores, as it answered) and schema-N.key (its administrator's key),
where N is the schema's version; from schema 7 on also schema-N.documents.jsonl (its lists of
evaluation runs and of predictions). They are made once, before a migration is added: schema 1 of
commit 234912b, schema 2 of commit a9723d1, schema 3 of commit 9e2c246, schemas 4 to 19 when they
were new.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import closing
from pathlib import Path

from tests.processes import free_port, wait_until_listening

HERE = Path(__file__).parent
SCORES = "/v2/acme/demo/scores"
SCORER = "weave:///acme/demo/object/Exact:v0"
ODD: list[tuple[str, dict[str, str]]] = [
    ("null", {}),
    ("-0.0", {}),
    ("1", {}),
    ("1.0", {}),
    ("true", {}),
    ("1" * 400, {"Idempotency-Key": "a-key"}),
    (r'"a \u0000 and \ud83d\ude00"', {}),
    ('{"a.b": {"$c": [1, 1.0, null]}, "": [], "é😀": 5e-324}', {}),
    (json.dumps({"text": "x" * 2_000, "scores": [each / 7 for each in range(120)]}), {}),
]
"""Values as JSON, and the headers with which they are sent."""

RUNS = "/v2/acme/demo/evaluation_runs"
PREDICTIONS = "/v2/acme/demo/predictions"
RUN = {"evaluation": "e", "model": "m"}
PREDICTION = {"model": "m", "inputs": {"a.b": 1.0}, "output": "\ud83d\ude00"}
DOCUMENTS: list[tuple[str, dict[str, object] | None]] = [
    (RUNS, {**RUN}),
    (
        f"{RUNS}?2",
        {
            **RUN,
            "evaluation_run_id": "run/1",
            "source_evaluation_run_id": "run/0",
            "name": "n",
            "description": "d",
            "dataset": "s",
            "attributes": {"commit": "abc"},
            "expected": 2,
            "started_at": "2026-01-02T03:04:05.000006Z",
        },
    ),
    (f"{RUNS}/run/1/finish", {"summary": {"a": 1.0}}),
    (PREDICTIONS, {**PREDICTION}),
    (
        f"{PREDICTIONS}?2",
        {
            **PREDICTION,
            "evaluation_run_id": "run/1",
            "prediction_id": "p/1",
            "example_id": "x",
            "trial": 1,
            "error": "e",
            "started_at": "2026-01-02T03:04:05.000006Z",
            "finished_at": "2026-01-02T03:04:06Z",
            "usage": {"tokens": 1},
            "metadata": {},
        },
    ),
    (f"{PREDICTIONS}/p/1/finish", None),
]
"""The calls that make evaluation runs and predictions; the paths are idempotency keys too."""


def main(checkout: Path) -> None:
    """Start the version in `checkout`, send scores and save its store."""
    with tempfile.TemporaryDirectory() as directory:
        var = Path(directory) / "var"
        port = free_port()
        environ = {
            **os.environ,
            "PYTHONPATH": str(checkout),
            "PORT": str(port),
            "SCORELINE_HOST": "127.0.0.1",
        }
        serve = [sys.executable, "-m", "app.cli", "serve"]
        process = subprocess.Popen(serve, cwd=directory, env=environ, stdout=subprocess.DEVNULL)
        wait_until_listening(port, process)
        key = (var / "admin.key").read_text().strip()
        for number, (value, extra) in enumerate(ODD * 2):
            run = "null" if number % 2 else '"run-1"'
            body = (
                f'{{"prediction_id": "p-{number}", "scorer": "{SCORER}", '
                f'"evaluation_run_id": {run}, "value": {value}}}'
            )
            headers = {name: f"{text}-{number}" for name, text in extra.items()}
            send(port, key, body.encode(), headers)
        listed = send(port, key, None, {})
        for path, content in DOCUMENTS:
            sent = None if content is None else json.dumps(content).encode()
            send(port, key, sent, {"Idempotency-Key": path}, path, "POST")
        documents = b"".join(send(port, key, None, {}, path) for path in (RUNS, PREDICTIONS))
        process.terminate()
        process.wait()
        keep(var / "scoreline.db", listed, documents, key)


def send(
    port: int,
    key: str,
    body: bytes | None,
    headers: dict[str, str],
    path: str = SCORES,
    method: str | None = None,
) -> bytes:
    """Make a call, and return the response."""
    sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, sent, method=method)
    with urllib.request.urlopen(request) as answer:
        read: bytes = answer.read()
    return read


def keep(database: Path, listed: bytes, documents: bytes, key: str) -> None:
    """Write the files; the store as a single one."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    shutil.copyfile(database, HERE / f"schema-{version}.db")
    (HERE / f"schema-{version}.jsonl").write_bytes(listed)
    (HERE / f"schema-{version}.documents.jsonl").write_bytes(documents)
    (HERE / f"schema-{version}.key").write_text(f"{key}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
