"""What the SDK asks for when a program begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import create_app
from app.services.keys import create_key
from config.settings import read_settings
from tests.processes import ADMIN_KEY

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
