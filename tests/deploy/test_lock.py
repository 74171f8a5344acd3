"""The lock files are complete, have hashes, and are within the ranges of setup.cfg."""

from __future__ import annotations

import configparser
import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.processes import ROOT

LOCK = ROOT / "requirements.lock"
MINIMAL = ROOT / "tests" / "minimal.lock"
LOCKS = pytest.mark.parametrize("lock", [LOCK, MINIMAL], ids=lambda path: path.name)


def stated() -> dict[str, Requirement]:
    """Return the requirements of setup.cfg by name."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["options"]["install_requires"].split("\n")
    return {canonicalize_name(found.name): found for found in map(Requirement, filter(None, lines))}


def pinned(lock: Path) -> dict[str, Version]:
    """Return the releases in `lock` by name, except for those for other platforms."""
    releases: dict[str, Version] = {}
    for line in re.findall(r"^[a-z].*==.*?(?= \\$)", lock.read_text(), re.MULTILINE):
        requirement = Requirement(line)
        (only,) = requirement.specifier
        if requirement.marker is None or requirement.marker.evaluate():
            releases[canonicalize_name(requirement.name)] = Version(only.version)
    return releases


@LOCKS
def test_the_locked_releases_are_within_the_ranges_of_setup_cfg(lock: Path) -> None:
    releases = pinned(lock)
    for name, requirement in stated().items():
        assert releases[name] in requirement.specifier, requirement


def test_the_minimal_lock_has_the_lowest_releases_of_setup_cfg() -> None:
    releases = pinned(MINIMAL)
    for name, requirement in stated().items():
        least = [part.version for part in requirement.specifier if part.operator == ">="]
        assert [releases[name]] == [Version(version) for version in least], requirement


@LOCKS
def test_a_lock_is_complete(lock: Path) -> None:
    releases = pinned(lock)
    for name in releases:
        for needed in map(Requirement, requires(name) or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in releases, f"{name} needs {needed}"


@LOCKS
def test_every_release_has_hashes_and_no_index(lock: Path) -> None:
    text = lock.read_text()
    releases = re.findall(
        r"^[a-z][^\n]*==(?:.*\\\n)(?:    --hash=sha256:[0-9a-f]{64}.*\n)+", text, re.M
    )
    assert len(releases) == len(re.findall(r"^[^ #\n]", text, re.MULTILINE)) > 10
    assert "://" not in text
    assert "--index" not in text
