"""The releases in requirements.lock have no known vulnerabilities."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.processes import ROOT

pytestmark = [
    pytest.mark.attack,
    pytest.mark.skipif(
        not find_spec("pip_audit"),
        reason="pip-audit is not installed (pip install '.[attack]')",
    ),
]


def test_the_pinned_releases_have_no_known_vulnerabilities() -> None:
    audit = [sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "requirements.lock")]
    options = ["--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    run = subprocess.run([*audit, *options], capture_output=True, text=True, check=False)
    if not run.stdout.startswith("{"):
        pytest.skip(f"the index cannot be asked: {run.stderr.strip().splitlines()[-1][:200]}")
    dependencies = json.loads(run.stdout)["dependencies"]
    # For pip-audit, an index without a release is the same as one without vulnerabilities of it.
    unasked = [each["skip_reason"] for each in dependencies if "skip_reason" in each]
    known = {each["name"]: each["vulns"] for each in dependencies if each.get("vulns")}
    assert not known, json.dumps(known, indent=1)
    if unasked:
        pytest.skip(f"{len(unasked)} of {len(dependencies)} were not audited: {unasked[0]}")
