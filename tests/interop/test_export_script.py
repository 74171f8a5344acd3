"""The calls of the script in Weave's documentation that exports evaluations, on a real service.

Weave's guide "Export evaluation data" makes them with `requests`; only its base address and its
names of entity and project differ here.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from tests.interop import client as official
from tests.processes import Service

if official.is_missing:
    pytest.skip(official.MISSING, allow_module_level=True)

import requests  # Weave depends on it.

INPUTS = [{"question": "2 + 2"}, {"question": "3 + 3"}]


@pytest.fixture
def base(any_service: Service, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of a new project, which has one run with two predictions."""
    monkeypatch.setenv("no_proxy", "*")
    project = f"/v2/my-team/{secrets.token_hex(8)}"

    def create(path: str, **body: Any) -> str:
        (new,) = any_service.post(f"{project}/{path}", body).json.values()
        return str(new)

    run = {"evaluation_run_id": create("evaluation_runs", evaluation="e", model="m")}
    for inputs, right in zip(INPUTS, (True, False), strict=True):
        on = create("predictions", model="m", inputs=inputs, output=[4], **run)
        for scorer, value in (("correct", right), ("length", {"words": 3})):
            create("scores", prediction_id=on, scorer=scorer, value=value, **run)
    finish = f"{project}/evaluation_runs/{run['evaluation_run_id']}/finish"
    assert any_service.send("POST", finish).status == 200
    return any_service.url + project


def test_an_evaluation_is_exported_as_weave_documents_it(base: str, any_service: Service) -> None:
    auth = ("api", any_service.key)

    listed = requests.get(f"{base}/evaluation_runs", auth=auth, timeout=30)
    (run,) = [json.loads(line) for line in listed.text.strip().splitlines()]
    run_id = run["evaluation_run_id"]
    assert run["status"] == "completed"

    read = requests.get(f"{base}/evaluation_runs/{run_id}", auth=auth, timeout=30).json()
    assert (read["evaluation_run_id"], read["status"], read["model"]) == (run_id, "completed", "m")

    wanted = {
        "evaluation_run_ids": [run_id],
        "include_rows": True,
        "include_raw_data_rows": True,
        "resolve_row_refs": True,
    }
    query = f"{base}/eval_results/query"
    rows = requests.post(query, json=wanted, auth=auth, timeout=30).json()["rows"]
    trials = [(row, trial) for row in rows for ev in row["evaluations"] for trial in ev["trials"]]
    found = {
        row["raw_data_row"]["question"]: (trial["model_output"], trial["scores"])
        for row, trial in trials
    }
    assert found == {
        "2 + 2": ([4], {"correct": True, "length": {"words": 3}}),
        "3 + 3": ([4], {"correct": False, "length": {"words": 3}}),
    }

    only_summary = {"evaluation_run_ids": [run_id], "include_summary": True, "include_rows": False}
    summary = requests.post(query, json=only_summary, auth=auth, timeout=30).json()["summary"]
    assert [
        (stat["scorer_key"], stat["value_type"], stat["pass_rate"] or stat["numeric_mean"])
        for ev in summary["evaluations"]
        for stat in ev["scorer_stats"]
    ] == [("correct", "binary", 0.5), ("length", "continuous", 3.0)]

    prediction_id = trials[0][1]["predict_call_id"]
    prediction = requests.get(f"{base}/predictions/{prediction_id}", auth=auth, timeout=30).json()
    assert prediction["inputs"] == trials[0][0]["raw_data_row"]
    assert (prediction["output"], prediction["model"]) == ([4], "m")
