"""Objects that the `weave` package, unchanged, published and reads back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.interop import client as official
from tests.processes import Service, environment

if official.is_missing:
    pytest.skip(official.MISSING, allow_module_level=True)

PROGRAM = Path(__file__).with_name("reading_program.py")


def test_what_a_program_publishes_it_reads_back(any_service: Service, tmp_path: Path) -> None:
    environ = {
        **environment(),
        "WANDB_BASE_URL": any_service.url,
        "WANDB_API_KEY": any_service.key,
        "WANDB_ERROR_REPORTING": "false",
        "WEAVE_USE_SERVER_CACHE": "false",
        "WEAVE_PRINT_CALL_LINK": "false",
        "no_proxy": "*",
    }
    command = [sys.executable, str(PROGRAM), f"acme/r{uuid4().hex}"]
    ended = subprocess.run(
        command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    missing = found.pop("missing")
    assert "missing" in missing
    assert found == {
        "rows": [{"q": number, "expected": 2 * number} for number in range(3)],
        "length": 3,
        "row": {"q": 1, "expected": 2},
        "latest": [
            *({"q": number, "expected": 2 * number} for number in range(3)),
            {"q": 4, "expected": 8},
        ],
        "changed": 4,
        "prompt": "Say hi",
        "messages": [{"role": "user", "content": "hi"}],
        "plain": {"a": [1, {"b": None}], "big": 2**70},
        "model": 3,
        "op": True,
        "scorers": 1,
        "summary": {"true_count": 3, "true_fraction": 1.0},
    }
