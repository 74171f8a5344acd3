"""The rows of a dataset are the inputs of predictions, whichever of both comes first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from app.examples import row_digest
from app.stores.base import Store
from app.stores.model import Prediction
from app.weave import contents
from app.weave.projection import project_rows
from tests.processes import Service
from tests.weave.test_projection import HERE, OBJECT, only, outer, predict, send

ROW = {"q": 1, "expected": 2.0}
DIGEST = row_digest(ROW)
EXAMPLE = f"{OBJECT}/d:d/attr/rows/id/{DIGEST}"


def outer_of(example: Any) -> dict[str, Any]:
    call = outer({"scores": {"s": 1}})
    return call | {"inputs": {**call["inputs"], "example": example}}


def add_rows(store: Store) -> None:
    _, digests = contents.add_table(store, HERE, [{"q": 0}, ROW])
    project_rows(store, HERE, digests)


@pytest.mark.parametrize("first", ["rows", "calls"])
def test_inputs_and_example_are_the_same_in_any_order(store: Store, first: str) -> None:
    if first == "rows":
        add_rows(store)
    send(store, outer_of(EXAMPLE), predict())
    if first == "calls":
        assert only(store, Prediction).example_id == DIGEST
        add_rows(store)
    found = only(store, Prediction)
    assert json.loads(found.inputs_json) == ROW
    assert (found.example_id, found.example_key, found.awaited_row) == (DIGEST, DIGEST, None)


def test_an_example_that_was_sent_itself_has_the_digest_of_its_row(store: Store) -> None:
    send(store, outer_of(ROW), predict())
    assert only(store, Prediction).example_id == DIGEST


def test_rows_that_arrive_while_their_prediction_is_stored_are_its_inputs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert, late = store.upsert_documents, [add_rows]

    def upsert_after_rows(documents: Any, merge: Any) -> Any:
        if documents and isinstance(documents[0], Prediction) and late:
            late.pop()(store)
        return upsert(documents, merge)

    monkeypatch.setattr(store, "upsert_documents", upsert_after_rows)
    send(store, outer_of(EXAMPLE))
    assert json.loads(only(store, Prediction).inputs_json) == ROW


def by_table(place: dict[str, str]) -> list[tuple[str, Any]]:
    return [("/table/create", {"table": {**place, "rows": [ROW]}})]


def by_update(place: dict[str, str]) -> list[tuple[str, Any]]:
    empty = hashlib.sha256(b"").hexdigest()
    update = {**place, "base_digest": empty, "updates": [{"append": {"row": ROW}}]}
    return [("/table/create", {"table": {**place, "rows": []}}), ("/table/update", update)]


def by_dataset(place: dict[str, str]) -> list[tuple[str, Any]]:
    return [(f"/v2/{place['project_id']}/datasets", {"name": "d", "rows": [ROW]})]


@pytest.mark.parametrize("brought", [by_table, by_update, by_dataset])
def test_every_route_that_brings_rows_completes_predictions(
    any_service: Service, brought: Callable[[dict[str, str]], list[tuple[str, Any]]]
) -> None:
    place = {"project_id": f"acme/{uuid4().hex}"}
    path = f"/v2/{place['project_id']}"
    calls = {"batch": [{**place, **outer_of(EXAMPLE)}]}
    for route, body in [(f"{path}/calls/complete", calls), *brought(place)]:
        assert any_service.post(route, body).status == 200
    found = any_service.send("GET", f"{path}/predictions/outer").json
    assert (found["inputs"], found["example_id"]) == (ROW, DIGEST)
