"""Calls and feedback that the `weave` package, unchanged, sent and reads back."""

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

PROGRAM = Path(__file__).parent / "programs" / "reading_calls.py"
RUNNABLE = ["wandb.runnable.exact", "wandb.runnable.strict"]


def test_what_a_program_evaluates_it_reads_back(any_service: Service, tmp_path: Path) -> None:
    environ = {
        **environment(),
        "WANDB_BASE_URL": any_service.url,
        "WANDB_API_KEY": any_service.key,
        "WANDB_ERROR_REPORTING": "false",
        "WEAVE_USE_SERVER_CACHE": "false",
        "WEAVE_PRINT_CALL_LINK": "false",
        "no_proxy": "*",
    }
    command = [sys.executable, str(PROGRAM), f"acme/c{uuid4().hex}"]
    ended = subprocess.run(
        command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert "missing" in found.pop("missing")
    assert found == {
        "length": 14,
        "pages": 14,
        "status": "descendant_error",
        "children": [*["Evaluation.predict_and_score"] * 3, "Evaluation.summarize"],
        "outputs": [0, 2, 4],
        "in calls": RUNNABLE,
        "feedback": ["wandb.note.1", "wandb.reaction.1", *RUNNABLE],
        "reaction": 1,
        "scored by": 3,
        "true": 2,
        "first": True,
        "evaluations": [True],
        "scores": {"true": {"exact": ["False", "True", "True"], "strict": ["1", "1", "None"]}},
    }
