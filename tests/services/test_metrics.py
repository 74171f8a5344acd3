"""Metrics are declared, read and removed, on every engine."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from app.errors import InvalidParameter, NotFound
from app.services import metrics
from app.services.keys import COMMAND_LINE
from app.services.metrics import declare_metrics, read_metrics, remove_metric
from app.stores.base import Store
from app.stores.model import Metric

OLGA = replace(COMMAND_LINE, key_id="k1", owner="olga")
PETER = replace(COMMAND_LINE, key_id="k2", owner="peter")


def a_body(scorer: str = "Judge", leaf: str = "", **changes: Any) -> dict[str, Any]:
    """Return a loaded MetricBody."""
    made = {
        "scorer": scorer,
        "leaf": leaf,
        "direction": "none",
        "true_when": None,
        "unit": None,
        "schema": None,
        "schema_mode": "warn",
        "primary": False,
    }
    return {**made, **changes}


def declare(store: Store, *bodies: dict[str, Any], project: str = "demo") -> list[Metric]:
    return declare_metrics(store, "acme", project, bodies, OLGA)


def test_metrics_are_read_by_scorer_and_leaf(store: Store) -> None:
    declare(store, a_body("b", direction="lower"), a_body("a", "x"), a_body("a", unit="s"))
    found = read_metrics(store, "acme", "demo")
    assert list(found) == [("a", ""), ("a", "x"), ("b", "")]
    assert found["b", ""].direction == "lower"
    assert found["a", ""].unit == "s"
    assert read_metrics(store, "acme", "other") == {}


def test_a_reference_to_a_version_declares_the_metric_of_every_version(store: Store) -> None:
    declare(store, a_body("weave:///acme/demo/object/Judge:v3", direction="higher"))
    assert list(read_metrics(store, "acme", "demo")) == [("Judge", "")]
    remove_metric(store, "acme", "demo", "weave:///acme/demo/object/Judge:v4", "", OLGA)
    assert read_metrics(store, "acme", "demo") == {}


def test_a_declaration_replaces_the_whole_one_before(store: Store) -> None:
    declare(store, a_body(direction="higher", unit="s", true_when=["yes"], schema={}))
    declare(store, a_body(direction="lower"))
    (found,) = read_metrics(store, "acme", "demo").values()
    assert (found.direction, found.unit, found.true_when_json, found.schema_json) == (
        "lower",
        None,
        None,
        None,
    )


def test_the_same_declaration_again_changes_nothing(store: Store) -> None:
    declare(store, a_body(direction="higher"))
    before = read_metrics(store, "acme", "demo")
    declare_metrics(store, "acme", "demo", [a_body(direction="higher")], PETER)
    assert read_metrics(store, "acme", "demo") == before
    declare_metrics(store, "acme", "demo", [a_body(direction="lower")], PETER)
    (found,) = read_metrics(store, "acme", "demo").values()
    (first,) = before.values()
    assert (found.wb_user_id, found.sort_id) == ("peter", first.sort_id)
    assert found.declared_at > first.declared_at


def test_removing_what_is_not_declared_is_an_error(store: Store) -> None:
    declare(store, a_body(), project="other")
    with pytest.raises(NotFound, match="'Judge'"):
        remove_metric(store, "acme", "demo", "Judge", "", OLGA)


def test_a_project_declares_a_bounded_number_of_metrics(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MAX_METRICS", 2)
    declare(store, a_body("a"), a_body("b"))
    declare(store, a_body("a", unit="s"))
    with pytest.raises(InvalidParameter, match="at most 2"):
        declare(store, a_body("c"))


def test_who_declares_and_removes_a_metric_is_audited(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "scoreline.audit"):
        declare(store, a_body(direction="higher", schema={"type": "number"}))
        remove_metric(store, "acme", "demo", "Judge", "", PETER)
    logged = [each.__dict__["scoreline_fields"] for each in caplog.records]
    assert json.loads(json.dumps(logged)) == [
        {
            "action": "metric.declare",
            "outcome": "done",
            "by_key_id": "k1",
            "by_owner": "olga",
            "entity": "acme",
            "project": "demo",
            "scorer_name": "Judge",
            "leaf": "",
            "direction": "higher",
            "schema_mode": "warn",
            "primary": False,
        },
        {
            "action": "metric.remove",
            "outcome": "done",
            "by_key_id": "k2",
            "by_owner": "peter",
            "entity": "acme",
            "project": "demo",
            "scorer_name": "Judge",
            "leaf": "",
        },
    ]
