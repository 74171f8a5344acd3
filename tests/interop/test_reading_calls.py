"""Calls and feedback that the `weave` package, unchanged, sent and reads back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
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
        "outputs of exact": [False, True, True],
        "evaluations": [True],
        "scores": {"true": {"exact": ["False", "True", "True"], "strict": ["1", "1", "None"]}},
    }


def test_a_run_that_came_by_the_v2_routes_is_read(any_service: Service, tmp_path: Path) -> None:
    project = f"acme/v{uuid4().hex}"

    def create(path: str, **body: Any) -> str:
        answer = any_service.post(f"/v2/{project}/{path}", body)
        assert answer.status == 200, answer.body
        return str(list(json.loads(answer.body).values())[-1])

    scorer = create("scorers", name="exact", op_source_code="def score(output):\n    return True")
    model = create("models", name="doubler", source_code="class M: pass")
    run = create("evaluation_runs", evaluation="e", model=model, name="nightly")
    in_run = {"evaluation_run_id": run}
    prediction = create("predictions", model=model, inputs={"q": 2}, output=4, **in_run)
    create("scores", prediction_id=prediction, scorer=scorer, value=True, reason="r", **in_run)
    create(f"evaluation_runs/{run}/finish", summary={"exact": 1.0})
    assert official.read_back("reading_views.py", any_service, project, tmp_path) == {
        "length": 5,
        "pages": 5,
        "run": ["nightly", {"exact": 1.0}, "success"],
        "trace": 5,
        "names": [
            *("Evaluation.evaluate", "Evaluation.predict_and_score"),
            *("doubler.predict", "exact.score"),
        ],
        "outer": [{"q": 2}, {"output": 4, "scores": {"exact": True}, "model_latency": None}],
        "outputs": [{"q": 2}, 4, True],
        "feedback": [["wandb.runnable.exact", {"output": True, "reason": "r"}]],
        "in call": ["wandb.runnable.exact"],
        "scored by": [True],
    }
