"""The command line, as processes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.processes import command, environment


def run(directory: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environ = environment(**settings)
    return subprocess.run(
        command(*arguments),
        check=False,
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize("command_", [(), ("serve",), ("keys",), ("keys", "create")])
def test_help_explains_every_command(tmp_path: Path, command_: tuple[str, ...]) -> None:
    shown = run(tmp_path, *command_, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith("Usage: scoreline")
    for line in shown.stdout.partition("Commands:")[2].splitlines():
        assert line == "" or not line.startswith("  ") or len(line.split(maxsplit=1)) == 2, line


def test_a_created_key_is_printed_once_alone_on_stdout(tmp_path: Path) -> None:
    created = run(
        tmp_path, "keys", "create", "--name", "ci", "--role", "create", "--scope", "acme/*"
    )
    assert created.returncode == 0, created.stderr
    secret = created.stdout.strip()
    assert re.fullmatch(r"sl_[\w-]{43}", secret)
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
    assert header.split()[:3] == ["id", "name", "role"]
    key_id = row.split()[0]
    assert run(tmp_path, "keys", "revoke", key_id).returncode == 0
    again = run(tmp_path, "keys", "revoke", key_id)
    assert (again.returncode, again.stderr) == (1, f"scoreline: no key {key_id} is in use\n")


def test_an_empty_list_of_keys_prints_nothing(tmp_path: Path) -> None:
    listed = run(tmp_path, "keys", "list")
    assert (listed.returncode, listed.stdout) == (0, "")


@pytest.mark.parametrize("scope", ["", "acme", "/x", "acme/", "a/b/c", "*/x"])
def test_a_scope_that_means_nothing_is_refused(tmp_path: Path, scope: str) -> None:
    refused = run(tmp_path, "keys", "create", "--name", "x", "--role", "read", "--scope", scope)
    assert refused.returncode == 2
    assert refused.stderr == f"scoreline: a scope is entity/project, entity/* or *, not {scope!r}\n"


def test_wrong_use_and_wrong_settings_are_code_2(tmp_path: Path) -> None:
    assert run(tmp_path, "keys", "create").returncode == 2
    assert run(tmp_path, "nonsense").returncode == 2
    wrong = run(tmp_path, "keys", "list", SCORELINE_STORE="nonsense")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("scoreline: SCORELINE_STORE must be")
