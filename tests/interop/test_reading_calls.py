"""Calls and feedback that the `weave` package, unchanged, sent and reads back."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from tests.interop import client as official
from tests.processes import Service

if official.is_missing:
    pytest.skip(official.MISSING, allow_module_level=True)

RUNNABLE = ["wandb.runnable.exact", "wandb.runnable.strict"]


def test_what_a_program_evaluates_it_reads_back(any_service: Service, tmp_path: Path) -> None:
    found = official.read_back("reading_calls.py", any_service, f"acme/c{uuid4().hex}", tmp_path)
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
