"""A key with the role `create` changes nothing that another owner's key wrote."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services.keys import create_key
from tests.processes import ADMIN_KEY

RUN = {"evaluation_run_id": "r", "evaluation": "e", "model": "m", "name": "Mine"}
PREDICTION = {"prediction_id": "p", "model": "m", "inputs": {"q": 1}, "output": "right"}
ENDED = {"started_at": "2026-01-02T00:00:00Z", "ended_at": "2026-01-02T00:00:01Z"}


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Return a client with the administrator's key."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"
    return client


def key_of_another(app: Flask) -> dict[str, str]:
    """Return the header of a key of another owner that may only create."""
    store = app.extensions["scoreline"].store
    _, secret = create_key(store, name="ci", role="create", scope="acme/demo", owner="other")
    return {"Authorization": f"Bearer {secret}"}


def send_calls(client: FlaskClient, app: Flask, *calls: dict[str, Any]) -> None:
    """Send complete calls with a key of another owner."""
    batch = [{"project_id": "acme/demo", "trace_id": "t", **ENDED, **call} for call in calls]
    sent = client.post(
        "/v2/acme/demo/calls/complete",
        json={"batch": batch},
        headers=key_of_another(app),
    )
    assert sent.status_code == 200


def evaluate(run_id: str) -> dict[str, Any]:
    """Return a call of `Evaluation.evaluate`."""
    op = "weave:///acme/demo/op/Evaluation.evaluate:d"
    return {"id": run_id, "op_name": op, "inputs": {"self": "theirs", "model": "theirs"}}


def test_a_run_of_another_owner_is_not_replaced(app: Flask, client: FlaskClient) -> None:
    assert client.post("/v2/acme/demo/evaluation_runs", json=RUN).status_code == 200
    before = client.get("/v2/acme/demo/evaluation_runs/r").get_json()
    send_calls(client, app, evaluate("r"))
    assert client.get("/v2/acme/demo/evaluation_runs/r").get_json() == before


def test_a_prediction_of_another_owner_is_not_replaced(app: Flask, client: FlaskClient) -> None:
    assert client.post("/v2/acme/demo/predictions", json=PREDICTION).status_code == 200
    before = client.get("/v2/acme/demo/predictions/p").get_json()
    op = "weave:///acme/demo/op/Evaluation.predict_and_score:d"
    inputs = {"model": "weave:///acme/demo/op/model:d", "example": {"q": 1}}
    outer = {"id": "outer", "op_name": op, "inputs": inputs, "output": {"output": "wrong"}}
    model = {"id": "p", "parent_id": "outer", "op_name": inputs["model"], "output": "wrong"}
    send_calls(client, app, outer, model)
    assert client.get("/v2/acme/demo/predictions/p").get_json() == before


def test_a_call_of_another_owner_below_a_prediction_does_not_change_its_output(
    app: Flask, client: FlaskClient
) -> None:
    op, model = "weave:///acme/demo/op/Evaluation.predict_and_score:d", "weave:///acme/demo/op/m:d"
    outer = {"id": "outer", "op_name": op, "inputs": {"model": model, "example": {"q": 1}}}
    own = {"id": "own", "parent_id": "outer", "op_name": model, "output": "right"}
    common = {"project_id": "acme/demo", "trace_id": "t", **ENDED}
    batch = [{**common, **outer}, {**common, **own}]
    sent = client.post("/v2/acme/demo/calls/complete", json={"batch": batch})
    assert sent.status_code == 200
    earlier = {"started_at": "2026-01-01T00:00:00Z", "output": "wrong"}
    send_calls(client, app, {"id": "a", "parent_id": "outer", "op_name": model, **earlier})
    assert client.get("/v2/acme/demo/predictions/own").get_json()["output"] == "right"


def test_a_run_that_another_owner_has_only_named_gets_what_its_call_says(
    app: Flask, client: FlaskClient
) -> None:
    score = {"prediction_id": "p", "scorer": "s", "value": 1, "evaluation_run_id": "r"}
    client.post("/v2/acme/demo/scores", json=score)
    assert client.patch("/v1/acme/demo/runs?run=r", json={"name": "Mine"}).status_code == 200
    send_calls(client, app, evaluate("r"))
    run = client.get("/v2/acme/demo/evaluation_runs/r").get_json()
    assert (run["model"], run["name"], run["status"]) == ("theirs", "Mine", "completed")


def test_another_owner_finishes_a_run_but_does_not_replace_its_summary(
    app: Flask, client: FlaskClient
) -> None:
    assert client.post("/v2/acme/demo/evaluation_runs", json=RUN).status_code == 200
    path, headers = "/v2/acme/demo/evaluation_runs/r/finish", key_of_another(app)

    def finish(value: int, **options: Any) -> int:
        return client.post(path, json={"summary": {"a": value}}, **options).status_code

    assert [finish(1, headers=headers), finish(1, headers=headers)] == [200, 200]
    assert finish(2, headers=headers) == 403
    assert client.get("/v2/acme/demo/evaluation_runs/r").get_json()["summary"]["a"] == 1
    assert finish(3) == 200
