"""Runs, predictions and scores that came by the v2 routes are read as calls and feedback."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.golden import golden_rows
from tests.processes import Service
from tests.weave.test_reading_calls import NOT_COMPARED, Project, comparable
from tests.weave.test_recordings import RECORDED, requests_of, send

EVALUATION = "weave:///acme/v2/object/ev:XKnVnMI7JYYAMwxAXxYtiPSrFI0ykw7tmXphB3dTUBg"
MODEL = "weave:///acme/v2/object/mod:vItcgyCWYNd5VBPz5AXdlXl6J6AvvjiTHD3ugU0JWh4"
SCORER = "weave:///acme/v2/object/acc:R0vnQsoDWx21ig9dZQgjfKSEGDueFDpYa38wgo9z63U"
TIMES = {"started_at", "ended_at", "created_at", "latency_ms"}
OP = f"weave:///{RECORDED}/op"


class Evaluated(Project):
    """A project with a run of one prediction and one score, and what belongs to no run."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        run = {"evaluation": EVALUATION, "model": MODEL}
        self.run = self.create("evaluation_runs", run)
        prediction = {"model": MODEL, "inputs": {"q": 1, "expected": 2}, "output": 1}
        self.prediction = self.create("predictions", {**prediction, "evaluation_run_id": self.run})
        self.score = self.judge(self.prediction, value=False, evaluation_run_id=self.run)
        self.create(f"predictions/{self.prediction}/finish", {})
        self.create(f"evaluation_runs/{self.run}/finish", {"summary": {"a": 1}})
        loose = {"model": "m", "inputs": {"q": 9}, "output": {"x": 1}}
        self.loose = self.create("predictions", loose)
        self.loose_score = self.judge(self.loose, value=0.5)
        self.again = self.create("evaluation_runs", {**run, "source_evaluation_run_id": self.run})
        (self.outer,) = self.ids(filter={"op_names": [f"{OP}/Evaluation.predict_and_score:*"]})

    def create(self, path: str, body: dict[str, Any]) -> str:
        """Send a body to one of the v2 routes, and return the id in the answer."""
        answer = self.service.post(f"/v2/{self.project_id}/{path}", body)
        assert answer.status == 200, answer.body
        return str(next(iter(json.loads(answer.body).values())))

    def judge(self, prediction_id: str, **fields: Any) -> str:
        """Create a score of a prediction."""
        return self.create("scores", {"prediction_id": prediction_id, "scorer": SCORER, **fields})

    @property
    def names(self) -> dict[str, str]:
        """The golden file's names of the ids."""
        ids = (self.run, self.outer, self.prediction, self.score, f"{self.run}:summarize")
        more = (self.loose, self.loose_score, self.again)
        return {each: f"ID{number}" for number, each in enumerate((*ids, *more), 1)}

    def named(self, ids: list[str]) -> list[str]:
        """Return the golden file's names of ids, in order."""
        return sorted(self.names[each] for each in ids)

    def feedback(self, **request: Any) -> list[dict[str, Any]]:
        """Return the feedback of a query."""
        found: list[dict[str, Any]] = self.ask("/feedback/query", request)["result"]
        return found


@pytest.fixture(scope="module", params=["service", "mongodb_service"])
def evaluated(request: pytest.FixtureRequest) -> Evaluated:
    """Return a project with what came by the v2 routes, on each engine in turn."""
    return Evaluated(request.getfixturevalue(request.param))


def equal(name: str, value: Any) -> dict[str, Any]:
    return {"$expr": {"$eq": [{"$getField": name}, {"$literal": value}]}}


def without_times(value: Any) -> Any:
    """Return a value without what differs from one time to the next."""
    if isinstance(value, list):
        return [without_times(each) for each in value]
    if isinstance(value, str) and value.startswith(f"{OP}/"):
        return f"{value.rpartition(':')[0]}:DIGEST"
    if not isinstance(value, dict):
        return value
    left_out = NOT_COMPARED | TIMES
    return {name: without_times(each) for name, each in value.items() if name not in left_out}


def golden(kind: str) -> list[dict[str, Any]]:
    """Return the calls or the feedback that Weave's own server answered."""
    text = json.dumps([row[kind] for row in golden_rows("weave-views.jsonl") if kind in row])
    found = json.loads(
        text.replace('"acme/v2"', f'"{RECORDED}"').replace("acme/v2/op", f"{RECORDED}/op")
    )
    return [without_times(comparable(each)) for each in found]


def test_calls_are_those_of_weaves_server(evaluated: Evaluated) -> None:
    text = json.dumps(evaluated.ask("/calls/stream_query", {}))
    for call_id, name in evaluated.names.items():
        text = text.replace(f'"{call_id}"', f'"{name}"')
    found = {call["id"]: without_times(comparable(call)) for call in json.loads(text)}
    wanted = {call["id"]: call for call in golden("call")}
    for name in ("ID1", "ID5"):
        assert found[name].pop("output") == {"a": 1}  # Weave's server computes means.
        del wanted[name]["output"]
    for name in ("ID1", "ID5", "ID8"):  # Weave's server has the name of the op alone.
        wanted[name]["op_name"] = f"{OP}/{wanted[name]['op_name']}:DIGEST"
    assert wanted["ID3"].pop("output") is None  # There `finish` loses the output.
    assert found["ID3"].pop("output") == 1
    assert wanted["ID2"]["output"].pop("model_latency")
    assert found["ID2"]["output"].pop("model_latency") is None  # No times were sent.
    assert found == wanted


def test_feedback_is_that_of_weaves_server(evaluated: Evaluated) -> None:
    text = json.dumps(evaluated.feedback())
    for call_id, name in evaluated.names.items():
        text = text.replace(f"/call/{call_id}", f"/call/{name}")
    wanted = json.loads(json.dumps(golden("feedback")).replace("acme/v2/call", f"{RECORDED}/call"))
    found = [without_times(comparable(each)) for each in json.loads(text)]
    assert [{**each, "id": None} for each in found] == [{**each, "id": None} for each in wanted]


def test_a_filter_finds_views(evaluated: Evaluated) -> None:
    run, outer = evaluated.run, evaluated.outer
    wanted: list[tuple[dict[str, Any], list[str]]] = [
        ({"parent_ids": [run]}, ["ID2", "ID5"]),
        ({"parent_ids": [outer]}, ["ID3", "ID4"]),
        ({"parent_ids": [run, outer]}, ["ID2", "ID3", "ID4", "ID5"]),
        ({"trace_ids": [run]}, ["ID1", "ID2", "ID3", "ID4", "ID5"]),
        ({"trace_ids": [evaluated.loose, evaluated.loose_score]}, ["ID6", "ID7"]),
        ({"trace_roots_only": True}, ["ID1", "ID6", "ID7", "ID8"]),
        ({"op_names": [f"{OP}/Evaluation.evaluate:*"]}, ["ID1", "ID8"]),
        ({"op_names": [f"{OP}/Evaluation.summarize:*"]}, ["ID5"]),
        ({"op_names": [f"{OP}/Evaluation.predict_and_score:*"]}, ["ID2"]),
        ({"op_names": [f"{OP}/mod.predict:*"]}, ["ID3"]),
        ({"op_names": [f"{OP}/acc.score:*"]}, ["ID4", "ID7"]),
        ({"op_names": [f"{OP}/other.score:*"]}, []),
        ({"input_refs": [SCORER]}, ["ID4", "ID7"]),
        ({"call_ids": [run], "trace_ids": ["other"]}, []),
    ]
    for given, names in wanted:
        assert evaluated.named(evaluated.ids(filter=given)) == names, given
        count = evaluated.ask("/calls/query_stats", {"filter": given})["count"]
        assert count == len(names), given


def test_an_id_finds_its_view(evaluated: Evaluated) -> None:
    for call_id in evaluated.names:
        assert evaluated.ids(filter={"call_ids": [call_id]}) == [call_id]
        assert evaluated.ids(query=equal("id", call_id)) == [call_id]
        found = evaluated.ask("/call/read", {"id": call_id})["call"]
        assert [found] == evaluated.ask("/calls/stream_query", {"query": equal("id", call_id)})
    assert evaluated.ask("/call/read", {"id": "none"}) == {"call": None}


@pytest.mark.parametrize(
    ("name", "value", "names"),
    [
        ("inputs.example.q", 1, ["ID2"]),
        ("output.scores.acc", False, ["ID2"]),
        ("parent_id", None, ["ID1", "ID6", "ID7", "ID8"]),
        ("summary.weave.status", "running", ["ID8"]),
        ("summary.weave.trace_name", "acc.score", ["ID4", "ID7"]),
        ("feedback.[wandb.runnable.acc].payload.output", 0.5, ["ID6"]),
    ],
)
def test_a_condition_is_evaluated_for_views(
    evaluated: Evaluated, name: str, value: Any, names: list[str]
) -> None:
    assert evaluated.named(evaluated.ids(query=equal(name, value))) == names


@pytest.mark.parametrize("field", ["started_at", "op_name", "summary.weave.latency_ms"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_a_page_of_views_is_a_part_of_the_whole(
    evaluated: Evaluated, field: str, direction: str
) -> None:
    order = {"sort_by": [{"field": field, "direction": direction}]}
    whole = evaluated.ids(**order)
    assert evaluated.named(whole) == sorted(evaluated.names.values())
    pages = [evaluated.ids(**order, limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [each for page in pages for each in page] == whole


def test_a_reference_or_an_id_finds_the_feedback_of_a_score(evaluated: Evaluated) -> None:
    ref = f"weave:///{RECORDED}/call/{evaluated.prediction}"
    (found,) = evaluated.feedback(query=equal("weave_ref", ref))
    assert found["payload"] == {"output": False}
    assert evaluated.feedback(query=equal("id", found["id"])) == [found]
    (call,) = evaluated.ask(
        "/calls/stream_query",
        {"filter": {"call_ids": [evaluated.prediction]}, "include_feedback": True},
    )
    assert [each["id"] for each in call["summary"]["weave"]["feedback"]] == [found["id"]]


def test_each_score_is_feedback_and_the_current_ones_are_in_the_output(
    any_service: Service,
) -> None:
    project = Evaluated(any_service)
    project.judge(project.prediction, value=True, evaluation_run_id=project.run, reason="r")
    ref = f"weave:///{RECORDED}/call/{project.prediction}"
    found = project.feedback(query=equal("weave_ref", ref))
    payloads = [{"output": False}, {"output": True, "reason": "r"}]
    assert [each["payload"] for each in found] == payloads
    outer = project.ask("/call/read", {"id": project.outer})["call"]
    assert outer["output"]["scores"] == {"acc": True}


def test_a_human_score_is_an_annotation_and_no_call(any_service: Service) -> None:
    project = Evaluated(any_service)
    before = project.ids()
    score_id = project.judge(project.prediction, value=3, annotator="ann", scorer="style")
    (found,) = project.feedback(query=equal("id", score_id))
    assert (found["feedback_type"], found["payload"]) == ("wandb.annotation.style", {"value": 3})
    assert (found["creator"], found["runnable_ref"]) == ("ann", None)
    assert project.ids() == before


def test_what_failed_has_an_exception(any_service: Service) -> None:
    project = Evaluated(any_service)
    failed = project.judge(project.loose, value=None, error="no judge")
    prediction: dict[str, Any] = {"model": "m", "inputs": {}, "output": None}
    prediction["error"] = "no model"
    model = project.create("predictions", prediction)
    found = project.ask("/calls/stream_query", {"filter": {"call_ids": [failed, model]}})
    assert {call["exception"] for call in found} == {"no judge", "no model"}
    assert {call["summary"]["weave"]["status"] for call in found} == {"error"}


def test_a_prediction_has_the_times_and_the_usage_that_were_sent(any_service: Service) -> None:
    project = Evaluated(any_service)
    body = {
        "model": MODEL,
        "inputs": {"q": 3},
        "output": 5,
        "evaluation_run_id": project.again,
        "started_at": "2026-01-02T03:04:05.000001Z",
        "finished_at": "2026-01-02T03:04:06.500001Z",
        "usage": {"gpt": {"total_tokens": 7}},
        "metadata": {"k": "v"},
    }
    prediction_id = project.create("predictions", body)
    call = project.ask("/call/read", {"id": prediction_id})["call"]
    assert call["started_at"] == body["started_at"]
    assert (call["summary"]["weave"]["latency_ms"], call["summary"]["usage"]) == (
        1500,
        body["usage"],
    )
    assert call["attributes"]["k"] == "v"
    outer = project.ask("/call/read", {"id": call["parent_id"]})["call"]
    assert outer["output"] == {"output": 5, "scores": {}, "model_latency": {"mean": 1.5}}


# What the SDK has sent


@pytest.fixture
def recorded(any_service: Service) -> Project:
    """Return a project with a recorded evaluation, on each engine in turn."""
    project = Project(any_service)
    for path, body in requests_of("evaluation-0.54.0", project.project_id.partition("/")[2]):
        send(any_service, path, body)
    return project


def test_a_score_of_a_sent_prediction_is_feedback_on_its_call(recorded: Project) -> None:
    calls, feedback = recorded.ids(), recorded.ask("/feedback/query", {})["result"]
    assert len(set(calls)) == len(calls)
    assert all(each["call_ref"] for each in feedback if "runnable" in each["feedback_type"])
    (call,) = recorded.ask("/calls/stream_query", {"limit": 1, "query": scored("accuracy")})
    body = {"prediction_id": call["id"], "scorer": SCORER, "value": 7}
    answer = recorded.service.post(f"/v2/{recorded.project_id}/scores", body)
    score_id = json.loads(answer.body)["score_id"]
    assert sorted(recorded.ids()) == sorted([*calls, score_id])
    found = recorded.ask("/feedback/query", {})["result"]
    assert [each["id"] for each in found] == [*(each["id"] for each in feedback), score_id]
    assert recorded.ids(query=scored("acc")) == [call["id"]]


def scored(name: str) -> dict[str, Any]:
    field = {"$getField": f"feedback.[wandb.runnable.{name}].payload.output"}
    return {"$expr": {"$not": [{"$eq": [field, {"$literal": ""}]}]}}


def test_a_score_that_other_feedback_has_superseded_is_no_feedback(recorded: Project) -> None:
    found = recorded.ask("/feedback/query", {})["result"]
    ids = [each["id"] for each in found]
    changed = next(each for each in found if "runnable" in each["feedback_type"])
    sent = {name: changed[name] for name in ("id", "weave_ref", "feedback_type", "call_ref")}
    recorded.ask("/feedback/create", {**sent, "payload": {"output": "another"}})
    found = recorded.ask("/feedback/query", {})["result"]
    assert sorted(each["id"] for each in found) == sorted(ids)


def test_a_stored_call_wins_over_a_view(any_service: Service) -> None:
    project = Evaluated(any_service)
    call = {
        "project_id": RECORDED,
        "id": project.loose,
        "trace_id": project.loose,
        "op_name": "sent",
        "started_at": "2026-01-02T03:04:05Z",
    }
    project.ask("/call/upsert_batch", {"batch": [{"mode": "start", "req": {"start": call}}]})
    assert project.ids().count(project.loose) == 1
    for query in ({"call_ids": [project.loose]}, {"trace_ids": [project.loose]}):
        (found,) = project.ask("/calls/stream_query", {"filter": query})
        assert found["op_name"] == "sent"


def test_a_deleted_run_is_not_read(any_service: Service) -> None:
    project = Evaluated(any_service)
    query = f"evaluation_run_ids={project.run}"
    path = f"/v2/{project.project_id}/evaluation_runs?{query}"
    assert any_service.send("DELETE", path).status == 200
    assert project.named(project.ids()) == ["ID6", "ID7", "ID8"]
    assert [each["payload"] for each in project.feedback()] == [{"output": 0.5}]


def test_a_view_is_deleted_with_what_it_shows(any_service: Service) -> None:
    project = Evaluated(any_service)
    first = project.judge(project.loose, value=1)
    project.ask("/feedback/purge", {"query": equal("id", first)})
    assert first not in project.ids()
    assert project.ask("/calls/delete", {"call_ids": [project.loose_score, "none"]}) == {
        "num_deleted": 1
    }
    assert project.ask("/calls/delete", {"call_ids": [project.outer]}) == {"num_deleted": 1}
    assert project.named(project.ids()) == ["ID1", "ID5", "ID6", "ID8"]
    project.ask("/calls/delete", {"call_ids": [project.run, project.loose]})
    assert project.named(project.ids()) == ["ID8"]
    assert project.feedback() == []


def test_a_view_is_renamed_and_stays(any_service: Service) -> None:
    project = Evaluated(any_service)
    for call_id in (project.run, project.prediction):
        project.ask("/call/update", {"call_id": call_id, "display_name": "better"})
    assert project.named(project.ids()) == sorted(project.names.values())
    for query in ({"call_ids": [project.run]}, {"trace_ids": [project.run]}):
        found = project.ask("/calls/stream_query", {"filter": query})
        (run,) = (call for call in found if call["id"] == project.run)
        assert (run["display_name"], run["output"]) == ("better", {"a": 1})
