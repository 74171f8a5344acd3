"""One contract, every engine: SQLite, MongoDB over TCP, and mongomock for the quick loop."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import mongomock
import pytest
from uuid_utils import uuid7

from app.errors import Conflict
from app.stores.base import ApiKey, Extent, KeyedScore, Score, ScoreQuery, Store
from app.stores.checks import FAIL, CheckResult
from app.stores.mongo.store import MongoStore

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)


def a_score(**changes: Any) -> Score:
    score = Score(
        score_id=str(uuid7()),
        entity="acme",
        project="demo",
        evaluation_run_id=None,
        prediction_id="p",
        scorer="s",
        value_json="1",
        leaves=[{"path": "", "kind": "number", "number": 1.0}],
        wb_user_id="olga",
        created_at=NOW,
        idempotency_key=None,
        body_hash="0" * 64,
    )
    return replace(score, **changes)


def a_key(**changes: Any) -> ApiKey:
    key_id = str(uuid7())
    return replace(ApiKey(key_id, "n", "read", "*", "olga", key_id * 2, NOW), **changes)


def test_prepare_may_be_repeated(store: Store) -> None:
    store.add_score(a_score())
    store.prepare()
    store.ping()


def test_a_score_id_is_taken_once(store: Store) -> None:
    score = a_score()
    store.add_score(score)
    with pytest.raises(Conflict):
        store.add_score(score)


def test_an_idempotency_key_is_taken_once_in_a_project(store: Store) -> None:
    store.add_score(a_score(idempotency_key="k"))
    with pytest.raises(Conflict):
        store.add_score(a_score(idempotency_key="k"))
    store.add_score(a_score(idempotency_key="k", project="other"))
    store.add_score(a_score(idempotency_key="k", entity="other"))
    store.add_score(a_score(idempotency_key=None))
    store.add_score(a_score(idempotency_key=None))


def test_any_text_is_kept(store: Store) -> None:
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
    for score in (scores[0], scores[-1]):
        with pytest.raises(Conflict):
            store.add_score(score)


def test_a_neighbours_conflict_fails_only_the_neighbour(store: Store) -> None:
    taken = a_score()
    store.add_score(taken)

    def add(score: Score) -> bool:
        try:
            store.add_score(score)
        except Conflict:
            return False
        return True

    scores = [a_score() if number % 4 else taken for number in range(80)]
    with ThreadPoolExecutor(16) as pool:
        stored = list(pool.map(add, scores))
    assert stored == [score is not taken for score in scores]


def test_a_key_is_found_by_its_hash(store: Store) -> None:
    key = a_key(scope="acme/*", role="write")
    store.add_key(key)
    assert store.find_key(key.key_hash) == key
    assert store.find_key("no such hash") is None


def test_a_key_id_and_a_hash_are_taken_once(store: Store) -> None:
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


def test_a_key_is_revoked_once_and_stays_listed(store: Store) -> None:
    key = a_key()
    store.add_key(key)
    later = NOW + timedelta(hours=1)
    assert store.revoke_key(key.key_id, later)
    assert not store.revoke_key(key.key_id, later)
    assert not store.revoke_key("no such key", later)
    assert store.find_key(key.key_hash) == replace(key, revoked_at=later)
    assert store.list_keys() == [replace(key, revoked_at=later)]


def test_a_keys_end_and_last_use_are_kept(store: Store) -> None:
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


def test_many_scores_are_added_at_once(store: Store) -> None:
    scores = [a_score() for _ in range(400)]
    store.add_scores(scores)
    assert store.list_score_ids(query(limit=10_000)) == [score.score_id for score in scores]


def test_a_batch_with_an_id_that_is_taken_is_a_conflict(store: Store) -> None:
    taken = a_score()
    store.add_score(taken)
    with pytest.raises(Conflict):
        store.add_scores([a_score(), taken, a_score()])


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
    store.add_scores(list(reversed(scores)))
    store.add_scores([a_score(project="other"), a_score(entity="other")])

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


def test_scores_are_read_in_the_order_of_their_ids(store: Store) -> None:
    scores = [a_score(prediction_id=str(number)) for number in range(300)]
    store.add_scores(scores)
    ids = [score.score_id for score in scores]
    assert list(store.read_scores(["no such score", *reversed(ids)])) == scores
    assert list(store.read_scores([])) == []


def test_only_what_was_there_counts_as_deleted(store: Store) -> None:
    mine, theirs = [a_score() for _ in range(3)], a_score(project="other")
    store.add_scores([*mine, theirs])
    ids = [score.score_id for score in mine[:2]]
    wanted = [*ids, theirs.score_id, "no such score"]
    assert store.delete_scores("acme", "demo", wanted) == 2
    assert store.delete_scores("acme", "demo", wanted) == 0
    assert store.list_score_ids(query()) == [mine[2].score_id]
    assert store.find_score("acme", "other", theirs.score_id) == theirs


def test_scores_are_found_by_their_idempotency_keys(store: Store) -> None:
    scores = [a_score(idempotency_key=f"k {number}", body_hash=str(number)) for number in range(3)]
    store.add_scores([*scores, a_score(idempotency_key="k 0", project="other"), a_score()])
    found = store.find_keyed("acme", "demo", ["k 0", "k 2", "k 9"])
    assert found == {
        score.idempotency_key: KeyedScore(score.score_id, score.body_hash)
        for score in (scores[0], scores[2])
    }
    assert store.find_keyed("acme", "nowhere", ["k 0"]) == {}


def test_the_newest_score_with_a_retry_hash_is_found(store: Store) -> None:
    scores = [a_score(retry_hash="h") for _ in range(3)]
    store.add_scores([*scores, a_score(retry_hash="h", project="other"), a_score()])
    ids = [score.score_id for score in scores]
    assert store.find_retried("acme", "demo", "h", "0") == ids[2]
    assert store.find_retried("acme", "demo", "h", ids[1]) == ids[2]
    assert store.find_retried("acme", "demo", "h", ids[2]) is None
    assert store.find_retried("acme", "demo", "x", "0") is None


def test_a_scan_reads_every_project_in_the_order_of_the_ids(store: Store) -> None:
    assert list(store.scan_scores("", 10)) == []
    assert store.extent() == Extent(0, None)
    scores = [a_score(project=f"p{number % 3}", entity=f"e{number % 2}") for number in range(6)]
    for score in reversed(scores):
        store.add_score(score)
    assert list(store.scan_scores("", 10)) == scores
    assert list(store.scan_scores(scores[1].score_id, 3)) == scores[2:5]
    assert store.extent() == Extent(6, scores[-1].score_id)


def findings(store: Store) -> dict[str, CheckResult]:
    return {finding.check: finding for finding in store.check()}


def test_an_examination_finds_a_new_store_well_and_changes_nothing(store: Store) -> None:
    if isinstance(store, MongoStore) and isinstance(store._client, mongomock.MongoClient):
        pytest.skip("mongomock knows no hello")
    store.add_score(a_score(score_id="01900000-0000-7000-8000-000000000000"))
    found = findings(store)
    assert [each for each in found.values() if each.verdict == FAIL] == []
    assert "2024" in found["clock"].says
    assert store.extent().scores == 1


def test_a_clock_behind_the_newest_score_must_be_set(store: Store) -> None:
    if isinstance(store, MongoStore) and isinstance(store._client, mongomock.MongoClient):
        pytest.skip("mongomock knows no hello")
    store.add_score(a_score(score_id="ffffffff-0000-7000-8000-000000000000"))
    assert findings(store)["clock"].verdict == FAIL
