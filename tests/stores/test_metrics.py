"""Declared metrics: one contract for every engine."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.stores.base import DocumentQuery, Kept, Store
from app.stores.model import UNASSIGNED, Metric
from app.stores.sqlite.store import SqliteStore

ODD = 'a\0b$.é😀"\\\n'


def a_metric(**changes: Any) -> Metric:
    """Return a metric with every field that a declaration sets."""
    made = Metric(
        id='["Judge",""]',
        entity="acme",
        project="demo",
        wb_user_id="olga",
        body_hash="0" * 64,
        scorer_name=ODD,
        leaf=ODD,
        direction="higher",
        true_when_json='["pass"]',
        unit="s",
        schema_json='{"type":"number"}',
        schema_mode="enforce",
        is_primary=True,
        declared_at=datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC),
    )
    return replace(made, **changes)


def stored(store: Store) -> list[Metric]:
    return list(store.read_documents(Metric, DocumentQuery("acme", "demo")))


def test_every_field_of_a_metric_is_kept(store: Store) -> None:
    (outcome,) = store.add_documents([a_metric()])
    assert outcome.kept is Kept.CREATED
    (found,) = stored(store)
    assert replace(found, sort_id=UNASSIGNED) == a_metric()
    assert {each.name for each in fields(found) if getattr(found, each.name) is None} == {
        "idempotency_key",
        "retry_hash",
    }
    assert type(found.is_primary) is bool


def test_a_metric_that_is_declared_anew_replaces_the_first_in_its_place(store: Store) -> None:
    first = a_metric()
    second = a_metric(direction="none", unit=None, is_primary=False, body_hash="1" * 64)
    store.upsert_documents([first], lambda _, sent: sent)
    (before,) = stored(store)
    store.upsert_documents([second], lambda old, new: replace(new, sort_id=old.sort_id))
    assert stored(store) == [replace(second, sort_id=before.sort_id)]


def test_metrics_of_two_projects_with_one_id_never_meet(store: Store) -> None:
    store.add_documents([a_metric(), a_metric(project="other", unit="ms")])
    assert store.delete_documents(Metric, "acme", "other", [a_metric().id]) == 1
    assert [each.unit for each in stored(store)] == ["s"]


def test_metrics_are_counted_by_the_doctor(store: Store) -> None:
    if not isinstance(store, SqliteStore):
        pytest.skip("on MongoDB, the doctor counts every collection that has an index")
    store.add_documents([a_metric()])
    says = next(each.says for each in store.check() if each.check == "store")
    assert ", metrics: 1" in says
