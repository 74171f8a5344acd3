"""Approvals of runs, and runs by their names: one contract for every engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.ids import id_time
from app.stores.base import DocumentQuery, Kept, Store
from app.stores.model import UNASSIGNED, Approval, EvaluationRun
from app.stores.sqlite.store import SqliteStore
from tests.stores.test_documents import a_run

ODD = 'a\0b$.é😀"\\\n'


def an_approval(**changes: Any) -> Approval:
    made = Approval(
        entity="acme",
        project="demo",
        wb_user_id="olga",
        body_hash="0" * 64,
        evaluation_run_id=ODD,
        reason=ODD,
    )
    return replace(made, **changes)


def newest_first(store: Store, project: str = "demo") -> list[Approval]:
    query = DocumentQuery("acme", project, newest_first=True)
    return list(store.read_documents(Approval, query))


def test_approvals_are_kept_whole_and_in_their_order(store: Store) -> None:
    for reason in ("first", "second", ODD):
        (outcome,) = store.add_documents([an_approval(reason=reason)])
        assert outcome.kept is Kept.CREATED
    found = newest_first(store)
    assert [each.reason for each in found] == [ODD, "second", "first"]
    assert replace(found[0], id=UNASSIGNED, sort_id=UNASSIGNED) == an_approval()
    assert found[0].id == found[0].sort_id == outcome.id
    assert found[0].created_at == id_time(outcome.id)
    assert newest_first(store, "other") == []


def test_approvals_are_counted_by_the_doctor(store: Store) -> None:
    if not isinstance(store, SqliteStore):
        pytest.skip("on MongoDB, the doctor counts every collection that has an index")
    store.add_documents([an_approval()])
    says = next(each.says for each in store.check() if each.check == "store")
    assert says.endswith("approvals: 1")


def test_runs_are_found_by_their_name(store: Store) -> None:
    runs = [a_run(id=f"run/{number}", name=name) for number, name in enumerate((ODD, "b", ODD))]
    store.add_documents([*runs, a_run(id="unnamed"), a_run(project="other", name=ODD)])
    query = DocumentQuery("acme", "demo", filters={"name": [ODD]}, newest_first=True)
    assert [run.id for run in store.read_documents(EvaluationRun, query)] == ["run/2", "run/0"]


def test_a_name_is_looked_up_in_an_index_of_the_embedded_store(store: Store) -> None:
    if not isinstance(store, SqliteStore):
        pytest.skip("on MongoDB, every query names its index")
    statements: list[str] = []
    store._db().reader().set_trace_callback(statements.append)
    query = DocumentQuery("acme", "demo", filters={"name": ["n"]}, newest_first=True)
    assert list(store.read_documents(EvaluationRun, query)) == []
    (statement,) = [each for each in statements if "FROM evaluation_runs" in each]
    (step,) = store._db().read_all(f"EXPLAIN QUERY PLAN {statement}")
    assert "evaluation_runs_by_name" in step[3]
