"""What the SDK asks for when a program begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from app import create_app
from app.services.keys import create_key
from config.settings import read_settings
from tests.processes import ADMIN_KEY, Service
from tests.weave.test_projection import a_call

PROJECT = "query Project($name: String!, $entityName: String!) { project(name: $name) { name } }"
VIEWER = "query DefaultEntity { viewer { username defaultEntity { name } } }"


def ask(app: Flask, query: str, variables: dict[str, str] | None = None, key: str = "") -> Any:
    sent = {"query": query, "variables": variables}
    headers = {"Authorization": f"Bearer {key or ADMIN_KEY}"}
    answer = app.test_client().post("/graphql", json=sent, headers=headers)
    assert answer.status_code == 200
    return answer.get_json()["data"]


@pytest.mark.parametrize("prefix", ["", "/traces"])
def test_the_sdk_learns_the_versions_it_may_have(app: Flask, prefix: str) -> None:
    answer = app.test_client().get(
        f"{prefix}/server_info", headers={"Authorization": f"Bearer {ADMIN_KEY}"}
    )
    assert answer.get_json() == {
        "min_required_weave_python_version": "0.0.1",
        "trace_server_version": None,
    }


def test_every_project_is_there(app: Flask) -> None:
    assert ask(app, PROJECT, {"name": "new", "entityName": "acme"}) == {"project": {"name": "new"}}


@pytest.mark.parametrize(
    ("scope", "entity"), [("*", "default"), ("acme/*", "acme"), ("acme/demo", "acme")]
)
def test_a_program_without_an_entity_gets_the_one_of_its_key(
    app: Flask, scope: str, entity: str
) -> None:
    store = app.extensions["scoreline"].store
    _, secret = create_key(store, name="ci", role="create", scope=scope, owner="olga")
    viewer = ask(app, VIEWER, key=secret)["viewer"]
    assert viewer == {"username": "olga", "defaultEntity": {"name": entity}}


def test_the_links_that_the_sdk_prints_lead_to_the_run(app: Flask) -> None:
    client, headers = app.test_client(), {"Authorization": f"Bearer {ADMIN_KEY}"}
    start = {"project_id": "acme/demo", "id": "r1", "trace_id": "t", "inputs": {}}
    start["op_name"] = "weave:///acme/demo/op/Evaluation.evaluate:d"
    sent = client.post("/v2/acme/demo/call/start", json={"start": start}, headers=headers)
    assert sent.get_json() == {"id": "r1", "trace_id": "t"}
    page = client.get("/acme/demo/r/call/r1", headers=headers, follow_redirects=True)
    assert page.get_json()["status"] == "running"
    runs = client.get("/acme/demo/weave", headers=headers, follow_redirects=True)
    assert runs.get_json(force=True)["evaluation_run_id"] == "r1"


def test_the_links_that_the_sdk_prints_lead_to_predictions_and_calls(
    any_service: Service,
) -> None:
    place = f"acme/{uuid4().hex}"
    parent = {"model": "m", "example": {"q": 1}}
    around = a_call("outer", "run", "Evaluation.predict_and_score", inputs=parent, output={})
    model = a_call("predict", "outer", "m", inputs={"self": "m"}, output=5)
    alone = a_call("alone", None, "answer", inputs={"q": 2}, output=7)
    batch = [{"project_id": place, **each} for each in (around, model, alone)]
    assert any_service.post(f"/v2/{place}/calls/complete", {"batch": batch}).status == 200

    def link(call_id: str, of: str = place) -> Any:
        answer = any_service.send("GET", f"/{of}/r/call/{call_id}")
        if answer.status == 302:
            return any_service.send("GET", answer.headers["Location"]).json["prediction_id"]
        return answer.json["output"] if answer.status == 200 else answer.status

    assert link("outer") == link("predict") == "predict"
    assert link("alone") == 7
    assert link("none") == link("alone", f"{place}-2") == 404


@pytest.mark.parametrize("project_id", ["acme", "acme/", "/demo", "acme/demo/x"])
def test_an_object_belongs_to_one_project_of_one_entity(app: Flask, project_id: str) -> None:
    sent = {"obj": {"project_id": project_id, "object_id": "o", "val": {}}}
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    answer = app.test_client().post("/obj/create", json=sent, headers=headers)
    assert answer.status_code == 422
    assert answer.get_json()["detail"][0]["loc"] == ["body", "project_id"]


@pytest.mark.parametrize("prefix", ["", "/scoreline", "/traces"])
def test_the_sdk_finds_its_routes_below_a_prefix(tmp_path: Path, prefix: str) -> None:
    environ = {
        "SCORELINE_STORE": f"sqlite:///{tmp_path}/scoreline.db",
        "SCORELINE_ADMIN_KEY": ADMIN_KEY,
        "SCORELINE_URL_PREFIX": prefix,
    }
    app = create_app(read_settings(environ))
    app.extensions["scoreline"].store.prepare()
    client = app.test_client()
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    for path in (f"{prefix}/traces/server_info", f"{prefix}/server_info"):
        assert client.get(path, headers=headers).status_code == 200
    page = client.get(f"{prefix}/traces/acme/demo/weave", headers=headers)
    assert client.get(page.headers["Location"], headers=headers).status_code == 200
