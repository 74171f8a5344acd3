"""What Weave's SDK sends: one contract for every engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import mongomock
import pytest
from pymongo import MongoClient

from app.ids import new_id_at
from app.services.scores import NO_RETRY, new_score
from app.stores.base import DocumentQuery, Kept, ScoreQuery, Store
from app.stores.listing import Named
from app.stores.model import Document, EvaluationRun, Prediction, Score
from app.stores.mongo.store import MongoStore
from app.stores.mongo.writes import add_one_by_one
from app.stores.sqlite.store import SqliteStore
from app.stores.weave import (
    SENT_DOCUMENTS,
    Alias,
    Call,
    Content,
    Cost,
    Feedback,
    ObjectVersion,
    Projected,
    ScoreSource,
)
from tests.stores.test_documents import a_prediction
from tests.stores.test_listing import Asked

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)
ODD = 'a\0b$.é😀"\\\n'
PLACE: dict[str, Any] = {"entity": "acme", "project": "demo"}
COMMON: dict[str, Any] = {**PLACE, "wb_user_id": "olga", "body_hash": "0" * 64}

WHOLE: dict[type[Document], Document] = {
    Content: Content(**COMMON, id="row/d", text=ODD),
    Alias: Alias(**COMMON, id="a", object_id=ODD, name=ODD, digest="d"),
    Cost: Cost(**COMMON, id="u", body_json="{}"),
    ObjectVersion: ObjectVersion(
        **COMMON,
        id="o:d",
        object_id=ODD,
        digest="d",
        kind="object",
        base_class="Dataset",
        leaf_class="MyDataset",
        published_at=NOW,
        published_by="olga",
        deleted_at=NOW,
        value_json="{}",
        tags_json="[]",
    ),
    Call: Call(
        **COMMON,
        id="c",
        trace_id="t",
        parent_id="p",
        op_name=ODD,
        started_at=NOW,
        ended_at=NOW,
        start_json='{"x":1.0}',
        end_json="{}",
        renamed_json="null",
    ),
    Feedback: Feedback(
        **COMMON,
        id="f",
        call_id="c",
        awaited_call="c",
        weave_ref="w",
        feedback_type=ODD,
        body_json="{}",
        sender_role="write",
    ),
    ScoreSource: ScoreSource(
        **COMMON,
        id="p/n",
        evaluation_run_id="r",
        prediction_id=ODD,
        score_id="s",
        judgements_json="{}",
    ),
}


def a_call(call_id: str, **fields: Any) -> Call:
    body_hash = "".join(sorted(fields))
    return Call(**PLACE, id=call_id, body_hash=body_hash, **fields)


def fill(stored: Call, sent: Call) -> Call:
    """Add the texts that are new."""
    start, end = stored.start_json or sent.start_json, stored.end_json or sent.end_json
    return replace(stored, start_json=start, end_json=end, body_hash=f"{start} {end}")


def a_score(value: Any = 1) -> Score:
    body = {"prediction_id": "p", "scorer": "s", "value": value, "evaluation_run_id": "r"}
    return new_score("acme", "demo", "olga", body, NO_RETRY)


def a_source(body_hash: str) -> ScoreSource:
    return ScoreSource(**PLACE, id="p&s/s", body_hash=body_hash, prediction_id="p", score_id="")


B_SOURCE = replace(a_source("j"), id="p&s/t")


@pytest.mark.parametrize("kind", SENT_DOCUMENTS)
def test_every_field_that_the_sdk_sends_is_kept(store: Store, kind: type[Document]) -> None:
    (outcome,) = store.add_documents([WHOLE[kind]])
    (again,) = store.add_documents([WHOLE[kind]])
    found = store.find_document(kind, "acme", "demo", WHOLE[kind].id)
    assert (outcome.kept, again.kept) == (Kept.CREATED, Kept.PRESENT)
    assert found
    assert replace(found, sort_id="") == WHOLE[kind]


def test_a_call_is_added_and_then_merged(store: Store) -> None:
    (first,) = store.upsert_documents([a_call("c", end_json="2")], fill)
    (second,) = store.upsert_documents([a_call("c", start_json="1")], fill)
    assert second == replace(first, start_json="1", body_hash="1 2")
    assert store.find_document(Call, "acme", "demo", "c") == second


def test_a_change_between_reading_and_merging_is_kept(store: Store) -> None:
    run = EvaluationRun(**COMMON, id="r", evaluation="e", model="m", started_at=NOW, name="old")
    store.upsert_documents([run], lambda _stored, sent: sent)
    if isinstance(store, SqliteStore):
        pytest.skip("SQLite reads and merges in one transaction")

    def merge(stored: EvaluationRun, sent: EvaluationRun) -> EvaluationRun:
        store.change_document(EvaluationRun, "acme", "demo", "r", name="new", description="d")
        return replace(sent, sort_id=stored.sort_id, name=stored.name)

    store.upsert_documents([replace(run, body_hash="1" * 64, status="completed")], merge)
    found = store.find_document(EvaluationRun, "acme", "demo", "r")
    assert found
    assert (found.status, found.name, found.description) == ("completed", "new", "d")


def test_what_another_write_has_just_stored_is_durable_before_a_repeat_succeeds(
    mongodb_uri: str,
) -> None:
    asked = Asked()
    with MongoClient[dict[str, Any]](mongodb_uri, event_listeners=[asked]) as client:
        store = MongoStore(client.get_default_database)
        store.upsert_documents([a_call("c", start_json="1")], fill)
        asked.commands.clear()
        store.upsert_documents([a_call("c", start_json="1")], fill)  # Changes and writes nothing.
    (read,) = (each for each in asked.commands if each.get("find") == "calls")
    assert read["readConcern"] == {"level": "majority"}


def test_the_same_call_twice_in_one_write_is_merged_in_order(store: Store) -> None:
    sent = [a_call("c", start_json="1"), a_call("d"), a_call("c", end_json="2")]
    stored = store.upsert_documents(sent, fill)
    assert [(each.id, each.start_json, each.end_json) for each in stored] == [
        ("c", "1", "2"),
        ("d", None, None),
        ("c", "1", "2"),
    ]


def test_calls_of_two_projects_with_one_id_never_meet(store: Store) -> None:
    other = replace(a_call("c", start_json="1"), project="other")
    store.upsert_documents([a_call("c", start_json="2"), other], fill)
    assert [
        each.start_json
        for project in ("demo", "other")
        for each in store.read_documents(Call, DocumentQuery("acme", project))
    ] == ["2", "1"]


def test_merges_of_many_threads_all_count(store: Store) -> None:
    barrier = Barrier(8)

    def add(name: int) -> None:
        barrier.wait()
        store.upsert_documents([a_call("c", start_json=f" {name}")], collect)

    def collect(stored: Call, sent: Call) -> Call:
        if (sent.start_json or "") in (stored.start_json or ""):
            return stored
        text = (stored.start_json or "") + (sent.start_json or "")
        return replace(stored, start_json=text, body_hash=text)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    found = store.find_document(Call, "acme", "demo", "c")
    assert found
    assert sorted((found.start_json or "").split()) == [str(n) for n in range(8)]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Call, "parent_id"),
        (Call, "trace_id"),
        (Call, "op_name"),
        (Feedback, "call_id"),
        (ObjectVersion, "object_id"),
        (ScoreSource, "prediction_id"),
    ],
)
def test_what_the_sdk_sends_is_found_by_what_it_names(
    store: Store, kind: type[Document], name: str
) -> None:
    store.add_documents([WHOLE[kind], replace(WHOLE[kind], id="x", **{name: "other"})])
    wanted = DocumentQuery("acme", "demo", filters={name: [getattr(WHOLE[kind], name)]})
    assert [each.id for each in store.read_documents(kind, wanted)] == [WHOLE[kind].id]


def test_nothing_to_add_changes_nothing(store: Store) -> None:
    assert store.add_projected([])
    assert store.upsert_documents([], fill) == []


def test_a_score_and_its_source_are_stored_together(store: Store) -> None:
    assert store.add_projected([Projected(a_score(), a_source("h"), None)])
    (score_id,) = store.list_score_ids(ScoreQuery("acme", "demo"))
    found = store.find_document(ScoreSource, "acme", "demo", "p&s/s")
    assert found
    assert (found.score_id, found.body_hash) == (score_id, "h")
    assert store.add_projected([Projected(a_score(2), a_source("i"), "h")])
    newer = store.find_document(ScoreSource, "acme", "demo", "p&s/s")
    assert newer
    assert newer.sort_id == found.sort_id
    assert newer.score_id > score_id


@pytest.mark.parametrize("known_hash", [None, "h"])
def test_several_scores_of_a_source_are_added_in_order(
    store: Store, known_hash: str | None
) -> None:
    if known_hash:
        store.add_projected([Projected(a_score(0), a_source(known_hash), None)])
    sources = [a_source("i"), B_SOURCE, a_source("k"), a_source("l")]
    known = [known_hash, None, known_hash, known_hash]
    scores = map(a_score, range(1, 5))
    assert store.add_projected(list(map(Projected, scores, sources, known)))
    query = ScoreQuery("acme", "demo")
    found = list(store.read_scores("acme", "demo", store.list_score_ids(query)))
    assert [each.value_json for each in found][-4:] == ["1", "2", "3", "4"]
    source = store.find_document(ScoreSource, "acme", "demo", "p&s/s")
    assert source
    assert (source.score_id, source.body_hash) == (found[-1].score_id, "l")


@pytest.mark.parametrize("known_hash", [None, "old"])
def test_a_score_whose_source_has_changed_is_not_stored(
    store: Store, known_hash: str | None
) -> None:
    store.add_projected([Projected(a_score(), a_source("h"), None)])
    other = Projected(a_score(), replace(a_source("j"), id="p&s/t"), None)
    assert not store.add_projected([other, Projected(a_score(2), a_source("i"), known_hash)])
    assert len(store.list_score_ids(ScoreQuery("acme", "demo"))) == 1
    assert store.find_document(ScoreSource, "acme", "demo", "p&s/t") is None


def test_of_many_threads_with_one_source_one_adds_its_score(store: Store) -> None:
    barrier = Barrier(8)

    def add(value: int) -> bool:
        barrier.wait()
        return store.add_projected([Projected(a_score(value), a_source(str(value)), None)])

    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(add, range(8)))
    assert added.count(True) == 1
    assert len(store.list_score_ids(ScoreQuery("acme", "demo"))) == 1


def test_a_score_whose_source_another_one_takes_meanwhile_is_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database: Any = mongomock.MongoClient(tz_aware=True)["scoreline"]
    store = MongoStore(lambda: database)  # It has no transactions.
    first = [Projected(a_score(1), a_source("h"), None)]
    others = [
        Projected(a_score(2), a_source("i"), None),
        Projected(a_score(3), B_SOURCE, None),
        Projected(a_score(4), a_source("k"), None),
    ]

    def add_after_another(*values: Any, **options: Any) -> Any:
        monkeypatch.undo()
        assert store.add_projected(first)
        return add_one_by_one(*values, **options)

    monkeypatch.setattr("app.stores.mongo.upserts.add_one_by_one", add_after_another)
    assert not store.add_projected(others)
    found = store.read_scores("acme", "demo", store.list_score_ids(ScoreQuery("acme", "demo")))
    assert [each.value_json for each in found] == ["3", "1"]


def test_a_newer_score_of_a_source_supersedes_also_if_its_clock_is_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(store, SqliteStore):
        pytest.skip("SQLite's ids ascend")
    ahead = new_id_at(datetime.now(UTC) + timedelta(minutes=1))
    monkeypatch.setattr("app.stores.mongo.writes.next_id", lambda _other: ahead)
    store.add_projected([Projected(a_score(1), a_source("h"), None)])
    monkeypatch.undo()
    store.add_projected([Projected(a_score(2), a_source("i"), "h")])
    query = ScoreQuery("acme", "demo", only_current=True)
    (current,) = store.read_scores("acme", "demo", store.list_score_ids(query))
    assert current.value_json == "2"


def test_the_names_of_ops_are_listed_once(store: Store) -> None:
    named = [a_call(str(place), op_name=name) for place, name in enumerate((ODD, "f", "", ODD))]
    elsewhere = replace(a_call("c", op_name="g"), project="other")
    store.upsert_documents([*named, a_call("unnamed"), elsewhere], fill)
    assert sorted(store.list_op_names("acme", "demo")) == ["", ODD, "f"]


def test_predictions_are_found_by_the_row_that_they_await(store: Store) -> None:
    store.add_documents([a_prediction(id=f"of {row}", awaited_row=row) for row in ("a", "b", None)])
    wanted = DocumentQuery("acme", "demo", filters={"awaited_row": ["b", "c"]})
    assert [each.id for each in store.read_documents(Prediction, wanted)] == ["of b"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((Call, "parent_id"), (Call, "trace_id"), (Feedback, "call_id")),
        *((ObjectVersion, "object_id"), (Prediction, "awaited_row")),
        *((Call, "id"), (Prediction, "id")),
    ],
)
@pytest.mark.parametrize("after", [None, "x"])
def test_several_values_are_looked_up_in_their_index(
    tmp_path: Path, kind: type[Document], name: str, after: str | None
) -> None:
    opened = SqliteStore(tmp_path / "s.db")
    opened.prepare()
    statements: list[str] = []
    opened._db().reader().set_trace_callback(statements.append)
    query = DocumentQuery("acme", "demo", filters={name: ["a", "b"]}, after=after)
    assert list(opened.read_documents(kind, query)) == []
    (statement,) = [each for each in statements if f"FROM {kind.collection}" in each]
    plan = opened._db().read_all(f"EXPLAIN QUERY PLAN {statement}")
    assert any(f"{name}=?" in row[3] for row in plan), plan
    opened.close()


def by_start(store: Store, kind: type[Document], **options: Any) -> list[str]:
    pages = store.read_by_start(kind, "acme", "demo", ("id",), **options)
    return [row[0] for page in pages for row in page]


@pytest.mark.parametrize("page", [1, 2, 1_000])
def test_calls_are_read_in_the_order_in_which_they_began(
    store: Store, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    for engine in ("mongo", "sqlite"):
        monkeypatch.setattr(f"app.stores.{engine}.listing.PAGE", page)
    first, second = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    calls = [
        a_call("d", started_at=second),
        a_call("c", started_at=first),
        a_call("b", started_at=second),
        a_call("a", started_at=second),
        a_call("unstarted"),
        replace(a_call("elsewhere", started_at=first), project="other"),
    ]
    store.upsert_documents(calls, fill)
    assert by_start(store, Call, newest_first=False) == ["c", "a", "b", "d"]
    assert by_start(store, Call, newest_first=True) == ["d", "b", "a", "c"]


@pytest.mark.parametrize("page", [1, 2, 1_000])
def test_predictions_are_read_in_the_order_in_which_they_began(
    store: Store, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    for engine in ("mongo", "sqlite"):
        monkeypatch.setattr(f"app.stores.{engine}.listing.PAGE", page)
    first, second = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    given = {"c": second, "b": first, "a": first, "z": None, "y": None}
    made = [a_prediction(id=name, started_at=began) for name, began in given.items()]
    store.add_documents([*made, a_prediction(id="hidden", evaluation_run_id="r")])
    store.begin_deletions("acme", "demo", ["r"], "k")
    assert by_start(store, Prediction, newest_first=False) == ["b", "a", "c"]
    assert by_start(store, Prediction, newest_first=True) == ["c", "a", "b"]
    assert by_start(store, Prediction, newest_first=False, started=False) == ["z", "y"]
    assert by_start(store, Prediction, newest_first=True, started=False) == ["y", "z"]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    ("kind", "started", "found"),
    [
        (Call, True, "(entity=? AND project=? AND (started_at,id)"),
        (Prediction, True, "(entity=? AND project=? AND (started_at,_id)"),
        (Prediction, False, "(entity=? AND project=? AND started_at=? AND _id"),
    ],
)
def test_what_is_read_by_start_is_not_sorted(
    tmp_path: Path, kind: type[Document], *, started: bool, found: str, newest_first: bool
) -> None:
    opened = SqliteStore(tmp_path / "s.db")
    opened.prepare()
    statements: list[str] = []
    opened._db().reader().set_trace_callback(statements.append)
    assert by_start(opened, kind, newest_first=newest_first, started=started) == []
    (statement,) = [each for each in statements if f"FROM {kind.collection}" in each]
    (step,) = opened._db().read_all(f"EXPLAIN QUERY PLAN {statement}")
    assert found in step[3]
    opened.close()


def waiting(store: Store) -> int:
    return store.count_project("acme", "demo").waiting_feedback


def awaiting(feedback_id: str, body_hash: str = "h", **changes: Any) -> Feedback:
    fields = {**PLACE, "call_id": "c", "awaited_call": "c", **changes}
    return Feedback(
        id=feedback_id,
        body_hash=body_hash,
        weave_ref="w",
        feedback_type="t",
        body_json="{}",
        **fields,
    )


def test_feedback_waits_until_its_scores_are_stored(store: Store) -> None:
    sent = [awaiting("a"), awaiting("b"), awaiting("c", awaited_call=None)]
    found = store.upsert_documents(sent, lambda stored, _: stored)
    store.upsert_documents([awaiting("a", project="other")], lambda stored, _: stored)
    assert waiting(store) == 2
    assert store.add_projected([Projected(a_score(), a_source("h"), None)], found[:1])
    assert waiting(store) == 1
    assert store.find_document(Feedback, "acme", "demo", "a") == replace(
        found[0], awaited_call=None
    )
    # A source that is not the known one keeps all of it from being stored.
    assert not store.add_projected([Projected(a_score(2), a_source("i"), None)], found[1:])
    assert waiting(store) == 1
    assert store.add_projected([], found)
    assert waiting(store) == 0
    assert store.count_project("acme", "other").waiting_feedback == 1


def test_feedback_that_has_changed_since_it_was_read_waits(store: Store) -> None:
    found = store.upsert_documents([awaiting("a")], lambda stored, _: stored)
    store.upsert_documents(
        [awaiting("a", "changed")],
        lambda stored, sent: replace(sent, sort_id=stored.sort_id),
    )
    assert store.add_projected([], found)
    assert waiting(store) == 1


@pytest.mark.parametrize("kind", [Call, Content, Feedback, ObjectVersion])
def test_a_project_exists_by_what_the_sdk_has_sent(store: Store, kind: type[Document]) -> None:
    (made,) = store.upsert_documents([WHOLE[kind]], lambda stored, _: stored)
    assert store.list_entities() == ["acme"]
    assert store.list_projects("acme") == [Named("demo", made.sort_id)]
