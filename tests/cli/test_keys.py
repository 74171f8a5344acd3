"""`scoreline keys`, run as a process."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.schemas.keys import KeyReadRes
from app.services.keys import create_key
from app.stores import open_store
from tests.cli.commands import run_command
from tests.processes import environment, running


def run(directory: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments, cwd=directory, env=environment(**settings))


def test_a_created_key_is_printed_once_alone_on_stdout(tmp_path: Path) -> None:
    created = run(
        tmp_path, "keys", "create", "--name", "ci", "--role", "create", "--scope", "acme/*"
    )
    assert created.returncode == 0, created.stderr
    secret = created.stdout.strip()
    assert re.fullmatch(r"sl_[A-Za-z0-9]{43}", secret)
    listed = run(tmp_path, "keys", "list", "--json")
    (key,) = [json.loads(line) for line in listed.stdout.splitlines()]
    assert (key["name"], key["role"], key["scope"], key["owner"]) == (
        "ci",
        "create",
        "acme/*",
        "ci",
    )
    assert secret not in listed.stdout + run(tmp_path, "keys", "list").stdout
    assert secret.encode() not in (tmp_path / "var" / "scoreline.db").read_bytes()


def test_keys_are_listed_as_a_table_and_revoked_once(tmp_path: Path) -> None:
    run(tmp_path, "keys", "create", "--name", "a", "--role", "read", "--scope", "*")
    header, row = run(tmp_path, "keys", "list").stdout.splitlines()
    assert header.split()[:3] == ["key_id", "name", "role"]
    key_id = row.split()[0]
    assert run(tmp_path, "keys", "revoke", key_id).returncode == 0
    again = run(tmp_path, "keys", "revoke", key_id)
    assert (again.returncode, again.stderr) == (1, f"scoreline: no key {key_id} is in use\n")


def test_a_revocation_says_what_stays_in_use_and_a_cascade_ends_it(tmp_path: Path) -> None:
    boss = json.loads(run(tmp_path, *CREATE, "--json").stdout)
    store = open_store(f"sqlite:///{tmp_path}/var/scoreline.db")
    with closing(store):
        caller = store.list_keys()[0]
        for _ in range(2):
            create_key(store, name="n", role="create", scope="acme/*", caller=caller)
    revoked = run(tmp_path, "keys", "revoke", boss["key_id"])
    assert "still in use: 2 keys created with it; " in revoked.stderr
    cascade = run(tmp_path, "keys", "revoke", "--cascade", "--json", boss["key_id"])
    answer = json.loads(cascade.stdout)
    assert (answer["also_revoked"], answer["left_in_use"]) == (2, 0)
    assert cascade.stderr.count('"key.revoke"') == 2
    assert all(key["revoked_at"] for key in listed(tmp_path))


def test_a_cascade_says_that_the_key_itself_was_revoked_before(tmp_path: Path) -> None:
    boss = json.loads(run(tmp_path, *CREATE, "--json").stdout)["key_id"]
    with closing(open_store(f"sqlite:///{tmp_path}/var/scoreline.db")) as store:
        (caller,) = store.list_keys()
        create_key(store, name="n", role="create", scope="acme/*", caller=caller)
    assert f"revoked {boss}\n" in run(tmp_path, "keys", "revoke", boss).stderr
    again = run(tmp_path, "keys", "revoke", "--cascade", boss).stderr
    assert f"{boss} was revoked before\nrevoked 1 key created with it\n" in again


@pytest.mark.parametrize("option", ["--name", "--owner"])
def test_a_name_with_a_line_feed_is_refused(tmp_path: Path, option: str) -> None:
    given = [*CREATE, option, "a\nb"] if option == "--owner" else ["keys", "create", option, "a\nb"]
    given += [] if option == "--owner" else [*CREATE[4:]]
    refused = run(tmp_path, *given)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "control characters" in refused.stderr
    assert listed(tmp_path) == []


def test_json_has_the_names_of_the_api(tmp_path: Path) -> None:
    made = json.loads(run(tmp_path, *CREATE, "--json").stdout)
    assert re.fullmatch(r"sl_[A-Za-z0-9]{43}", made.pop("key"))
    assert made["created_by"] == "cli"
    assert listed(tmp_path) == [made]
    assert set(made) == set(KeyReadRes().fields)


@pytest.mark.parametrize("arguments", [("list",), ("revoke", "x")])
def test_without_a_store_there_are_no_keys_and_none_is_created(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    refused = run(tmp_path, "keys", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "scoreline: there is no store at" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scope", ["", "acme", "/x", "acme/", "a/b/c", "*/x"])
def test_a_scope_that_means_nothing_is_refused(tmp_path: Path, scope: str) -> None:
    refused = run(tmp_path, "keys", "create", "--name", "x", "--role", "read", "--scope", scope)
    assert refused.returncode == 2
    assert (
        refused.stderr == f"scoreline: scope must be entity/project, entity/* or *, not {scope!r}\n"
    )


def test_wrong_use_and_wrong_settings_are_code_2(tmp_path: Path) -> None:
    assert run(tmp_path, "keys", "create").returncode == 2
    assert run(tmp_path, "nonsense").returncode == 2
    wrong = run(tmp_path, "keys", "list", SCORELINE_STORE="nonsense")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("scoreline: SCORELINE_STORE must be")


CREATE = ("keys", "create", "--name", "ci", "--role", "create", "--scope", "acme/*")


def listed(directory: Path) -> list[dict[str, str | None]]:
    shown = run(directory, "keys", "list", "--json")
    return [json.loads(line) for line in shown.stdout.splitlines()]


def test_a_key_may_be_given_an_end(tmp_path: Path) -> None:
    assert run(tmp_path, *CREATE, "--expires-at", "2999-01-01T01:00:00+01:00").returncode == 0
    before = datetime.now(UTC)
    assert run(tmp_path, *CREATE, "--expires-in", "90d").returncode == 0
    assert run(tmp_path, *CREATE).returncode == 0
    at, after, never = [key["expires_at"] for key in listed(tmp_path)]
    assert (at, never) == ("2999-01-01T00:00:00.000Z", None)
    assert after is not None
    end = before + timedelta(days=90)
    assert end - timedelta(seconds=1) <= datetime.fromisoformat(after)
    assert datetime.fromisoformat(after) <= datetime.now(UTC) + timedelta(days=90)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--expires-at", "2026-01-01T00:00:00Z"], "a key must expire in the future"),
        (["--expires-at", "2999-01-01T00:00:00"], "no time zone; add Z for UTC"),
        (["--expires-at", "soon"], "input is too short"),
        (["--expires-in", "0d"], "must be a whole number followed by m, h, d or w, such as 90d"),
        (["--expires-in", "1y"], "such as 90d"),
        (["--expires-in", "1d", "--expires-at", "2999-01-01T00:00Z"], "cannot be used together"),
    ],
)
def test_an_end_that_means_nothing_is_refused(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    refused = run(tmp_path, *CREATE, *arguments)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert listed(tmp_path) == []


def test_a_scope_that_is_none_is_refused_with_a_far_end(tmp_path: Path) -> None:
    refused = run(tmp_path, *CREATE[:-1], "acme", "--expires-in", "99999w")
    assert refused.returncode == 2
    assert "scope must be entity/project" in refused.stderr
    assert listed(tmp_path) == []


def test_the_last_use_of_a_key_is_listed(tmp_path: Path) -> None:
    created = run(tmp_path, *CREATE)
    assert run(tmp_path, "keys", "list").stdout.split()[5:10] == [
        "created_at",
        "created_by",
        "expires_at",
        "last_used_at",
        "revoked_at",
    ]
    with running(tmp_path, f"sqlite:///{tmp_path}/var/scoreline.db") as service:
        score = {"prediction_id": "p", "scorer": "s", "value": 1}
        secret = created.stdout.strip()
        assert service.post("/v2/acme/demo/scores", score, key=secret).status == 200
        assert service.stop() == 0
    (key,) = listed(tmp_path)
    assert key["last_used_at"] is not None
    assert datetime.fromisoformat(key["last_used_at"]) <= datetime.now(UTC)


def audit_lines(ended: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]


def test_changes_by_command_are_audited_on_stderr_whatever_the_level(tmp_path: Path) -> None:
    created = run(tmp_path, *CREATE, SCORELINE_LOG_LEVEL="error")
    assert len(created.stdout.splitlines()) == 1
    (key,) = listed(tmp_path)
    key_id = str(key["key_id"])
    revoked = run(tmp_path, "keys", "revoke", key_id, SCORELINE_LOG_LEVEL="error")
    again = run(tmp_path, "keys", "revoke", key_id)
    assert (revoked.stdout, audit_lines(again)) == ("", [])
    for ended, action in ((created, "key.create"), (revoked, "key.revoke")):
        (line,) = audit_lines(ended)
        assert line["logger"] == "scoreline.audit"
        assert (line["action"], line["by_key_id"], line["by_owner"]) == (action, "cli", "cli")
        assert (line["key_id"], line["name"], line["scope"]) == (key_id, "ci", "acme/*")
    assert created.stdout.strip() not in created.stderr


def test_a_held_lock_stops_writes_in_seconds_and_reads_not_at_all(tmp_path: Path) -> None:
    assert run(tmp_path, *CREATE).returncode == 0
    with (tmp_path / "var" / "scoreline.db.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert len(listed(tmp_path)) == 1
        refused = run(tmp_path, *CREATE)
        assert (refused.returncode, refused.stdout) == (3, "")
        assert "another program holds" in refused.stderr
