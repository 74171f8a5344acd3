"""The README and the documents agree with the code."""

from __future__ import annotations

import re

from config.settings import SETTINGS
from tests.processes import ROOT

README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")]


def test_the_documented_settings_are_the_settings() -> None:
    wanted = [
        f"| `{s.name}` | {f'`{s.default}`' if s.default else 'none'} | {s.meaning} |"
        for s in SETTINGS
    ]
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert re.findall(r"^\| `[A-Z_]+` \| .* \|$", text, re.MULTILINE) == wanted


def test_the_curl_command_is_the_one_that_the_first_start_prints() -> None:
    from app.startup import _welcome
    from config.settings import read_settings

    (shown,) = re.findall(r"```sh\n(curl .*?)```", README, re.DOTALL)
    printed = _welcome(read_settings({}))
    assert shown.split() == printed[printed.index("curl") :].split()


def test_links_between_documents_work() -> None:
    for document in DOCUMENTS:
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8")):
            assert link.startswith("http") or (document.parent / link).exists(), (document, link)
