"""Enforced schemas are cached, so that a score costs no query."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.services import enforced_schemas, metrics
from app.services.enforced_schemas import EnforcedSchemas, fault_of
from app.services.metrics import declare_metrics
from app.stores.base import DocumentQuery, Store
from app.stores.model import Metric
from tests.services.test_metrics import OLGA, a_body
from tests.stores.test_metrics import a_metric

NUMBER = a_body(schema={"type": "number"}, schema_mode="enforce")


class Reads:
    """A store that counts its reads of documents."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.queries: list[DocumentQuery] = []

    def read_documents(self, kind: type[Metric], query: DocumentQuery) -> Iterator[Metric]:
        self.queries.append(query)
        return self._store.read_documents(kind, query)


class Clock:
    """A clock that goes on when it is told to, or when someone sleeps."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(enforced_schemas, "time", made)
    monkeypatch.setattr(metrics, "time", made)
    return made


def test_a_score_costs_no_query_while_the_schemas_are_fresh(store: Store, clock: Clock) -> None:
    reads: Any = Reads(store)
    schemas = EnforcedSchemas(reads)
    assert [schemas.fault("acme", "demo", "Judge", "a") for _ in range(5)] == [None] * 5
    assert [schemas.fault("acme", "other", "Judge", "a") for _ in range(5)] == [None] * 5
    assert len(reads.queries) == 2
    clock.now += metrics.FRESH_SECONDS
    schemas.fault("acme", "demo", "Judge", "a")
    assert len(reads.queries) == 3


def test_a_declaration_returns_when_what_others_cache_has_expired(
    store: Store, clock: Clock
) -> None:
    schemas = EnforcedSchemas(store)
    assert schemas.fault("acme", "demo", "Judge", "a") is None
    declare_metrics(store, "acme", "demo", [NUMBER], OLGA)
    fault = 'against the schema of Judge: "a" is not of type "number"'
    assert schemas.fault("acme", "demo", "Judge", "a") == fault
    declare_metrics(store, "acme", "demo", [a_body(unit="s")], OLGA)
    assert schemas.fault("acme", "demo", "Judge", "a") is None


def test_a_declaration_that_enforces_nothing_waits_for_nobody(store: Store, clock: Clock) -> None:
    declare_metrics(store, "acme", "demo", [a_body(unit="s"), a_body("b", schema={})], OLGA)
    declare_metrics(store, "acme", "demo", [NUMBER], OLGA, dry_run=True)
    assert clock.now == Clock.now


def test_the_number_of_cached_projects_is_bounded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enforced_schemas, "MAX_PROJECTS", 2)
    schemas = EnforcedSchemas(store)
    for number in range(5):
        schemas.fault("acme", str(number), "Judge", 1)
    assert len(schemas._known) <= 2


def test_a_schema_that_cannot_be_used_any_more_is_a_fault() -> None:
    metric = replace(a_metric(leaf=""), schema_json='{"type":"nonsense"}')
    fault = fault_of(metric, 1)
    assert fault
    assert fault.startswith("the schema cannot be used: ")
