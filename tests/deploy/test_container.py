"""deploy/Containerfile, as far as it can be tested without building it."""

from __future__ import annotations

import re

from config.settings import read_settings
from tests.processes import ROOT

TEXT = (ROOT / "deploy" / "Containerfile").read_text("utf-8")
FINAL = TEXT.rpartition("\nFROM ")[2]


def test_the_final_image_runs_as_its_own_user_and_builds_nothing() -> None:
    (user,) = re.findall(r"^USER (.+)$", FINAL, re.MULTILINE)
    assert int(user) > 0
    assert not re.search(r"pip|apt|gcc|COPY (?!--from=build)", FINAL)


def test_the_copied_files_exist_and_include_no_store_or_key() -> None:
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert source not in (".", "var")


def test_its_settings_are_valid() -> None:
    settings = read_settings(dict(re.findall(r"^ENV (\w+)=(.+)$", FINAL, re.MULTILINE)))
    assert settings.host == "0.0.0.0"
    (volume,) = re.findall(r"^VOLUME (.+)$", FINAL, re.MULTILINE)
    assert settings.store.startswith(f"sqlite:///{volume}/")
    assert settings.admin_key_file.startswith(f"{volume}/")
