"""A running service does what `/openapi.json` says, according to schemathesis.

SCORELINE_TEST_CASES is the minimum number of cases on each engine, and SCORELINE_TEST_SEED their
seed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.processes import ROOT, Service

pytestmark = [
    pytest.mark.attack,
    pytest.mark.skipif(
        not find_spec("schemathesis"),
        reason="schemathesis is not installed (pip install '.[attack]')",
    ),
]

CASES = int(os.environ.get("SCORELINE_TEST_CASES", "200"))
SEED = os.environ.get("SCORELINE_TEST_SEED", "1")
OPERATIONS = 7
"""The minimum number of operations; the cases are distributed among them."""


def test_the_service_conforms_to_its_openapi_document(target: Service) -> None:
    program = [sys.executable, "-m", "schemathesis.cli"]
    program += ["--config-file", str(ROOT / "schemathesis.toml")]
    options = ["--continue-on-failure", "--no-color", "--seed", SEED]
    options += ["--max-examples", str(-(-CASES // OPERATIONS)), "--request-timeout", "60"]
    options += ["--header", f"Authorization: Bearer {target.key}"]
    run = subprocess.run(
        [*program, "run", f"{target.url}/openapi.json", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Schema validation skipped" not in run.stdout, run.stdout
    generated = re.search(r"(\d+) generated", run.stdout)
    assert generated, run.stdout
    assert int(generated[1]) >= CASES
    print(f"{generated[0]} with seed {SEED}")
