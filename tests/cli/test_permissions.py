"""Commands that may not read or write the store's files say so, and as which user."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.stores.checks import FAIL, WARN
from tests.cli.people import as_another_user
from tests.cli.test_store import a_store


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory with a store and a backup, and a read-only and a closed directory."""
    a_store(tmp_path / "s.db")
    for name, mode in (("readonly", 0o555), ("closed", 0o000)):
        inner = tmp_path / name
        inner.mkdir()
        (inner / "s.db").write_bytes((tmp_path / "s.db").read_bytes())
        (inner / "s.db").chmod(0o644)
        (inner / "admin.key").write_text("sl_key")
        inner.chmod(mode)
    (tmp_path / "s.db").chmod(0o644)
    (tmp_path / "unreadable.db").write_bytes((tmp_path / "s.db").read_bytes())
    (tmp_path / "unreadable.db").chmod(0o000)
    yield tmp_path
    (tmp_path / "closed").chmod(0o700)
    (tmp_path / "readonly").chmod(0o700)


@pytest.mark.parametrize(
    ("store", "arguments", "named"),
    [
        ("s.db", "store backup readonly/b.db", "readonly/b.db.partial"),
        ("s.db", "store backup closed/b.db", "closed/b.db"),
        ("unreadable.db", "store backup b.db", "b.db"),
        ("closed/s.db", "store backup b.db", "b.db"),
        ("readonly/s.db", "store backup b.db", "b.db"),
        ("readonly/new.db", "store restore readonly/s.db", "readonly/"),
        ("s.db", "store copy sqlite:///unreadable.db sqlite:///t.db", "unreadable.db"),
        ("s.db", "store copy sqlite:///s.db sqlite:///readonly/t.db", "s.db"),
        ("unreadable.db", "keys list", "unreadable.db"),
        ("closed/s.db", "keys list", "closed/s.db"),
        ("readonly/new.db", "keys list", "readonly/new.db"),
    ],
)
def test_a_file_that_may_not_be_used_is_code_2_and_one_sentence(
    directory: Path, store: str, arguments: str, named: str
) -> None:
    ended = as_another_user(directory, *arguments.split(), SCORELINE_STORE=f"sqlite:///{store}")
    last = ended.stderr.splitlines()[-1]
    assert (ended.returncode, last[:11]) == (2, "scoreline: "), ended.stderr
    assert named in last
    assert "Errno" not in last
    assert not list(directory.glob("*.partial"))


@pytest.mark.parametrize("store", ["unreadable.db", "closed/s.db", "readonly/s.db"])
def test_the_doctor_says_as_which_user_it_cannot_read_the_store(
    directory: Path, store: str
) -> None:
    ended = as_another_user(directory, "doctor", "--json", SCORELINE_STORE=f"sqlite:///{store}")
    found = {each["check"]: each for each in map(json.loads, ended.stdout.splitlines())}
    assert (ended.returncode, ended.stderr) == (1, "")
    assert found["store"]["verdict"] == FAIL
    assert re.search(rf"{store} cannot be used by the user \w+: ", found["store"]["says"])
    assert "as the user of the service" in found["store"]["advice"]
    assert {"disk", "file system", "admin key"} <= set(found)


def test_the_doctor_goes_on_when_the_administrators_key_cannot_be_read(directory: Path) -> None:
    for store in ("s.db", "closed/s.db"):
        ended = as_another_user(
            directory,
            *["doctor", "--json"],
            SCORELINE_STORE=f"sqlite:///{store}",
            SCORELINE_ADMIN_KEY_FILE="closed/admin.key",
        )
        key = json.loads(ended.stdout.splitlines()[-1])
        assert (key["check"], key["verdict"], ended.stderr) == ("admin key", WARN, "")
        assert re.search(r"closed/admin.key cannot be read by the user \w+: ", key["says"])
