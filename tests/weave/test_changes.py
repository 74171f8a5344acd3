"""What is changed later by name stays, also when the same calls and objects are sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services.keys import create_key
from app.stores.base import DocumentQuery, Store
from app.stores.model import EvaluationRun, Prediction
from app.stores.weave import Call
from app.weave.changes import rename_call
from tests.processes import ADMIN_KEY
from tests.weave.test_projection import (
    EVE,
    HERE,
    a_call,
    all_scores,
    judged,
    only,
    outer,
    predict,
    send,
)

RUN = a_call("run", None, "Evaluation.evaluate", inputs={}, display_name="brave-lion")


def name_of(store: Store) -> Any:
    return json.loads(only(store, Call).start_json)["display_name"]


@pytest.mark.parametrize("name", ["Mine", "", None])
@pytest.mark.parametrize("sent", [(RUN,), ()])
def test_a_renamed_call_keeps_its_name_when_it_is_sent_again_or_later(
    store: Store, name: str | None, sent: tuple[dict[str, Any], ...]
) -> None:
    send(store, *sent)
    rename_call(store, HERE, "run", name)
    send(store, RUN, RUN | {"output": {"x": 1}})
    send(store, RUN, may_change=False, place=EVE)
    assert name_of(store) == name
    assert only(store, EvaluationRun).name == (name or None)


def test_a_name_is_no_start_of_a_call(store: Store) -> None:
    rename_call(store, HERE, "loose", "Mine")
    send(store, judged("s", 1, "loose"))
    assert all_scores(store) == []
    send(store, a_call("loose", None, "f"), place=EVE)
    assert len(all_scores(store)) == 1
    assert only(store, Call).wb_user_id == EVE.owner


@pytest.mark.parametrize("may_change", [True, False])
def test_a_call_stays_in_its_prediction(store: Store, may_change: bool) -> None:
    scorer = a_call("scorer", "outer", "s", inputs={"output": "out"}, output=1, began=2)
    send(store, predict(), scorer, outer())
    send(store, outer() | {"id": "other"})
    for moved in (scorer | {"parent_id": "other"}, outer() | {"parent_id": "another run"}):
        send(store, moved, may_change=may_change)
    assert [each.evaluation_run_id for each in all_scores(store)] == ["run"]
    predictions = store.read_documents(Prediction, DocumentQuery("acme", "demo"))
    found = {each.id: each.evaluation_run_id for each in predictions}
    assert found == {"predict": "run", "other": "run"}


@pytest.mark.parametrize("may_change", [True, False])
def test_a_call_that_began_as_a_root_stays_one(store: Store, may_change: bool) -> None:
    loose = a_call("loose", None, "f")
    send(store, loose, judged("s", 1, "loose"), outer())
    send(store, loose | {"parent_id": "outer"}, outer(), may_change=may_change)
    assert [each.evaluation_run_id for each in all_scores(store)] == [None]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Return a client with the administrator's key."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"
    return client


def publish(client: FlaskClient, value: int, key: str = ADMIN_KEY) -> Any:
    """Publish an object, and return the value that is the latest then."""
    sent = {"obj": {"project_id": "acme/demo", "object_id": "o", "val": value}}
    headers = {"Authorization": f"Bearer {key}"}
    assert client.post("/obj/create", json=sent, headers=headers).status_code == 200
    wanted = {"project_id": "acme/demo", "object_id": "o", "digest": "latest"}
    return client.post("/obj/read", json=wanted).get_json()["obj"]["val"]


def test_a_key_that_may_only_create_moves_the_latest_only_from_what_its_owner_published(
    app: Flask, client: FlaskClient
) -> None:
    store = app.extensions["scoreline"].store
    _, eve = create_key(store, name="ci", role="create", scope="acme/demo", owner="eve")
    assert publish(client, 1) == 1
    assert publish(client, 2, eve) == 2
    assert publish(client, 1, eve) == 1  # What eve published last is the latest no longer.
    assert publish(client, 2, eve) == 2
    assert publish(client, 3) == 3
    assert publish(client, 1, eve) == 3
    assert publish(client, 1) == 1  # The administrator's again.
    assert publish(client, 2, eve) == 1
    assert publish(client, 4, eve) == 4


def test_a_key_that_may_only_create_publishes_what_was_deleted(
    app: Flask, client: FlaskClient
) -> None:
    store = app.extensions["scoreline"].store
    _, eve = create_key(store, name="ci", role="create", scope="acme/demo", owner="eve")
    publish(client, 1)
    sent = {"project_id": "acme/demo", "object_id": "o"}
    assert client.post("/obj/delete", json=sent).get_json()["num_deleted"] == 1
    assert publish(client, 1, eve) == 1
