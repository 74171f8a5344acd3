"""The contract of a store, for every engine: SQLite, MongoDB over TCP, and mongomock."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import mongomock
import pytest
from uuid_utils import uuid7

from app.errors import Conflict, InvalidParameter, StoreUnavailable
from app.ids import id_time
from app.scorers import scorer_name
from app.stores.base import Changes, Extent, Kept, Outcome, ScoreQuery, Store, behind
from app.stores.checks import FAIL, CheckResult
from app.stores.model import UNASSIGNED, ApiKey, Score
from app.stores.mongo.store import MongoStore
from app.stores.mongo.transactions import has_transactions

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)


def a_score(**changes: Any) -> Score:
    score = Score(
        score_id=str(uuid7()),
        entity="acme",
        project="demo",
        evaluation_run_id=None,
        prediction_id="p",
        scorer="s",
        scorer_name="s",
        value_json="1",
        leaves=[{"path": "", "kind": "number", "number": 1.0}],
        wb_user_id="olga",
        created_at=NOW,
        idempotency_key=None,
        body_hash="0" * 64,
    )
    if "scorer" in changes:
        changes.setdefault("scorer_name", scorer_name(changes["scorer"]))
    return replace(score, **changes)


def all_scores(store: Store) -> list[Score]:
    """Return all scores of a store, project by project."""
    found: list[Score] = []
    project = store.next_project(None)
    while project:
        found += store.scan_scores(ScoreQuery(*project, limit=1_000_000))
        project = store.next_project(project)
    return found


def a_key(**changes: Any) -> ApiKey:
    key_id = str(uuid7())
    return replace(ApiKey(key_id, "n", "read", "*", "olga", key_id * 2, NOW), **changes)


def test_prepare_may_be_repeated(store: Store) -> None:
    store.add_score(a_score())
    store.prepare()
    store.ping()


def kept(outcomes: Iterable[Outcome]) -> list[Kept]:
    return [outcome.kept for outcome in outcomes]


def new(**changes: Any) -> Score:
    return a_score(score_id=UNASSIGNED, **changes)


def test_a_score_id_is_used_once(store: Store) -> None:
    score = a_score()
    assert store.add_score(score) == Outcome(Kept.CREATED, score.score_id)
    assert store.add_score(score) == Outcome(Kept.PRESENT, score.score_id)
    other = replace(score, value_json="2")
    assert store.add_score(other) == Outcome(Kept.ID_TAKEN, score.score_id)
    assert store.find_score("acme", "demo", score.score_id) == score


def test_an_idempotency_key_is_used_once_in_a_project(store: Store) -> None:
    first = store.add_score(new(idempotency_key="k", body_hash="1"))
    assert first.kept is Kept.CREATED
    again = store.add_score(new(idempotency_key="k", body_hash="1"))
    assert again == Outcome(Kept.REPLAYED, first.id)
    other = store.add_score(new(idempotency_key="k", body_hash="2"))
    assert other == Outcome(Kept.KEY_TAKEN, first.id)
    for elsewhere in ({"project": "other"}, {"entity": "other"}, {"idempotency_key": None}):
        score = new(**{"idempotency_key": "k", "body_hash": "1", **elsewhere})
        assert store.add_score(score).kept is Kept.CREATED


def test_a_new_score_gets_an_id_with_its_time(store: Store) -> None:
    ids = [store.add_score(new()).id for _ in range(20)]
    ids += [each.id for each in store.add_missing([new() for _ in range(20)], partial=False)]
    assert sorted(set(ids)) == ids
    for score in store.read_scores("acme", "demo", ids):
        assert score.created_at == id_time(score.score_id)


def test_without_partial_one_refused_score_prevents_the_others(store: Store) -> None:
    first = store.add_score(new(idempotency_key="k", body_hash="1")).id
    call = [new(), new(idempotency_key="k", body_hash="2"), new(idempotency_key="k", body_hash="1")]
    outcomes = store.add_missing(call, partial=False)
    assert kept(outcomes) == [Kept.HELD_BACK, Kept.KEY_TAKEN, Kept.REPLAYED]
    assert store.list_score_ids(query()) == [first]


def test_a_partial_call_skips_refused_scores(store: Store) -> None:
    taken = a_score()
    store.add_score(taken)
    mine = a_score()
    call = [mine, replace(taken, value_json="2"), new(), taken, mine, replace(mine, value_json="3")]
    outcomes = store.add_missing(call, partial=True)
    assert kept(outcomes) == [
        Kept.CREATED,
        Kept.ID_TAKEN,
        Kept.CREATED,
        Kept.PRESENT,
        Kept.PRESENT,
        Kept.ID_TAKEN,
    ]
    assert len(store.list_score_ids(query())) == 3


def test_the_same_key_twice_in_a_call_is_one_score(store: Store) -> None:
    keyed = {"idempotency_key": "k"}
    call = [new(body_hash="1", **keyed), new(body_hash="1", **keyed), new(body_hash="2", **keyed)]
    outcomes = store.add_missing(call, partial=True)
    assert kept(outcomes) == [Kept.CREATED, Kept.REPLAYED, Kept.KEY_TAKEN]
    assert len({outcome.id for outcome in outcomes}) == 1
    assert len(store.list_score_ids(query())) == 1


def follow(store: Store, cursor: str | None, **options: Any) -> Changes:
    return store.read_changes(
        "acme", "demo", cursor, options.get("limit", 100), options.get("wait", 0.0)
    )


LATE = 20.0
"""How long to wait for a change: a sharded cluster with an idle shard needs ten seconds."""


def can_follow(store: Store) -> None:
    if isinstance(store, MongoStore) and not has_transactions(store._client):
        pytest.skip("mongomock and a standalone server have no change streams")


def test_changes_follow_new_scores_of_their_project(store: Store) -> None:
    can_follow(store)
    store.add_score(new())
    now = follow(store, None).cursor
    assert follow(store, now).scores == []
    mine = [store.add_score(new()).id for _ in range(3)]
    store.add_score(new(project="other"))
    past = a_score(score_id="01900000-0000-7000-8000-000000000000")
    store.add_missing([past], partial=True)  # An import keeps its own id and time.
    seen: list[str] = []
    cursor = now
    while len(seen) < 4:
        page = follow(store, cursor, limit=2, wait=LATE)
        assert page.scores
        assert len(page.scores) <= 2
        seen += [score.score_id for score in page.scores]
        cursor = page.cursor
    assert seen == [*mine, past.score_id]
    assert follow(store, cursor).scores == []


def test_changes_from_the_start_include_existing_scores(store: Store) -> None:
    can_follow(store)
    ids = [store.add_score(new()).id for _ in range(5)]
    seen: list[str] = []
    cursor = "start"
    for _ in range(4):
        page = follow(store, cursor, limit=2)
        seen += [score.score_id for score in page.scores]
        cursor = page.cursor
    assert seen == ids
    ids.append(store.add_score(new()).id)
    assert [each.score_id for each in follow(store, cursor, wait=LATE).scores] == ids[-1:]


def test_a_reader_that_has_caught_up_sees_no_score_twice(store: Store) -> None:
    can_follow(store)
    store.add_score(new())
    cursor = follow(store, "start").cursor
    for _ in range(3):
        added = store.add_score(new()).id
        changes = follow(store, cursor, wait=LATE)
        assert [score.score_id for score in changes.scores] == [added]
        cursor = changes.cursor
    assert follow(store, cursor).scores == []


def test_a_reader_waits_for_a_change(store: Store) -> None:
    can_follow(store)
    now = follow(store, None).cursor
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(follow, store, now, wait=LATE)
        added = store.add_score(new()).id
        assert [score.score_id for score in waiting.result(2 * LATE).scores] == [added]


def test_closing_the_store_ends_the_wait_of_a_reader(store: Store) -> None:
    can_follow(store)
    now = follow(store, None).cursor

    def read() -> None:
        with suppress(StoreUnavailable):  # The close may also come before the wait.
            assert follow(store, now, wait=30.0).scores == []

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for _ in range(50):  # Until the wait has begun.
            store.close()
            if wait([reading], timeout=0.1).done:
                break
        assert reading.done()
        reading.result()


def test_a_store_may_be_used_after_it_was_closed(store: Store) -> None:
    score = a_score()
    store.add_score(score)
    store.close()
    assert store.find_score("acme", "demo", score.score_id) == score
    assert store.add_score(a_score()).kept is Kept.CREATED


def test_a_reader_gets_a_page_while_others_keep_writing(store: Store) -> None:
    can_follow(store)
    now = follow(store, None).cursor
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.add_score(new())

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(write)
        reading = pool.submit(follow, store, now, wait=LATE, limit=1_000_000)
        try:
            assert reading.result(2 * LATE).scores
        finally:
            stop.set()
        writing.result(20)


DATA = '"_data": "82650000"'
ODD_CURSORS = [
    '{"token": {"$binary": {}}}',
    '{"token": {"$numberDecimal": "x"}}',
    f'{{"token": {{{DATA}, "_typeBits": 1}}}}',
    f'{{"token": {{{DATA}, "_typeBits": {{"$binary": null, "$type": 1}}}}}}',
    f'{{"token": {{{DATA}, "_typeBits": {{"$binary": {{"base64": "x", "subType": "00"}}}}}}}}',
    "[" * 5_000,
]


def encoded(cursor: str) -> str:
    return base64.urlsafe_b64encode(cursor.encode()).decode().rstrip("=")


def test_an_invalid_cursor_is_refused(store: Store) -> None:
    can_follow(store)
    for cursor in (
        "x",
        "",
        "0123456789abcdeg-1",
        "a" * 300,
        "e30",
        "eyJ0b2tlbiI6eyJfZGF0YSI6Inp6In19",
        *map(encoded, ODD_CURSORS),
    ):
        with pytest.raises(InvalidParameter):
            follow(store, cursor)


def test_any_text_is_stored(store: Store) -> None:
    odd = 'a\0b$.é😀"\\\n' + "x" * 100_000
    store.add_score(
        a_score(
            entity=odd[:20],
            project="$where",
            evaluation_run_id=odd,
            prediction_id=odd,
            scorer="",
            value_json=f'"{odd}"',
            leaves=[{"path": "a.$b\0", "kind": "text", "text": odd}],
        )
    )


def test_many_threads_may_write_at_the_same_time(store: Store) -> None:
    scores = [a_score() for _ in range(200)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(store.add_score, scores))
    assert len(store.list_score_ids(query(limit=1_000))) == 200


def test_a_refused_score_does_not_affect_others_in_its_commit(store: Store) -> None:
    taken = a_score()
    store.add_score(taken)

    other = replace(taken, value_json="2")
    scores = [a_score() if number % 4 else other for number in range(80)]
    with ThreadPoolExecutor(16) as pool:
        outcomes = kept(pool.map(store.add_score, scores))
    assert outcomes == [Kept.ID_TAKEN if each is other else Kept.CREATED for each in scores]


def test_a_key_is_found_by_its_hash(store: Store) -> None:
    key = a_key(scope="acme/*", role="write")
    store.add_key(key)
    assert store.find_key(key.key_hash) == key
    assert store.find_key("no such hash") is None


def test_a_key_id_and_a_key_hash_are_used_once(store: Store) -> None:
    key = a_key()
    store.add_key(key)
    for other in (replace(key, key_hash="other"), replace(key, key_id="other")):
        with pytest.raises(Conflict):
            store.add_key(other)


def test_keys_are_listed_oldest_first(store: Store) -> None:
    keys = [a_key() for _ in range(3)]
    for key in reversed(keys):
        store.add_key(key)
    assert store.list_keys() == keys
    assert store.list_keys(limit=2) == keys[:2]
    assert store.list_keys(after=keys[0].key_id) == keys[1:]
    assert store.list_keys(keys[0].key_id, 1) == keys[1:2]
    assert store.list_keys(keys[2].key_id, 1) == []


def test_all_keys_and_those_in_use_are_counted(store: Store) -> None:
    later = NOW + timedelta(hours=1)
    for key in (
        a_key(),
        a_key(expires_at=later),
        a_key(expires_at=NOW),
        a_key(revoked_at=NOW),
        a_key(revoked_at=NOW, expires_at=later),
    ):
        store.add_key(key)
    assert (store.count_keys(), store.count_keys(in_use_at=NOW)) == (5, 2)
    assert store.count_keys(in_use_at=later) == 1


def test_the_creator_of_a_key_is_stored(store: Store) -> None:
    key = a_key(created_by="a key")
    store.add_key(key)
    assert store.find_key(key.key_hash) == key


def test_a_key_is_revoked_once_and_stays_listed(store: Store) -> None:
    key = a_key()
    store.add_key(key)
    later = NOW + timedelta(hours=1)
    assert store.revoke_key(key.key_id, later)
    assert not store.revoke_key(key.key_id, later)
    assert not store.revoke_key("no such key", later)
    assert store.find_key(key.key_hash) == replace(key, revoked_at=later)
    assert store.list_keys() == [replace(key, revoked_at=later)]


def test_the_expiry_and_last_use_of_a_key_are_stored(store: Store) -> None:
    keys = [
        a_key(),
        a_key(expires_at=NOW + timedelta(days=90)),
        a_key(expires_at=NOW, last_used_at=NOW + timedelta(hours=1), revoked_at=NOW),
    ]
    for key in keys:
        store.add_key(key)
        assert store.find_key(key.key_hash) == key
    assert store.list_keys() == keys


def test_the_latest_use_of_a_key_is_noted(store: Store) -> None:
    used, revoked, other = a_key(), a_key(revoked_at=NOW), a_key(last_used_at=NOW)
    for key in (used, revoked, other):
        store.add_key(key)
    later = NOW + timedelta(minutes=1)
    store.note_key_uses({used.key_id: later, revoked.key_id: NOW, "no such key": NOW})
    store.note_key_uses({used.key_id: NOW, other.key_id: later})
    assert store.list_keys() == [
        replace(used, last_used_at=later),
        replace(revoked, last_used_at=NOW),
        replace(other, last_used_at=later),
    ]


def query(**changes: Any) -> ScoreQuery:
    return replace(ScoreQuery("acme", "demo"), **changes)


def test_a_score_is_found_in_its_own_project_only(store: Store) -> None:
    score = a_score(evaluation_run_id="r", value_json='{"a.b":[1,1.0,true,"\\ud800"]}')
    store.add_score(score)
    assert store.find_score("acme", "demo", score.score_id) == score
    assert store.find_score("acme", "other", score.score_id) is None
    assert store.find_score("other", "demo", score.score_id) is None
    assert store.find_score("acme", "demo", "no such score") is None


@pytest.mark.parametrize(
    "extensions",
    [
        {"reason": "é", "metadata_json": '{"a":1.0,"\\ud800":null}', "annotator": "olga"},
        {"reason": "", "error": ""},
        {"value_json": "null", "error": "it failed"},
    ],
)
def test_the_extension_fields_of_a_score_are_kept(store: Store, extensions: dict[str, str]) -> None:
    score = a_score(**extensions)
    added = store.add_missing([new(**extensions), score], partial=False)
    assert store.find_score("acme", "demo", score.score_id) == score
    (first,) = store.read_scores("acme", "demo", [added[0].id])
    assert replace(first, score_id=UNASSIGNED, created_at=NOW) == new(**extensions)
    assert store.add_score(score).kept is Kept.PRESENT
    assert store.add_score(replace(score, reason="another")).kept is Kept.ID_TAKEN


def test_many_scores_are_added_at_once(store: Store) -> None:
    scores = [a_score() for _ in range(400)]
    store.add_missing(scores, partial=False)
    assert store.list_score_ids(query(limit=10_000)) == [score.score_id for score in scores]


def test_ids_are_listed_in_order_filtered_and_bounded(store: Store) -> None:
    scores = [
        a_score(
            evaluation_run_id=f"run-{number % 2}" if number % 3 else None,
            prediction_id=f"p-{number % 5}",
            scorer=f"s-{number % 7}",
        )
        for number in range(60)
    ]
    ids = [score.score_id for score in scores]
    store.add_missing(list(reversed(scores)), partial=False)
    store.add_missing([a_score(project="other"), a_score(entity="other")], partial=False)

    def wanted(**fields: str) -> list[str]:
        return [
            score.score_id
            for score in scores
            if all(getattr(score, name) == value for name, value in fields.items())
        ]

    assert store.list_score_ids(query()) == ids
    assert store.list_score_ids(query(offset=5, limit=7)) == ids[5:12]
    assert store.list_score_ids(query(offset=10**15)) == []
    assert store.list_score_ids(query(after=ids[9], before=ids[20])) == ids[10:20]
    assert store.list_score_ids(query(after=ids[-1])) == []
    for fields in (
        {"evaluation_run_id": "run-1"},
        {"prediction_id": "p-3"},
        {"scorer": "s-2"},
        {"evaluation_run_id": "run-0", "prediction_id": "p-1", "scorer": "s-4"},
        {"scorer": "nobody"},
    ):
        assert store.list_score_ids(query(**fields)) == wanted(**fields)


def test_scores_are_listed_and_read_newest_first(store: Store) -> None:
    ids = [store.add_score(a_score(evaluation_run_id=f"r{n % 2}")).id for n in range(9)]
    store.add_score(a_score(project="other"))
    oldest = ScoreQuery("acme", "demo")
    newest = replace(oldest, newest_first=True)
    assert store.list_score_ids(newest) == ids[::-1]
    assert store.list_score_ids(replace(newest, offset=2, limit=3)) == ids[6:3:-1]
    assert store.list_score_ids(replace(newest, before=ids[7], after=ids[2])) == ids[6:2:-1]
    assert store.list_score_ids(replace(newest, evaluation_run_id="r1")) == ids[7::-2]
    found = list(store.read_scores("acme", "demo", ids[::2], newest_first=True))
    assert [score.score_id for score in found] == ids[::-2]
    assert store.list_score_ids(behind(newest, ids[3])) == ids[2::-1]
    assert store.list_score_ids(behind(oldest, ids[3])) == ids[4:]


def test_scores_are_read_in_the_order_of_their_ids(store: Store) -> None:
    scores = [a_score(prediction_id=str(number)) for number in range(300)]
    store.add_missing(scores, partial=False)
    ids = [score.score_id for score in scores]
    found = list(store.read_scores("acme", "demo", ["no such score", *reversed(ids)]))
    assert found == scores
    assert list(store.read_scores("acme", "demo", [])) == []
    assert list(store.read_scores("acme", "other", ids)) == []


def test_only_existing_scores_count_as_deleted(store: Store) -> None:
    mine, theirs = [a_score() for _ in range(3)], a_score(project="other")
    store.add_missing([*mine, theirs], partial=False)
    ids = [score.score_id for score in mine[:2]]
    wanted = [*ids, theirs.score_id, "no such score"]
    assert store.delete_scores("acme", "demo", wanted) == 2
    assert store.delete_scores("acme", "demo", wanted) == 0
    assert store.list_score_ids(query()) == [mine[2].score_id]
    assert store.find_score("acme", "other", theirs.score_id) == theirs


def test_a_score_is_replayed_if_its_key_and_content_are_stored(store: Store) -> None:
    first, second = (new(idempotency_key=key, body_hash=key) for key in ("a", "b"))
    stored = store.add_missing([first, second, new(body_hash="c")], partial=False)
    sent = [
        second,
        replace(first, body_hash="other"),
        new(idempotency_key="c", body_hash="c"),
        replace(first, project="other"),
        new(body_hash="c"),
        first,
    ]
    assert store.find_replayed(sent) == [True, False, False, False, False, True]
    assert store.find_replayed([]) == []
    store.delete_scores("acme", "demo", [stored[0].id])
    assert store.find_replayed([first, second]) == [False, True]


def test_the_newest_score_with_a_retry_hash_is_found(store: Store) -> None:
    scores = [a_score(retry_hash="h") for _ in range(3)]
    others = [
        a_score(retry_hash="h", project="other"),
        a_score(retry_hash="h", prediction_id="q"),
        a_score(retry_hash="i"),
        a_score(),
    ]
    store.add_missing([*scores, *others], partial=False)
    ids = [score.score_id for score in scores]
    sent = new(retry_hash="h")
    assert store.find_retried(sent, "0") == ids[2]
    assert store.find_retried(sent, ids[1]) == ids[2]
    assert store.find_retried(sent, ids[2]) is None
    assert store.find_retried(new(retry_hash="x"), "0") is None


def test_a_scan_reads_project_by_project_in_the_order_of_the_ids(store: Store) -> None:
    assert store.next_project(None) is None
    assert store.extent() == Extent(0, None)
    scores = [a_score(project=f"p{number % 3}", entity=f"e{number % 2}") for number in range(12)]
    scores.append(a_score(entity="", project=""))
    for score in reversed(scores):
        store.add_score(score)
    ordered = sorted(scores, key=lambda score: (score.entity, score.project, score.score_id))
    assert all_scores(store) == ordered
    first, second = (score for score in scores if (score.entity, score.project) == ("e0", "p0"))
    place = ScoreQuery("e0", "p0", limit=10)
    assert list(store.scan_scores(replace(place, after=first.score_id))) == [second]
    assert list(store.scan_scores(replace(place, before=second.score_id))) == [first]
    assert list(store.scan_scores(replace(place, limit=1))) == [first]
    assert store.next_project(("e1", "p2")) is None
    assert store.extent() == Extent(13, scores[-1].score_id)


def findings(store: Store) -> dict[str, CheckResult]:
    return {finding.check: finding for finding in store.check()}


def test_a_check_of_a_new_store_succeeds_and_changes_nothing(store: Store) -> None:
    if isinstance(store, MongoStore) and isinstance(store._client, mongomock.MongoClient):
        pytest.skip("mongomock knows no hello")
    store.add_score(a_score(score_id="01900000-0000-7000-8000-000000000000"))
    found = findings(store)
    assert [each for each in found.values() if each.verdict == FAIL] == []
    assert "2024" in found["clock"].says
    assert store.extent().count == 1


def test_a_clock_behind_the_newest_score_fails_a_check(store: Store) -> None:
    if isinstance(store, MongoStore) and isinstance(store._client, mongomock.MongoClient):
        pytest.skip("mongomock knows no hello")
    store.add_score(a_score(score_id="ffffffff-0000-7000-8000-000000000000"))
    assert findings(store)["clock"].verdict == FAIL
