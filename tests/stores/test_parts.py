"""Texts that are too large for a MongoDB document: one contract for every engine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Event
from typing import Any

import pymongo.errors
import pytest
from pymongo.collection import Collection

from app import jsontext
from app.errors import StoreDamaged, StoreUnavailable
from app.ids import AFTER_ALL
from app.stores.base import START, Kept, ScoreQuery, Store
from app.stores.checks import FAIL, OK, WARN
from app.stores.model import UNASSIGNED, Document, EvaluationRun, Prediction, Score
from app.stores.mongo.store import MongoStore, open_mongo_store
from app.stores.weave import Call, Content, Feedback, ObjectVersion, Projected, ScoreSource
from tests.stores.test_contract import a_score, all_scores
from tests.stores.test_documents import a_prediction, a_run, query
from tests.stores.test_mongo import Commands, plan_stages
from tests.stores.test_weave import NOW, PLACE, WHOLE, a_call, fill

MEGABYTE = 1_000_000
ODD = 'é😀"\\\n'
"""Texts of one to four bytes a character."""

LARGE_FIELDS: dict[type[Document], str] = {
    Content: "text",
    ObjectVersion: "value_json",
    Call: "start_json",
    Feedback: "body_json",
    Prediction: "output_json",
    EvaluationRun: "summary_json",
}
SMALL: dict[type[Document], Document] = {
    **WHOLE,
    Prediction: a_prediction(id="p", evaluation_run_id="r"),
    EvaluationRun: a_run(id="r"),
}
kinds = pytest.mark.parametrize("kind", LARGE_FIELDS)


def text_of(megabytes: int, mark: str = "x") -> str:
    """Return a text of so many million bytes in which no two parts are the same."""
    lines = "".join(f"{mark} {n:06} {ODD}\n" for n in range(1_000))
    times = megabytes * MEGABYTE // len(lines.encode())
    made = "".join(f"{n}{lines}" for n in range(times))
    return made + "." * (megabytes * MEGABYTE - len(made.encode()))


def large(kind: type[Document], megabytes: int = 17, **changes: Any) -> Any:
    return replace(SMALL[kind], **{LARGE_FIELDS[kind]: text_of(megabytes), **changes})


def parts_of(store: Store) -> list[str]:
    """Return the ids of all parts of a MongoDB store, [] for another one."""
    if not isinstance(store, MongoStore):
        return []
    return sorted(each["id"] for each in store._database["parts"].find({"n": 0}, {"id": 1}))


def named_parts(store: Store, kind: type[Document | Score]) -> list[str]:
    """Return the ids of the parts that documents of a MongoDB store name."""
    if not isinstance(store, MongoStore):
        return []
    found = store._database[kind.collection].find({"in_parts": {"$exists": True}})
    return sorted(each["id"] for document in found for each in document["in_parts"].values())


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the texts of a document of more than 1,000 bytes in parts of 300 bytes."""
    monkeypatch.setattr("app.stores.mongo.driver._SMALL", 0)
    monkeypatch.setattr("app.stores.mongo.parts.MOST_BYTES", 1_000)
    monkeypatch.setattr("app.stores.mongo.parts.PART_BYTES", 300)
    monkeypatch.setattr("app.stores.mongo.parts.CHANGE_CHARACTERS", 500)
    monkeypatch.setattr("app.stores.mongo.parts.PAUSE_SECONDS", 0.001)


@pytest.fixture
def mongo(mongodb_uri: str, small_parts: None) -> Iterator[MongoStore]:
    """Return a prepared store with small parts on the MongoDB server."""
    opened = open_mongo_store(mongodb_uri)
    opened.prepare()
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("kind", "megabytes"), [*((each, 17) for each in LARGE_FIELDS), (Call, 30)]
)
def test_a_document_of_any_size_is_kept_as_it_is(
    store: Store, kind: type[Document], megabytes: int
) -> None:
    whole = large(kind, megabytes)
    (outcome,) = store.add_documents([whole])
    assert outcome.kept is Kept.CREATED
    found = store.find_document(kind, "acme", "demo", whole.id)
    assert found
    assert replace(found, sort_id=whole.sort_id) == whole
    assert list(store.read_documents(kind, query())) == [found]
    assert list(store.find_documents(kind, "acme", "demo", [whole.id])) == [found]
    assert store.add_documents([whole])[0].kept is Kept.PRESENT
    assert parts_of(store) == named_parts(store, kind)
    assert store.delete_documents(kind, "acme", "demo", [whole.id]) == 1
    assert parts_of(store) == []


def test_the_large_start_and_end_of_a_call_are_merged(store: Store) -> None:
    def merge(stored: Call, sent: Call) -> Call:
        return replace(sent, sort_id=stored.sort_id, end_json=stored.end_json)

    start, end = text_of(17, "start"), text_of(14, "end")
    store.upsert_documents([a_call("c", end_json=end)], merge)
    store.upsert_documents([a_call("c", start_json=start)], merge)
    found = store.find_document(Call, "acme", "demo", "c")
    assert found
    assert (found.start_json, found.end_json) == (start, end)
    assert parts_of(store) == named_parts(store, Call)


def test_a_call_that_becomes_large_or_small_leaves_no_parts(
    store: Store, small_parts: None
) -> None:
    def put(stored: Call, sent: Call) -> Call:
        return replace(sent, sort_id=stored.sort_id)

    for size in (1, 5_000, 6_000, 2, 7_000):
        text = f"{size} " * size
        sent = replace(a_call("c", start_json=text, end_json="1"), body_hash=str(size))
        store.upsert_documents([sent], put)
        found = store.find_document(Call, "acme", "demo", "c")
        assert found
        assert (found.start_json, found.end_json) == (text, "1")
        assert parts_of(store) == named_parts(store, Call)
        if isinstance(store, MongoStore):
            assert len(parts_of(store)) == (size > 1_000)


def test_a_change_can_be_large(store: Store, small_parts: None) -> None:
    add = store.add_documents
    add([a_run(id="r", summary_json="s" * 2_000, attributes_json="a" * 2_000)])
    for text in ("t" * 3_000, "u" * 10, None, "v" * 4_000):
        assert store.change_document(EvaluationRun, "acme", "demo", "r", summary_json=text)
        found = store.find_document(EvaluationRun, "acme", "demo", "r")
        assert found
        assert (found.summary_json, found.attributes_json) == (text, "a" * 2_000)
        assert parts_of(store) == named_parts(store, EvaluationRun)
    assert not store.change_document(EvaluationRun, "acme", "demo", "x", summary_json="w" * 999)
    assert parts_of(store) == named_parts(store, EvaluationRun)


def test_only_the_wanted_fields_are_put_together(store: Store, small_parts: None) -> None:
    whole = a_prediction(id="p", inputs_json="i" * 2_000, output_json="o" * 2_000)
    store.add_documents([whole, replace(whole, id="q", output_json="2")])
    (rows,) = store.read_fields(Prediction, query(), ["output_json", "id"])
    assert [row[1:] for row in rows] == [("o" * 2_000, "p"), ("2", "q")]


def test_texts_are_put_together_also_in_the_order_of_the_start(
    store: Store, small_parts: None
) -> None:
    calls = [a_call(text, start_json=text * 2_000, started_at=NOW) for text in "ab"]
    store.upsert_documents(calls, fill)
    pages = store.read_by_start(Call, "acme", "demo", ["start_json"], newest_first=True)
    assert [text for page in pages for (text,) in page] == ["b" * 2_000, "a" * 2_000]


def test_many_large_documents_are_read_in_pages(
    store: Store, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.mongo.driver.PAGE_BYTES", 4_000)
    calls = [a_call(str(n), start_json=f"{n}" * 3_000) for n in range(9)]
    stored = store.upsert_documents(calls, fill)
    assert list(store.read_documents(Call, query())) == stored
    assert list(store.find_documents(Call, "acme", "demo", [each.id for each in calls])) == stored
    if isinstance(store, MongoStore):
        pages = store.read_fields(Call, query(), ["start_json"])
        assert [len(page) for page in pages] == [2, 2, 2, 2, 1]


def test_concurrent_upserts_never_mix_two_versions(store: Store, small_parts: None) -> None:
    barrier = Barrier(4)

    def put(stored: Call, sent: Call) -> Call:
        return replace(sent, sort_id=stored.sort_id)

    def add(mark: int) -> None:
        barrier.wait()
        for n in range(3):
            text = f"{mark}.{n} " * 700
            sent = replace(a_call("c", start_json=text, end_json=text), body_hash=f"{mark}.{n}")
            store.upsert_documents([sent], put)

    def read() -> None:
        while not ended.is_set():
            found = store.find_document(Call, "acme", "demo", "c")
            assert (
                found is None or found.start_json == found.end_json == f"{found.body_hash} " * 700
            )

    ended = Event()
    with ThreadPoolExecutor(5) as pool:
        reading = pool.submit(read)
        adding = [pool.submit(add, mark) for mark in range(4)]
        for each in adding:
            each.exception()
        ended.set()
    assert [each.exception() for each in (*adding, reading)] == [None] * 5
    assert parts_of(store) == named_parts(store, Call)


def test_a_deleted_run_takes_the_parts_of_its_predictions_along(
    store: Store, small_parts: None
) -> None:
    of_run = a_prediction(id="p", evaluation_run_id="r", output_json="o" * 2_000)
    store.add_documents([of_run, replace(of_run, id="q", evaluation_run_id=None)])
    (deletion,) = store.begin_deletions("acme", "demo", ["r"], "key")
    store.continue_deletion(deletion, "worker", 100)
    (left,) = store.read_documents(Prediction, query())
    assert left.id == "q"
    assert parts_of(store) == named_parts(store, Prediction)
    store.delete_unassigned("acme", "demo", AFTER_ALL, 100)
    assert parts_of(store) == []


# Scores


def a_large_score(**changes: Any) -> Score:
    return a_score(value_json=f'"{"v" * 2_000}"', reason="r" * 3_000, **changes)


@pytest.mark.parametrize("megabytes", [17, 30])
def test_a_score_of_any_size_is_kept_as_it_is(store: Store, megabytes: int) -> None:
    whole = a_score(value_json=jsontext.write(text_of(megabytes)))
    assert store.add_score(whole).kept is Kept.CREATED
    assert store.find_score("acme", "demo", whole.score_id) == whole
    assert store.add_score(whole).kept is Kept.PRESENT
    assert store.delete_scores("acme", "demo", [whole.score_id]) == 1
    assert parts_of(store) == []


def test_every_read_of_scores_puts_their_texts_together(store: Store, small_parts: None) -> None:
    whole = a_large_score()
    added = [
        store.add_score(a_large_score(score_id=UNASSIGNED)),
        *store.add_missing([a_large_score(idempotency_key="k"), whole], partial=False),
        store.add_score(a_score()),
    ]
    assert [each.kept for each in added] == [Kept.CREATED] * 4
    ids = sorted(each.id for each in added)
    scores = list(store.read_scores("acme", "demo", ids))
    assert [len(each.value_json) for each in scores].count(2_002) == 3
    assert all_scores(store) == scores
    assert store.add_missing([whole], partial=False)[0].kept is Kept.PRESENT
    of_slot = store.read_slot(whole)
    assert sorted(of_slot, key=lambda each: each.score_id) == scores
    query = ScoreQuery("acme", "demo", only_current=False)
    pages = [page.keys for page in store.read_leaves(query, ["score_id", "value_json"])]
    keys = [key for page in pages for key in page]
    assert keys == [(each.score_id, each.value_json) for each in scores]
    assert parts_of(store) == named_parts(store, Score)
    store.delete_scores("acme", "demo", ids)
    assert parts_of(store) == []


def test_a_source_brings_a_large_score(store: Store, small_parts: None) -> None:
    source = ScoreSource(**PLACE, id="k", body_hash="h", prediction_id="p", score_id="")
    assert store.add_projected([Projected(a_large_score(score_id=UNASSIGNED), source, None)])
    (score,) = all_scores(store)
    assert score.reason == "r" * 3_000
    assert parts_of(store) == named_parts(store, Score)


# On MongoDB


def verdict(store: MongoStore) -> tuple[str, str]:
    """Return what the doctor says of parts."""
    (found,) = [each for each in store.check() if each.check == "parts"]
    return found.verdict, found.says


def test_a_document_whose_parts_are_missing_is_damaged(mongo: MongoStore) -> None:
    mongo.upsert_documents([a_call("c", start_json="x" * 5_000), a_call("d")], fill)
    assert verdict(mongo)[0] == OK
    mongo._database["parts"].delete_one({"n": 1})
    score = a_large_score()
    mongo.add_score(score)
    mongo._database["parts"].delete_one({"n": 0, "collection": "scores"})
    with pytest.raises(StoreDamaged):
        mongo.find_document(Call, "acme", "demo", "c")
    assert mongo.find_document(Call, "acme", "demo", "d")
    found, says = verdict(mongo)
    assert found == FAIL
    assert "'c' of acme/demo in calls" in says
    assert f"'{score.score_id}' of acme/demo in scores" in says


def test_changes_return_large_scores_but_not_deleted_ones(mongo: MongoStore) -> None:
    cursor = mongo.read_changes("acme", "demo", None, 10, 0.0).cursor
    scores = [a_large_score() for _ in range(3)]
    for score in scores:
        mongo.add_score(score)
    mongo.delete_scores("acme", "demo", [scores[1].score_id])
    kept = [scores[0], scores[2]]
    assert mongo.read_changes("acme", "demo", cursor, 10, 5.0).scores == kept
    assert mongo.read_changes("acme", "demo", START, 10, 0.0).scores == kept


def test_parts_of_a_write_that_broke_off_are_removed_by_age(
    mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mongo.upsert_documents([a_call("kept", start_json="x" * 5_000)], fill)

    def break_off(*_: Any, **__: Any) -> None:
        raise pymongo.errors.OperationFailure("broken off")

    with monkeypatch.context() as patch, suppress(StoreUnavailable):
        patch.setattr(Collection, "bulk_write", break_off)
        mongo.upsert_documents([a_call("c", start_json="y" * 5_000)], fill)
    assert len(parts_of(mongo)) == 2
    assert verdict(mongo)[0] == OK  # They might be about to be named.
    mongo.delete_unassigned("acme", "demo", AFTER_ALL, 100)
    assert len(parts_of(mongo)) == 2
    monkeypatch.setattr("app.stores.mongo.parts.ORPHAN_AGE", timedelta(seconds=-10))
    assert verdict(mongo)[0] == WARN
    mongo.delete_unassigned("other", "demo", AFTER_ALL, 100)
    assert len(parts_of(mongo)) == 2
    mongo.delete_unassigned("acme", "demo", AFTER_ALL, 100)
    assert parts_of(mongo) == named_parts(mongo, Call)
    assert verdict(mongo)[0] == OK


def test_every_find_of_parts_uses_their_index(mongodb_uri: str, small_parts: None) -> None:
    commands = Commands()
    client: pymongo.MongoClient[dict[str, Any]]
    client = pymongo.MongoClient(mongodb_uri, tz_aware=True, event_listeners=[commands])
    database = client.get_default_database()
    store = MongoStore(lambda: database)
    store.prepare()
    commands.finds.clear()
    store.upsert_documents([a_call("c", start_json="x" * 5_000)], fill)
    list(store.read_documents(Call, query()))
    store.add_score(a_large_score())
    all_scores(store)
    list(store.check())
    store.delete_unassigned("acme", "demo", AFTER_ALL, 100)
    asked = [each for each in commands.finds if each["find"] == "parts" or "in_parts" in str(each)]
    assert len([each for each in asked if each["find"] == "parts"]) >= 4
    for command in asked:
        plan = database.command({"explain": command, "verbosity": "queryPlanner"})
        assert "COLLSCAN" not in plan_stages(plan["queryPlanner"]["winningPlan"]), command
    client.close()
