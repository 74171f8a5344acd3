"""Predictions and evaluation runs: one contract for every engine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from uuid_utils import uuid7

from app.errors import StoreDamaged, StoreUnavailable
from app.examples import row_digest
from app.ids import id_time
from app.stores import documents
from app.stores.base import DocumentQuery, Extent, Kept, Outcome, Store
from app.stores.model import DOCUMENTS, UNASSIGNED, Document, EvaluationRun, Prediction
from app.stores.mongo.documents import index_for_documents
from app.stores.mongo.store import MongoStore, open_mongo_store
from app.stores.sqlite.store import SqliteStore
from tests.stores.test_mongo import Commands, plan_stages, repeats_condition

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)
LATER = NOW + timedelta(seconds=1, microseconds=7)
ODD = 'a\0b$.é😀"\\\n'


def a_prediction(**changes: Any) -> Prediction:
    made = Prediction(
        entity="acme",
        project="demo",
        wb_user_id="olga",
        body_hash="0" * 64,
        predict_and_score_call_id=str(uuid7()),
        model="m",
        inputs_json='{"q":1}',
        output_json="2",
    )
    return replace(made, **changes)


def a_run(**changes: Any) -> EvaluationRun:
    made = EvaluationRun(
        entity="acme",
        project="demo",
        wb_user_id="olga",
        body_hash="0" * 64,
        evaluation="e",
        model="m",
        started_at=NOW,
    )
    return replace(made, **changes)


MAKE = {Prediction: a_prediction, EvaluationRun: a_run}
WHOLE: dict[type[Document], Document] = {
    Prediction: a_prediction(
        id="ci/main/é",
        sort_id="018cc251-f400-7000-8000-000000000001",
        evaluation_run_id="run/1",
        idempotency_key="k",
        retry_hash="h",
        model=ODD,
        inputs_json='{"a.b":{"$c":[1,1.0,"\\ud800"]}}',
        output_json='"' + "x" * 100_000 + '"',
        example_id=ODD,
        example_key=ODD,
        trial=2**53,
        error="failed",
        started_at=NOW,
        finished_at=LATER,
        ended_at=LATER,
        usage_json='{"input_tokens":3}',
        awaited_row="d",
        metadata_json="{}",
    ),
    EvaluationRun: a_run(
        id="ci/main/é",
        sort_id="018cc251-f400-7000-8000-000000000001",
        wb_user_id=None,
        idempotency_key="k",
        retry_hash="h",
        evaluation="",
        model=ODD,
        source_evaluation_run_id="run/0",
        status="failed",
        finished_at=LATER,
        summary_json='{"a":1.0}',
        name="nightly",
        description="",
        dataset="d",
        attributes_json='{"commit":"abc"}',
        expected=0,
        archived_at=LATER,
    ),
}
"""A document of each kind, with every field set."""

kinds = pytest.mark.parametrize("kind", DOCUMENTS)


def query(**changes: Any) -> DocumentQuery:
    return replace(DocumentQuery("acme", "demo"), **changes)


def kept(outcomes: Iterable[Outcome]) -> list[Kept]:
    return [outcome.kept for outcome in outcomes]


def add(store: Store, *made: Document) -> list[str]:
    """Add new documents, and return their ids."""
    outcomes = store.add_documents(made)
    assert set(kept(outcomes)) <= {Kept.CREATED}
    return [outcome.id for outcome in outcomes]


def stored(store: Store, kind: type[Document], **changes: Any) -> list[str]:
    return [document.id for document in store.read_documents(kind, query(**changes))]


@kinds
def test_every_field_is_kept(store: Store, kind: type[Document]) -> None:
    whole = WHOLE[kind]
    assert {each.name for each in fields(whole) if getattr(whole, each.name) is None} <= {
        "wb_user_id"
    }
    assert add(store, whole) == [whole.id]
    assert store.find_document(kind, "acme", "demo", whole.id) == whole
    assert list(store.read_documents(kind, query())) == [whole]


@kinds
def test_a_new_document_gets_an_id_that_has_its_time(store: Store, kind: type[Document]) -> None:
    made = MAKE[kind]
    ids = [*add(store, made()), *add(store, made(), made())]
    assert len(set(ids)) == 3
    assert stored(store, kind) == sorted(ids)
    for document in store.read_documents(kind, query()):
        assert document.sort_id == document.id
        assert document.created_at == id_time(document.id)
        assert replace(document, id=UNASSIGNED, sort_id=UNASSIGNED) == replace(
            made(),
            **(
                {"predict_and_score_call_id": document.predict_and_score_call_id}
                if isinstance(document, Prediction)
                else {}
            ),
        )


@kinds
def test_lists_are_in_the_order_of_creation_whatever_the_ids_are(
    store: Store, kind: type[Document]
) -> None:
    made = MAKE[kind]
    names = ["z", "a", "m/1", "", "A"]
    for name in names[:3]:
        add(store, made(id=name))
    unnamed = add(store, made(id=UNASSIGNED))
    assert stored(store, kind) == [*names[:3], *unnamed]


@kinds
def test_an_id_is_taken_once_in_a_project(store: Store, kind: type[Document]) -> None:
    first = MAKE[kind](id="x")
    add(store, first)
    assert store.add_documents([first]) == [Outcome(Kept.PRESENT, "x")]
    other = replace(first, model="another")  # type: ignore[call-arg]
    assert store.add_documents([other]) == [Outcome(Kept.ID_TAKEN, "x")]
    keyed = replace(first, idempotency_key="k")
    assert store.add_documents([keyed]) == [Outcome(Kept.PRESENT, "x")]
    for elsewhere in ({"project": "other"}, {"entity": "other"}):
        add(store, replace(other, **elsewhere))
    found = store.find_document(kind, "acme", "demo", "x")
    assert found is not None
    assert replace(found, sort_id=UNASSIGNED) == first


@kinds
def test_a_document_that_has_changed_is_still_present(store: Store, kind: type[Document]) -> None:
    whole = WHOLE[kind]
    add(store, whole)
    before = replace(whole, **dict.fromkeys(kind.changing))  # type: ignore[arg-type]
    assert kept(store.add_documents([before])) == [Kept.REPLAYED]


@kinds
def test_an_idempotency_key_is_taken_once_in_a_project(store: Store, kind: type[Document]) -> None:
    def keyed(**changes: Any) -> Document:
        return MAKE[kind](**{"idempotency_key": "k", "body_hash": "1", **changes})

    (first,) = add(store, keyed())
    assert store.add_documents([keyed()]) == [Outcome(Kept.REPLAYED, first)]
    assert store.add_documents([keyed(body_hash="2")]) == [Outcome(Kept.KEY_TAKEN, first)]
    for elsewhere in ({"project": "other"}, {"entity": "other"}, {"idempotency_key": "j"}):
        add(store, keyed(**elsewhere))
    assert store.delete_documents(kind, "acme", "demo", [first]) == 1
    assert add(store, keyed(body_hash="2")) != [first]  # A key is valid as long as its document.


@kinds
def test_one_refused_document_holds_back_its_call(store: Store, kind: type[Document]) -> None:
    taken = MAKE[kind](id="x")
    add(store, taken)
    new = MAKE[kind](id="y")
    other = replace(taken, wb_user_id="oleg", model="other")  # type: ignore[call-arg]
    outcomes = store.add_documents([new, taken, other, new])
    assert kept(outcomes) == [Kept.HELD_BACK, Kept.PRESENT, Kept.ID_TAKEN, Kept.HELD_BACK]
    assert stored(store, kind) == ["x"]


@kinds
def test_the_same_twice_in_a_call_is_one_document(store: Store, kind: type[Document]) -> None:
    named, keyed = MAKE[kind](id="x"), MAKE[kind](idempotency_key="k", body_hash="1")
    outcomes = store.add_documents([named, keyed, named, keyed])
    assert kept(outcomes) == [Kept.CREATED, Kept.CREATED, Kept.PRESENT, Kept.REPLAYED]
    assert [outcome.id for outcome in outcomes[2:]] == [outcome.id for outcome in outcomes[:2]]
    assert len(stored(store, kind)) == 2
    assert store.add_documents([]) == []


@kinds
def test_of_many_threads_with_one_key_one_creates(store: Store, kind: type[Document]) -> None:
    made = [MAKE[kind](idempotency_key="k", body_hash="1") for _ in range(20)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = [each for (each,) in pool.map(lambda one: store.add_documents([one]), made)]
    assert kept(outcomes).count(Kept.CREATED) == 1
    assert kept(outcomes).count(Kept.REPLAYED) == 19
    assert stored(store, kind) == [outcomes[0].id]


@kinds
def test_a_document_too_large_for_mongodb_is_refused(store: Store, kind: type[Document]) -> None:
    if isinstance(store, SqliteStore):
        pytest.skip("SQLite keeps it")
    large = MAKE[kind](model="x" * (17 << 20))
    assert kept(store.add_documents([large])) == [Kept.TOO_LARGE]
    assert kept(store.add_documents([MAKE[kind](), large])) == [Kept.HELD_BACK, Kept.TOO_LARGE]
    assert stored(store, kind) == []


@kinds
def test_a_document_with_a_key_is_present_without_it(store: Store, kind: type[Document]) -> None:
    whole = WHOLE[kind]
    add(store, whole)
    unkeyed = replace(whole, idempotency_key=None, body_hash="1", wb_user_id="oleg")
    assert kept(store.add_documents([unkeyed])) == [Kept.PRESENT]


@kinds
def test_a_document_is_found_in_its_own_project_only(store: Store, kind: type[Document]) -> None:
    add(store, MAKE[kind](id="x"))
    add(store, MAKE[kind](id="x", project="other"))
    assert store.find_document(kind, "acme", "nothing", "x") is None
    assert store.find_document(kind, "other", "demo", "x") is None
    assert store.find_document(kind, "acme", "demo", "y") is None
    found = store.find_document(kind, "acme", "other", "x")
    assert found is not None
    assert found.project == "other"


def test_a_prediction_and_a_run_may_have_the_same_id(store: Store) -> None:
    add(store, a_prediction(id="x"))
    add(store, a_run(id="x"))
    assert store.delete_documents(EvaluationRun, "acme", "demo", ["x"]) == 1
    assert store.find_document(Prediction, "acme", "demo", "x") is not None


def test_lists_are_filtered_and_bounded(store: Store) -> None:
    runs = ["r-1", "r-2", None]
    made = [a_prediction(id=str(n), evaluation_run_id=runs[n % 3]) for n in range(30)]
    store.add_documents(made)
    add(store, a_prediction(project="other"))
    names = [str(n) for n in range(30)]
    sort_ids = store.list_sort_ids(Prediction, query())
    assert sort_ids == sorted(sort_ids)
    assert len(sort_ids) == 30

    def listed(**changes: Any) -> list[str]:
        found = [each.id for each in store.read_documents(Prediction, query(**changes))]
        same = store.list_sort_ids(Prediction, query(**changes))
        assert [sort_ids[int(each)] for each in found] == same
        return found

    assert listed() == names
    assert listed(offset=5, limit=7) == names[5:12]
    assert listed(limit=0) == []
    assert listed(offset=10**15) == []
    assert listed(after=sort_ids[9], before=sort_ids[20]) == names[10:20]
    assert listed(filters={"evaluation_run_id": ["r-1"]}) == names[::3]
    assert listed(filters={"evaluation_run_id": ["r-2"]}, offset=1, limit=2) == ["4", "7"]
    assert listed(filters={"evaluation_run_id": ["r-1", "r-2"]}, limit=3) == ["0", "1", "3"]
    assert listed(filters={"id": ["3", "29", "no such"], "model": ["m"]}) == ["3", "29"]
    assert listed(filters={"evaluation_run_id": ["nobody"]}) == []


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_a_list_is_read_in_pages_while_others_write(
    store: Store, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(documents, "PAGE", size)
    output = '"' + "x" * 700_000 + '"'  # Seven are more than a page.
    add(store, *[a_prediction(id=str(n), output_json=output) for n in range(12)])
    found = store.read_documents(Prediction, query(offset=1, limit=10))
    first = next(found).id
    add(store, a_prediction())
    store.delete_documents(Prediction, "acme", "demo", ["0"])
    assert [first, *(each.id for each in found)] == [str(n) for n in range(1, 11)]


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_documents_are_found_by_their_ids_in_pages(
    store: Store, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(documents, "PAGE", size)
    output = '"' + "x" * 700_000 + '"'  # Seven are more than a page.
    names = ["é", "z", *map(str, range(10))]
    add(store, *[a_prediction(id=name, output_json=output) for name in names])
    add(store, a_prediction(id="elsewhere", project="other"))
    wanted = [*names[:-1], "z", "no such", "elsewhere"]
    found = store.find_documents(Prediction, "acme", "demo", wanted)
    assert [each.id for each in found] == sorted(names[:-1])
    assert list(store.find_documents(Prediction, "acme", "demo", [])) == []


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_some_fields_are_read_in_pages(
    store: Store, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(documents, "PAGE", size)
    output = '"' + "x" * 700_000 + '"'
    for number in range(8):
        times = {"started_at": NOW + number * (LATER - NOW)}
        add(store, a_prediction(id=str(number), output_json=output, trial=number, **times))
    add(store, a_prediction(id="bare", evaluation_run_id="r"), a_prediction(project="other"))
    sort_ids = store.list_sort_ids(Prediction, query())
    names = ("id", "trial", "started_at", "output_json")
    found = [row for page in store.read_fields(Prediction, query(), names) for row in page]
    assert [row[:3] for row in found[:8]] == [
        (sort_ids[number], str(number), number) for number in range(8)
    ]
    assert [found[0][3], found[0][4]] == ["2026-01-02T03:04:05.678901+00:00", output]
    assert [row[3] for row in found[:8]] == sorted(row[3] for row in found[:8])
    assert found[8] == (sort_ids[8], "bare", None, None, "2")
    of_run = query(filters={"evaluation_run_id": ["r"]}, after="0")
    assert list(store.read_fields(Prediction, of_run, ["id"])) == [[(sort_ids[8], "bare")]]


def test_failed_predictions_are_found(store: Store) -> None:
    add(store, a_prediction(id="fine"), a_prediction(id="failed", error=""))
    add(store, a_prediction(id="of a run", error="e", evaluation_run_id="r"))
    add(store, a_prediction(id="elsewhere", error="e", project="other"))
    assert stored(store, Prediction, failed=True) == ["failed", "of a run"]
    of_run = {"evaluation_run_id": ["r"]}
    assert stored(store, Prediction, failed=True, filters=of_run) == ["of a run"]


def test_predictions_of_some_examples_are_found(store: Store) -> None:
    for number, key in enumerate(["x", "y", None, "x", "z"]):
        add(store, a_prediction(id=str(number), evaluation_run_id="r", example_key=key))
    add(store, a_prediction(id="of another run", evaluation_run_id="q", example_key="x"))
    filters = {"evaluation_run_id": ["r"], "example_key": ["x", "z", "no such"]}
    assert stored(store, Prediction, filters=filters) == ["0", "3", "4"]


def test_a_change_is_kept(store: Store) -> None:
    (run_id,) = add(store, a_run())
    changes = {"status": "completed", "finished_at": LATER, "summary_json": '{"a":1}'}
    before = store.find_document(EvaluationRun, "acme", "demo", run_id)
    assert store.change_document(EvaluationRun, "acme", "demo", run_id, **changes)
    changed = store.find_document(EvaluationRun, "acme", "demo", run_id)
    assert before is not None
    assert changed == replace(before, **changes)  # type: ignore[arg-type]
    assert store.change_document(EvaluationRun, "acme", "demo", run_id, summary_json=None)
    assert list(store.read_documents(EvaluationRun, query())) == [
        replace(changed, summary_json=None)
    ]
    for place in (("acme", "other", run_id), ("acme", "demo", "no such")):
        assert not store.change_document(EvaluationRun, *place, status="failed")


@kinds
def test_a_delete_returns_how_many_existed(store: Store, kind: type[Document]) -> None:
    add(store, *[MAKE[kind](id=name) for name in "abc"])
    add(store, MAKE[kind](id="d", project="other"))
    assert store.delete_documents(kind, "acme", "demo", ["a", "b", "a", "d", "no such"]) == 2
    assert store.delete_documents(kind, "acme", "demo", ["a", "b"]) == 0
    assert stored(store, kind) == ["c"]
    assert store.find_document(kind, "acme", "other", "d") is not None
    add(store, MAKE[kind](id="a", model="another"))  # A later document with the same id is new.


@kinds
def test_the_newest_document_with_a_retry_hash_is_found(store: Store, kind: type[Document]) -> None:
    ids = [*add(store, MAKE[kind](retry_hash="h")), *add(store, MAKE[kind](retry_hash="h"))]
    add(store, MAKE[kind](retry_hash="h", project="other"))
    add(store, MAKE[kind]())
    found = store.find_retried_document(kind, "acme", "demo", "h", "0")
    assert found is not None
    assert found.id == ids[1]
    assert store.find_retried_document(kind, "acme", "demo", "h", ids[1]) is None
    assert store.find_retried_document(kind, "acme", "demo", "x", "0") is None


@kinds
def test_all_projects_are_read_in_the_order_of_creation(store: Store, kind: type[Document]) -> None:
    assert store.extent(kind) == Extent(0, None)
    made = [MAKE[kind](project=f"p{number % 2}", id=str(number % 3)) for number in range(6)]
    for document in made:
        add(store, document)
    found = list(store.read_documents(kind, DocumentQuery()))
    assert [(each.project, each.id) for each in found] == [(each.project, each.id) for each in made]
    after = DocumentQuery(after=found[1].sort_id, limit=3)
    assert list(store.read_documents(kind, after)) == found[2:5]
    assert store.extent(kind) == Extent(6, found[-1].sort_id)


# The embedded store alone: checksums


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of a closed store with a document of each kind."""
    path = tmp_path / "s.db"
    opened = SqliteStore(path)
    opened.prepare()
    for whole in WHOLE.values():
        add(opened, whole)
    opened.close()
    return path


def damage(file: Path, statement: str) -> None:
    """Run one statement directly on the file."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(statement)


@kinds
def test_a_document_of_which_any_field_has_changed_is_not_returned(
    file: Path, kind: type[Document]
) -> None:
    whole = WHOLE[kind]
    for name in documents.columns(kind):
        column = getattr(whole, "sort_id" if name == "_id" else name)
        changed = "NULL" if column is not None else "'x'"
        if name in ("_id", "id", "entity", "project"):
            changed = "'acme'" if name == "project" else "'demo'"
        copy = file.with_name(f"{name}.db")
        copy.write_bytes(file.read_bytes())
        try:
            damage(copy, f"UPDATE {kind.collection} SET {name} = {changed}")
        except sqlite3.IntegrityError:  # It must not be null.
            damage(copy, f"UPDATE {kind.collection} SET {name} = 'changed'")
        opened = SqliteStore(copy)
        with pytest.raises(StoreDamaged, match="is not what was written"):
            list(opened.read_documents(kind, DocumentQuery()))
        opened.close()


@kinds
def test_no_read_and_no_write_relies_on_a_damaged_document(
    file: Path, kind: type[Document]
) -> None:
    damage(file, f"UPDATE {kind.collection} SET model = CAST(x'6d' AS TEXT)")
    opened = SqliteStore(file)
    whole = WHOLE[kind]
    place = ("acme", "demo", whole.id)
    changes: dict[str, Any] = dict.fromkeys(kind.changing)
    for call in (
        lambda: opened.find_document(kind, *place),
        lambda: opened.find_retried_document(kind, "acme", "demo", "h", "0"),
        lambda: opened.add_documents([whole]),
        lambda: opened.change_document(kind, *place, **changes),
    ):
        with pytest.raises(StoreUnavailable, match="is not what was written"):
            call()
    opened.close()


# Migration


def test_predictions_of_an_earlier_release_get_examples(
    mongodb_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.mongo.schema.PAGE", 2)
    opened = open_mongo_store(mongodb_uri)
    opened.prepare()
    given: list[dict[str, Any]] = [{"example_id": "x"}, {}, {"inputs_json": "{}"}, {}, {}]
    add(opened, *[a_prediction(**fields) for fields in given])
    opened._meta.delete_many({})
    opened._collection(Prediction).create_index("entity", name="predictions_by_run")
    for _ in range(3):  # One for each page.
        with pytest.raises(StoreUnavailable, match="is being migrated"):
            opened.prepare(seconds=0.0)
    opened.prepare(seconds=0.0)
    found = opened.read_documents(Prediction, query())
    digest = row_digest({"q": 1})
    assert [each.example_key for each in found] == ["x", digest, None, digest, digest]
    assert "predictions_by_run" not in opened._collection(Prediction).index_information()
    opened.close()


# Indexes


def use(store: Store, kind: type[Document]) -> None:
    """Call every method on one project that reads or changes documents."""
    made = MAKE[kind](id="x", idempotency_key="k", retry_hash="h")
    add(store, *[MAKE[kind](id=str(number)) for number in range(50)], made)
    store.add_documents([made])
    store.find_document(kind, "acme", "demo", "x")
    list(store.find_documents(kind, "acme", "demo", ["x", "1"]))
    store.find_retried_document(kind, "acme", "demo", "h", "0")
    filters = {"evaluation_run_id": ["r"]} if kind is Prediction else {"evaluation": ["e"]}
    for each in (query(), query(filters=filters), query(after="0", before="f", offset=1)):
        store.list_sort_ids(kind, replace(each, limit=2))
        list(store.read_documents(kind, each))
        list(store.read_fields(kind, each, ["id"]))
    if kind is Prediction:
        for each in (query(failed=True), query(filters=filters, failed=True)):
            list(store.read_fields(kind, each, ["id"]))
        list(store.read_fields(kind, query(filters={"predict_and_score_call_id": ["c"]}), ["id"]))
    changes: dict[str, Any] = dict.fromkeys(kind.changing & {"ended_at", "summary_json"})
    store.change_document(kind, "acme", "demo", "x", **changes)
    store.delete_documents(kind, "acme", "demo", ["x", "1"])


@kinds
def test_every_statement_uses_an_index(tmp_path: Path, kind: type[Document]) -> None:
    opened = SqliteStore(tmp_path / "s.db")
    opened.prepare()
    statements: list[str] = []
    for connection in (opened._db().reader(), opened._db()._writer):
        assert connection is not None
        connection.set_trace_callback(statements.append)
    use(opened, kind)
    asked = [each for each in statements if each.split()[0] in ("SELECT", "UPDATE", "DELETE")]
    assert len(asked) > 10
    for statement in asked:
        plan = [row[3] for row in opened._db().read_all(f"EXPLAIN QUERY PLAN {statement}")]
        assert [step for step in plan if "INDEX" in step], statement
        plan = [step for step in plan if step != "SCAN CONSTANT ROW"]
        assert not [step for step in plan if "SCAN" in step or "TEMP B-TREE" in step], statement
    opened.close()


OF_RUN = {"evaluation_run_id": ["r"]}


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (query(filters=OF_RUN), "COVERING INDEX predictions_by_run"),
        (query(filters=OF_RUN, failed=True), "INDEX failed_predictions_by_run"),
        (query(failed=True), "INDEX failed_predictions_by_project"),
        (query(filters={**OF_RUN, "example_key": ["x", "y"]}), "INDEX predictions_by_example"),
        (query(filters={"predict_and_score_call_id": ["x", "y"]}), "INDEX predictions_by_call"),
        (query(filters={"id": ["x", "y"]}), "INDEX predictions_by_id"),
    ],
)
def test_what_predictions_are_filtered_by_has_its_own_index(
    tmp_path: Path, wanted: DocumentQuery, index: str
) -> None:
    opened = SqliteStore(tmp_path / "s.db")
    opened.prepare()
    statements: list[str] = []
    opened._db().reader().set_trace_callback(statements.append)
    assert list(opened.read_fields(Prediction, wanted, ["id", "example_key"])) == []
    (statement,) = [each for each in statements if "FROM predictions" in each]
    plan = opened._db().read_all(f"EXPLAIN QUERY PLAN {statement}")
    assert any(index in row[3] for row in plan), plan
    opened.close()


@kinds
def test_documents_with_some_ids_are_read_by_the_index_of_ids(kind: type[Document]) -> None:
    some = query(filters={"id": ["a", "b"]})
    assert index_for_documents(kind.collection, some) == f"{kind.collection}_by_id"


@kinds
def test_every_find_on_mongodb_uses_an_index(mongodb_uri: str, kind: type[Document]) -> None:
    commands = Commands()
    client: MongoClient[dict[str, Any]]
    client = MongoClient(mongodb_uri, tz_aware=True, event_listeners=[commands])
    database = client.get_default_database()
    store = MongoStore(lambda: database)
    store.prepare()
    commands.finds.clear()  # A migration reads everything.
    use(store, kind)
    asked = [command for command in commands.finds if command["find"] == kind.collection]
    assert len(asked) > 10
    for command in asked:
        plan = database.command({"explain": command, "verbosity": "queryPlanner"})
        assert "COLLSCAN" not in plan_stages(plan["queryPlanner"]["winningPlan"]), command
        assert repeats_condition(command), command
    client.close()
