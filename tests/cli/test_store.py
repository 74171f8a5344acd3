"""`scoreline store`, run as a process on stores that are in use."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from app.stores import open_store
from app.stores.model import Score
from tests.cli.commands import run_command
from tests.faults.load import Load, count
from tests.processes import ADMIN_KEY, ROOT, command, environment, running
from tests.stores.test_contract import a_score, all_scores
from tests.stores.test_documents import a_prediction, a_run


def run(directory: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments, cwd=directory, env=environment(**settings))


def scan(url: str) -> list[Score]:
    store = open_store(url)
    try:
        return all_scores(store)
    finally:
        store.close()


def doctor(directory: Path, url: str) -> int:
    return run(directory, "doctor", SCORELINE_STORE=url, SCORELINE_ADMIN_KEY=ADMIN_KEY).returncode


def a_store(path: Path, scores: int = 3) -> str:
    """Create an embedded store with so many scores, and return its URL."""
    url = f"sqlite:///{path}"
    store = open_store(url)
    store.prepare()
    store.add_missing([a_score(scorer="s" * 500) for _ in range(scores)], partial=False)
    store.close()
    return url


def test_a_backup_under_load_has_every_score_acknowledged_before(
    tmp_path: Path,
) -> None:
    backup = tmp_path / "backup.db"
    with running(tmp_path) as service, Load(service) as load:
        load.wait_for(acknowledged=500)
        before = list(load.acknowledged)
        url = f"sqlite:///{tmp_path}/scoreline.db"
        taken = run(tmp_path, "store", "backup", str(backup), SCORELINE_STORE=url)
        assert taken.returncode == 0, taken.stderr
        load.wait_for(acknowledged=100)
    new = tmp_path / "new"
    new.mkdir()
    url = f"sqlite:///{new}/scoreline.db"
    restored = run(new, "store", "restore", str(backup), SCORELINE_STORE=url)
    assert restored.returncode == 0, restored.stderr
    assert doctor(new, url) == 0
    with running(new) as service:
        load.acknowledged = before
        assert count(service, load).clean
        assert service.post(
            "/v2/a/b/scores", {"prediction_id": "p", "scorer": "s", "value": 1}
        ).json
        assert doctor(new, url) == 0


def test_the_store_of_a_running_service_is_not_replaced(tmp_path: Path) -> None:
    url = a_store(tmp_path / "scoreline.db")
    backup = tmp_path / "b.db"
    assert run(tmp_path, "store", "backup", str(backup), SCORELINE_STORE=url).returncode == 0
    with running(tmp_path):
        refused = run(tmp_path, "store", "restore", str(backup), SCORELINE_STORE=url)
        assert refused.returncode == 1
        assert "a service is using" in refused.stderr
    assert run(tmp_path, "store", "restore", str(backup), SCORELINE_STORE=url).returncode == 0


def test_an_existing_file_is_overwritten_only_with_force(tmp_path: Path) -> None:
    url = a_store(tmp_path / "s.db")
    file = tmp_path / "b.db"
    file.write_text("precious")
    refused = run(tmp_path, "store", "backup", str(file), SCORELINE_STORE=url)
    assert (refused.returncode, file.read_text()) == (2, "precious")
    forced = run(tmp_path, "store", "backup", "--force", str(file), SCORELINE_STORE=url)
    assert forced.returncode == 0
    assert "holds 3 scores" in forced.stderr


@pytest.mark.parametrize(
    ("arguments", "again"),
    [
        ("backup b.db", "to start over"),
        ("restore b.db", "to start over"),
        ("copy sqlite:///s.db sqlite:///t.db", "to continue"),
    ],
)
def test_ctrl_c_says_what_the_same_command_does_then(
    tmp_path: Path, arguments: str, again: str
) -> None:
    url = a_store(tmp_path / "s.db")
    (tmp_path / "b.db").write_bytes((tmp_path / "s.db").read_bytes())
    script = (
        "import signal, app.cli, app.cli.store as store\n"
        "store.back_up = store.restore_backup = store.copy_store = (\n"
        "    lambda *_, **__: signal.raise_signal(signal.SIGINT))\n"
        "app.cli.main()"
    )
    force = ["--force"] if arguments.startswith("backup") else []
    ended = subprocess.run(
        [sys.executable, "-c", script, "store", *arguments.split(), *force],
        check=False,
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT), SCORELINE_STORE=url),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 130, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last == f"scoreline: interrupted; run the same command {again}"


def test_predictions_and_runs_are_backed_up_copied_and_counted(tmp_path: Path) -> None:
    url, backup, target = a_store(tmp_path / "s.db"), tmp_path / "b.db", tmp_path / "t.db"
    store = open_store(url)
    store.add_documents([a_prediction(id="x"), a_prediction()])
    store.add_documents([a_run()])
    store.close()
    taken = run(tmp_path, "store", "backup", "--json", str(backup), SCORELINE_STORE=url)
    numbers = {"num_scores": 3, "num_predictions": 2, "num_evaluation_runs": 1}
    assert json.loads(taken.stdout) == numbers
    restored = run(tmp_path, "store", "restore", "--json", str(backup), SCORELINE_STORE=url)
    assert numbers.items() <= json.loads(restored.stdout).items()
    copied = run(tmp_path, "store", "copy", "--json", url, f"sqlite:///{target}")
    found = json.loads(copied.stdout)
    assert (copied.returncode, found["equal"]) == (0, True)
    for kind, number in (("predictions", 2), ("evaluation_runs", 1)):
        assert (found[kind]["num_copied"], found[kind]["equal"]) == (number, True)
        assert found[kind]["source"] == found[kind]["target"]
        assert found[kind]["source"]["num"] == number
    again = run(tmp_path, "store", "copy", url, f"sqlite:///{target}")
    assert "predictions: copied 0, changed 0, deleted 0; 2 and 2 there" in again.stdout
    opened = open_store(f"sqlite:///{target}")
    opened.add_documents([a_run(id="y", sort_id="018cc251-f400-7000-8000-000000000001")])
    opened.close()
    differs = run(tmp_path, "store", "copy", url, f"sqlite:///{target}")
    assert differs.returncode == 1
    assert "evaluation_runs that only the target has: 1, such as y" in differs.stdout
    deleted = run(tmp_path, "store", "copy", "--delete-extra", url, f"sqlite:///{target}")
    assert deleted.returncode == 0, deleted.stdout
    checked = run(tmp_path, "doctor", SCORELINE_STORE=f"sqlite:///{target}")
    assert (
        "; scores: 3, predictions: 2, evaluation runs: 1, calls: 0, feedback: 0" in checked.stdout
    )


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_backups_of_mongodb_name_the_alternative_without_the_password(
    tmp_path: Path, name: str
) -> None:
    url = "mongodb://user:hush@host/db?appname=hush"
    refused = run(tmp_path, "store", name, "f.db", SCORELINE_STORE=url)
    assert refused.returncode == 2
    assert "mongodump" in refused.stderr
    assert "scoreline store copy" in refused.stderr
    assert "hush" not in refused.stderr


def test_wrong_usage_exits_with_code_2_and_a_dead_server_with_3(tmp_path: Path) -> None:
    url = a_store(tmp_path / "s.db")
    dead = "mongodb://user:hush@127.0.0.1:1/x"
    (tmp_path / "binary").write_bytes(url.encode("utf-16"))
    (tmp_path / "secret").write_text("hush\n")
    for arguments, code in (
        (("store", "copy", url, url), 2),
        (("store", "copy", "sqlite:///missing.db", url), 2),
        (("store", "copy", url, "postgres://user:hush@host/x"), 2),
        (("store", "copy", url, "mongodb://user:hush@host/x?nonsense=1"), 2),
        (("store", "copy", "@missing", url), 2),
        (("store", "copy", "@binary", url), 2),
        (("store", "copy", "@secret", url), 2),
        (("store", "copy", url, dead), 3),
        (("store", "restore", "missing.db"), 2),
        (("store", "backup", str(tmp_path / "s.db")), 2),
        (("store", "backup", str(tmp_path / "no" / "directory.db")), 2),
        (("keys", "list"), 3),
    ):
        store = dead if arguments[0] == "keys" else url
        ended = run(tmp_path, *arguments, SCORELINE_STORE=store)
        assert ended.returncode == code, (arguments, ended.stderr)
        assert "Traceback" not in ended.stderr
        if code == 3:
            assert ended.stderr.splitlines()[-1] == (
                "scoreline: MongoDB does not answer: 127.0.0.1:1: [Errno 111] Connection refused"
            )
        assert "hush" not in ended.stdout + ended.stderr
    assert not (tmp_path / "missing.db").exists()


def test_a_copy_to_mongodb_under_load_and_back_is_exact(tmp_path: Path, mongodb_uri: str) -> None:
    url = f"sqlite:///{tmp_path}/scoreline.db"
    (tmp_path / "target").write_text(f"{mongodb_uri}\n")
    with running(tmp_path) as service, Load(service, calls=1_000) as load:
        load.wait_for(acknowledged=300)
        before = {score_id for score_id, _ in load.acknowledged}
        first = run(tmp_path, "store", "copy", url, "@target")
        assert first.returncode == 0, first.stderr
        assert before <= {score.score_id for score in scan(mongodb_uri)}
        load.finish()
    second = run(tmp_path, "store", "copy", url, "@target")
    assert second.returncode == 0, second.stderr
    digests = re.findall(r"([0-9]+) scores, sha256 ([0-9a-f]{64})", second.stdout)
    assert len(digests) == 2
    assert len(set(digests)) == 1
    back = f"sqlite:///{tmp_path}/back.db"
    assert run(tmp_path, "store", "copy", mongodb_uri, back).returncode == 0
    assert scan(back) == scan(mongodb_uri) == scan(url)
    with running(tmp_path, mongodb_uri) as service:
        assert count(service, load).clean


def test_a_killed_copy_is_completed_by_the_next_one(tmp_path: Path, mongodb_uri: str) -> None:
    url = a_store(tmp_path / "s.db", 3_000)
    target = open_store(mongodb_uri)
    with closing(target):
        process = subprocess.Popen(
            command("store", "copy", url, mongodb_uri), cwd=tmp_path, env=environment()
        )
        while not target.extent().count:
            assert process.poll() is None
        process.kill()
        assert process.wait() == -signal.SIGKILL
        stored = target.extent().count
    assert 0 < stored < 3_000
    again = run(tmp_path, "store", "copy", url, mongodb_uri)
    assert again.returncode == 0, again.stderr
    copied = re.match(r"copied (\d+) scores", again.stdout)
    assert copied  # The server may have finished the write in progress.
    assert 0 < int(copied[1]) <= 3_000 - stored
    assert scan(mongodb_uri) == scan(url)


def test_deletions_are_reported_and_copied_on_request(tmp_path: Path) -> None:
    url, target = a_store(tmp_path / "s.db"), f"sqlite:///{tmp_path}/t.db"
    assert run(tmp_path, "store", "copy", url, target).returncode == 0
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("DELETE FROM scores WHERE _id = (SELECT min(_id) FROM scores)")
    copied_again = run(tmp_path, "store", "copy", url, target)
    assert copied_again.returncode == 1
    assert "only the target has: 1" in copied_again.stdout
    assert run(tmp_path, "store", "copy", "--delete-extra", url, target).returncode == 0
    assert scan(target) == scan(url)


def test_progress_is_plain_lines_in_a_file_and_a_bar_on_a_terminal(tmp_path: Path) -> None:
    url = a_store(tmp_path / "s.db", 2_000)
    plain = run(tmp_path, "store", "copy", url, f"sqlite:///{tmp_path}/t.db")
    assert "copying and comparing: 2000 of 4000\n" in plain.stderr
    assert len(plain.stderr.splitlines()) < 14
    assert "\r" not in plain.stderr
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("store", "copy", url, f"sqlite:///{tmp_path}/u.db"),
        cwd=tmp_path,
        env=environment(TERM="xterm"),
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    assert "100%" in _read_all(ours)
    assert process.wait() == 0


def _read_all(terminal: int) -> str:
    read = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        select.select([terminal], [], [], 1)
        try:
            piece = os.read(terminal, 10_000)
        except OSError:  # Raised on Linux when the other side is closed.
            break
        read += piece
    os.close(terminal)
    return read.decode()
