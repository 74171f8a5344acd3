"""Scorers' calls and feedback on predictions of the v2 routes are scores of these."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.processes import Service

SCORER = "weave:///acme/demo/object/exact:d"


class Judged:
    """A new project with a prediction in a run and one in none, which came by the v2 routes."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.project_id = f"acme/p{uuid4().hex}"
        self.base = f"/v2/{self.project_id}"
        run = {"evaluation": "e", "model": "m"}
        self.run = self.post(f"{self.base}/evaluation_runs", run)["evaluation_run_id"]
        given = {"model": "m", "inputs": {"q": 1}, "output": "a"}
        made = {**given, "evaluation_run_id": self.run}
        self.prediction = self.post(f"{self.base}/predictions", made)["prediction_id"]
        self.loose = self.post(f"{self.base}/predictions", given)["prediction_id"]
        read = self.post("/call/read", {"project_id": self.project_id, "id": self.prediction})
        self.outer = read["call"]["parent_id"]

    def post(self, path: str, content: Any) -> Any:
        answer = self.service.post(path, content)
        assert answer.status == 200, answer.body
        return answer.json

    def scores(self) -> list[tuple[Any, ...]]:
        lines = self.service.send("GET", f"{self.base}/scores").body.splitlines()
        found = [json.loads(line) for line in lines]
        names = ("evaluation_run_id", "prediction_id", "scorer", "value")
        return [tuple(each[name] for name in names) for each in found]

    def call(self, output: Any, call_id: str = "", *, marked: bool = True, **more: Any) -> str:
        """Send the call of a scorer in the prediction, and return its id."""
        call = {
            "project_id": self.project_id,
            "id": call_id or uuid4().hex,
            "trace_id": self.run,
            "parent_id": self.outer,
            "op_name": "Exact.score",
            "started_at": "2026-01-01T00:00:00Z",
            "ended_at": "2026-01-01T00:00:01Z",
            "attributes": {"weave": {"score": "true", "scorer": SCORER}} if marked else {},
            "inputs": {"self": SCORER},
            "output": output,
            "summary": {},
            **more,
        }
        self.post(f"{self.base}/calls/complete", {"batch": [call]})
        return str(call["id"])

    def feedback(self, call_id: str, value: Any, **more: Any) -> str:
        """Send the annotation of a call, and return its id."""
        sent = {
            "project_id": self.project_id,
            "weave_ref": f"weave:///{self.project_id}/call/{call_id}",
            "feedback_type": "wandb.annotation.quality",
            "payload": {"value": value},
            "creator": "ann",
            **more,
        }
        created: str = self.post("/feedback/create", sent)["id"]
        return created

    def waiting(self) -> int:
        """Return how much feedback in the project waits for its call."""
        lines = self.service.send("GET", "/v1/projects").body.splitlines()
        projects = {f"acme/{each['project']}": each for each in map(json.loads, lines)}
        waiting: int = projects[self.project_id]["waiting_feedback"]
        return waiting


@pytest.fixture
def judged(any_service: Service) -> Judged:
    return Judged(any_service)


def test_a_scorers_call_in_a_prediction_is_a_score_of_it(judged: Judged) -> None:
    call_id = judged.call({"passed": True})
    score = (judged.run, judged.prediction, SCORER, {"passed": True})
    assert judged.scores() == [score]
    judged.call({"passed": True}, call_id)
    assert judged.scores() == [score]
    judged.call({"passed": False})
    assert judged.scores()[1:] == [(judged.run, judged.prediction, SCORER, {"passed": False})]
    wanted = {"evaluation_run_ids": [judged.run]}
    (row,) = judged.post(f"{judged.base}/eval_results/query", wanted)["rows"]
    assert row["evaluations"][0]["trials"][0]["scores"] == {"exact": {"passed": False}}


def test_a_scorers_call_that_failed_is_a_failed_score(judged: Judged) -> None:
    judged.call(None, exception="ValueError: no")
    assert judged.scores() == [(judged.run, judged.prediction, SCORER, None)]


def test_a_call_that_is_not_marked_as_a_score_is_none(judged: Judged) -> None:
    judged.call({"passed": True}, marked=False)
    assert judged.scores() == []


def test_a_scorers_call_is_deleted_with_its_score(judged: Judged) -> None:
    call_id = judged.call(1)
    body = {"project_id": judged.project_id, "call_ids": [call_id]}
    assert judged.post("/calls/delete", body) == {"num_deleted": 1}
    assert judged.scores() == []


def test_feedback_on_a_prediction_is_a_score_of_it(judged: Judged) -> None:
    first = judged.feedback(judged.prediction, 4)
    judged.feedback(judged.loose, 5)
    in_run = (judged.run, judged.prediction, "quality", 4)
    in_none = (None, judged.loose, "quality", 5)
    assert judged.scores() == [in_run, in_none]
    assert judged.waiting() == 0
    query = {"$expr": {"$eq": [{"$getField": "id"}, {"$literal": first}]}}
    judged.post("/feedback/purge", {"project_id": judged.project_id, "query": query})
    assert judged.scores() == [in_none]


def test_a_call_that_is_marked_as_a_prediction_is_one_outside_of_runs(judged: Judged) -> None:
    call = {
        "project_id": judged.project_id,
        "id": uuid4().hex,
        "trace_id": "t",
        "op_name": "predict",
        "started_at": "2026-01-01T00:00:00Z",
        "attributes": {"weave": {"prediction": True, "model": "M"}},
        "inputs": {"inputs": None},
    }
    path = f"{judged.base}/predictions/{call['id']}"
    judged.post(f"{judged.base}/call/start", {"start": call})
    assert judged.service.send("GET", path).json["output"] is None
    end = {name: call[name] for name in ("project_id", "id")} | {"output": "o"}
    judged.post(f"{judged.base}/call/end", {"end": {**end, "ended_at": "2026-01-01T00:00:01Z"}})
    found = judged.service.send("GET", path).json
    names = ("model", "inputs", "output", "evaluation_run_id")
    assert [found[name] for name in names] == ["M", {}, "o", None]
    place = {"project_id": judged.project_id}
    assert judged.post("/calls/query_stats", place)["count"] == 5
    judged.feedback(str(call["id"]), 3)
    assert judged.scores() == [(None, call["id"], "quality", 3)]
    listed = f"{judged.base}/predictions?prediction_ids={call['id']}"
    assert judged.service.send("DELETE", listed).json == {"num_deleted": 1}
    assert judged.scores() == []
    assert judged.post("/call/read", {**place, "id": call["id"]}) == {"call": None}


def test_feedback_wins_over_the_call_that_it_names(judged: Judged) -> None:
    call_id = judged.call(1)
    more = {
        "feedback_type": "wandb.runnable.exact",
        "payload": {"output": 2},
        "runnable_ref": SCORER,
        "call_ref": f"weave:///{judged.project_id}/call/{call_id}",
    }
    sent = judged.feedback(judged.prediction, None, **more)
    assert [score[-1] for score in judged.scores()] == [1, 2]
    query = {"$expr": {"$eq": [{"$getField": "id"}, {"$literal": sent}]}}
    judged.post("/feedback/purge", {"project_id": judged.project_id, "query": query})
    assert [score[-1] for score in judged.scores()] == [1]


def test_a_prediction_is_deleted_with_its_scorers_calls_and_feedback(judged: Judged) -> None:
    call_id = judged.call(1)
    judged.feedback(judged.prediction, 4)
    path = f"{judged.base}/predictions?prediction_ids={judged.prediction}"
    assert judged.service.send("DELETE", path).json == {"num_deleted": 1}
    assert judged.scores() == []
    place = {"project_id": judged.project_id}
    assert judged.post("/call/read", {**place, "id": call_id}) == {"call": None}
    assert judged.post("/feedback/query", place)["result"] == []
