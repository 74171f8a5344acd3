"""Deleting runs, predictions, calls and feedback takes along what Weave's SDK has sent of them."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services.clearing import finish_all
from app.stores.model import Prediction
from tests.processes import ADMIN_KEY, Service
from tests.weave.test_recordings import requests_of, scores_of, send


@pytest.fixture
def project() -> str:
    """Return the name of a new project."""
    return f"p{uuid4().hex}"


def replay(service: Service, project: str) -> None:
    for path, body in requests_of("evaluation-0.54.0", project):
        send(service, path, body)


def ids(service: Service, path: str, name: str) -> list[str]:
    """Return an id of each document of a list."""
    listed = service.send("GET", path).body.splitlines()
    return [json.loads(line)[name] for line in listed]


def delete(service: Service, path: str, **query: Any) -> dict[str, Any]:
    text = "&".join(f"{name}={value}" for name, values in query.items() for value in values)
    answer = service.send("DELETE", f"{path}?{text}")
    assert answer.status == 200
    deleted: dict[str, Any] = answer.json
    return deleted


def test_a_deleted_run_or_prediction_comes_back_when_its_calls_are_sent_again(
    any_service: Service, project: str
) -> None:
    replay(any_service, project)
    before, path = scores_of(any_service, project), f"/v2/acme/{project}"
    predictions = ids(any_service, f"{path}/predictions", "prediction_id")
    delete(any_service, f"{path}/predictions", prediction_ids=predictions)
    assert scores_of(any_service, project) == []
    replay(any_service, project)
    assert scores_of(any_service, project) == before
    runs = ids(any_service, f"{path}/evaluation_runs", "evaluation_run_id")
    delete(any_service, f"{path}/evaluation_runs", evaluation_run_ids=runs)
    assert scores_of(any_service, project) == []
    replay(any_service, project)
    assert scores_of(any_service, project) == before


def resend(client: FlaskClient) -> None:
    for path, body in requests_of("typescript-0.11.1", "demo"):
        if "file" not in path:
            assert client.post(path, json=body).status_code == 200


def kept(client: FlaskClient) -> tuple[list[str], int]:
    """Return the runs of the current scores, and how many calls there are."""
    scores = client.get("/v2/acme/demo/scores?current=true").data.splitlines()
    counted = client.post("/calls/query_stats", json={"project_id": "acme/demo"}).get_json()
    return sorted(json.loads(each)["evaluation_run_id"] for each in scores), counted["count"]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Return a client with the administrator's key, which has sent an evaluation."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"
    resend(client)
    return client


def test_what_is_sent_again_during_a_deletion_is_kept(app: Flask, client: FlaskClient) -> None:
    store, before = app.extensions["scoreline"].store, kept(client)
    store.begin_deletions("acme", "demo", sorted(set(before[0])), "admin")
    resend(client)
    finish_all(store)
    assert kept(client) == before


def test_a_deletion_in_the_middle_of_a_request_leaves_what_it_brings(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, before = app.extensions["scoreline"].store, kept(client)
    upsert, runs = store.upsert_documents, sorted(set(before[0]))

    def upsert_after_deletion(documents: Any, merge: Any) -> Any:
        if documents and isinstance(documents[0], Prediction) and runs:
            store.begin_deletions("acme", "demo", runs, "admin")
            runs.clear()
            finish_all(store)
        return upsert(documents, merge)

    requests = [each for each in requests_of("typescript-0.11.1", "demo") if "batch" in each[1]]
    steps = [step for path, body in requests if "upsert" in path for step in body["batch"]]
    monkeypatch.setattr(store, "upsert_documents", upsert_after_deletion)
    assert client.post("/call/upsert_batch", json={"batch": steps}).status_code == 200
    assert kept(client) == before


def judging(project: str) -> list[dict[str, Any]]:
    """Return the feedback of a recording that is a score."""
    requests = requests_of("evaluation-0.54.0", project)
    feedback = [each for path, body in requests if "feedback" in path for each in body["batch"]]
    return [each for each in feedback if "runnable" in each["feedback_type"]]


def below(project: str, call_id: str) -> set[str]:
    """Return the ids of a call of a recording and of all below it."""
    parents: dict[str, str] = {}
    for _, body in requests_of("evaluation-0.54.0", project):
        starts = [body["start"]] if "start" in body else body.get("batch", ())
        parents |= {each["id"]: each["parent_id"] for each in starts if each.get("parent_id")}
    found = {call_id}
    while new := {each for each in parents if parents[each] in found} - found:
        found |= new
    return found


def purge(service: Service, project: str, feedback_id: str) -> None:
    query = {"$expr": {"$eq": [{"$getField": "id"}, {"$literal": feedback_id}]}}
    answer = service.post("/feedback/purge", {"project_id": f"acme/{project}", "query": query})
    assert (answer.status, answer.json) == (200, {})


def test_calls_and_feedback_are_deleted_with_their_scores(
    any_service: Service, project: str
) -> None:
    replay(any_service, project)
    before, feedback = scores_of(any_service, project), judging(project)
    run = before[-1][0]
    place = {"project_id": f"acme/{project}"}
    purge(any_service, project, feedback[0]["id"])
    assert scores_of(any_service, project) == before  # The scorer's call says the same.
    human = {
        **place,
        "weave_ref": feedback[0]["weave_ref"],
        "feedback_type": "wandb.annotation.quality",
        "payload": {"value": 5},
    }
    created = any_service.post("/feedback/create", human).json
    assert len(scores_of(any_service, project)) == len(before) + 1
    purge(any_service, project, created["id"])
    assert scores_of(any_service, project) == before
    scorer = feedback[0]["call_ref"].rpartition("/")[2]
    answer = any_service.post("/calls/delete", {**place, "call_ids": [scorer]})
    assert answer.json == {"num_deleted": 1}
    assert scores_of(any_service, project) == before  # So does the prediction's output.
    renamed = {**place, "call_id": run, "display_name": "renamed"}
    assert any_service.post("/call/update", renamed).json == {}
    path = f"/v2/acme/{project}/evaluation_runs"
    listed = any_service.send("GET", path).body.splitlines()
    assert "renamed" in [json.loads(line)["name"] for line in listed]
    deleted = any_service.post("/calls/delete", {**place, "call_ids": [run]})
    assert deleted.json == {
        "num_deleted": len(below(project, run)) - (scorer in below(project, run))
    }
    assert run not in {each[0] for each in scores_of(any_service, project)}
    assert run not in ids(any_service, path, "evaluation_run_id")
