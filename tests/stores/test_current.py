"""The newest score of a slot is current, on every engine and in every order of arrival."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from uuid_utils import uuid7

from app.schemas.scores import ScoreListQuery
from app.services.lists import list_scores, walk
from app.stores.base import Kept, Key, ScoreQuery, Store
from app.stores.model import Score
from app.stores.sqlite.store import SqliteStore
from tests.stores.test_contract import NOW, a_score

VERSION_1, VERSION_2 = (f"weave:///acme/demo/object/Exact:v{number}" for number in (1, 2))


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.stores.mongo.slots.MAX_REPEATED", 2)
    for module in ("sqlite.leaves", "mongo.leaves", "mongo.store"):
        monkeypatch.setattr(f"app.stores.{module}.PAGE", 3)


def scored(second: int = 0, **changes: Any) -> Score:
    """Return a score of a run that was created at a second, with that number as its value."""
    leaves = [{"path": "", "kind": "number", "number": float(second)}]
    fields = {"evaluation_run_id": "run", "leaves": leaves, "value_json": str(second), **changes}
    return a_score(created_at=NOW + timedelta(seconds=second), **fields)


def query(**changes: Any) -> ScoreQuery:
    return replace(ScoreQuery("acme", "demo", only_current=True), **changes)


def read(store: Store, asked: ScoreQuery) -> tuple[list[str], Counter[Key]]:
    """Return the ids of the scores whose leaves are read, and how many were left out, by run."""
    score_ids: list[str] = []
    superseded = Counter[Key]()
    for page in store.read_leaves(asked, ("score_id",)):
        assert len(page.leaves) == len(page.keys)
        score_ids += [str(key[0]) for key in page.keys]
    for page in store.read_leaves(asked, ("evaluation_run_id",)):
        superseded += page.superseded
    return score_ids, superseded


def check(store: Store, scores: Sequence[Score], current: Sequence[Score]) -> None:
    """Check that all reads agree on which scores are current."""
    wanted = [score.score_id for score in sorted(current, key=lambda score: score.score_id)]
    asked = query(project=scores[0].project, limit=1_000)
    left_out = Counter[Key]((score.evaluation_run_id,) for score in scores if score not in current)
    assert store.list_score_ids(asked) == wanted
    assert read(store, asked) == (wanted, left_out)
    for run in sorted({score.evaluation_run_id or "" for score in scores} - {""})[:2]:
        of_run = [score for score in current if score.evaluation_run_id == run]
        in_run = replace(asked, evaluation_run_id=run)
        assert read(store, in_run) == (
            [score_id for score_id in wanted if score_id in {each.score_id for each in of_run}],
            Counter({key: number for key, number in left_out.items() if key == (run,)}),
        )
        assert sum(each.scores for each in store.tally_leaves(in_run, ())) == len(of_run)
    tallies = list(store.tally_leaves(asked, ("evaluation_run_id",)))
    assert sum(tally.scores for tally in tallies) == len(current)
    counted = Counter[Key]()
    for tally in tallies:
        counted[tally.key] += tally.superseded
    assert +counted == left_out
    superseding = store.find_superseding(scores)
    assert set(superseding) == {score.score_id for score in scores if score not in current}
    assert set(superseding.values()) <= set(wanted)
    everything = replace(asked, only_current=False)
    assert len(store.list_score_ids(everything)) == len(scores)
    assert sum(tally.scores for tally in store.tally_leaves(everything, ())) == len(scores)


def arrivals(project: str) -> list[Score]:
    """Return four scores; the third is current, and the last because of its annotator."""
    lower, higher = sorted(str(uuid7()) for _ in range(2))
    return [
        scored(0, project=project, scorer=VERSION_1),
        scored(1, project=project, scorer=VERSION_1, score_id=lower),
        scored(1, project=project, scorer=VERSION_2, score_id=higher),
        scored(9, project=project, scorer=VERSION_1, annotator="olga"),
    ]


ORDERS = [(*order, 3) for order in permutations(range(3))]
"""Every order of the scores that supersede each other; the last one does not."""


def test_the_newest_score_is_current_in_whatever_order_they_arrive(store: Store) -> None:
    for order in ORDERS:
        scores = arrivals(f"order {order}")
        for number in order:
            store.add_score(scores[number])
        check(store, scores, scores[2:])


def test_deleting_the_current_score_brings_the_one_before_back(store: Store) -> None:
    for order in ORDERS:
        scores = arrivals(f"order {order}")
        store.add_missing([scores[number] for number in order], partial=False)
        for current in (1, 0):
            deleted = scores.pop(current + 1).score_id
            assert store.delete_scores("acme", scores[0].project, [deleted]) == 1
            check(store, scores, [scores[current], scores[-1]])


def test_an_import_of_an_older_score_supersedes_nothing(store: Store) -> None:
    current = scored(5)
    store.add_score(current)
    old = [scored(second) for second in range(5)]
    store.add_missing(old, partial=True)
    check(store, [current, *old], [current])


@pytest.mark.parametrize(
    "difference",
    [
        {"evaluation_run_id": "another"},
        {"evaluation_run_id": None},
        {"prediction_id": "q"},
        {"scorer": "t"},
        {"annotator": "olga"},
    ],
)
def test_scores_of_different_slots_are_all_current(
    store: Store, difference: dict[str, Any]
) -> None:
    scores = [scored(0), scored(1, **difference)]
    store.add_missing(scores, partial=False)
    check(store, scores, scores)


@pytest.mark.parametrize("field", ["evaluation_run_id", "annotator"])
def test_none_and_an_empty_text_are_the_same_slot(store: Store, field: str) -> None:
    scores = [scored(second, **{field: ["", None][second % 2]}) for second in range(4)]
    for score in (scores[2], scores[3], scores[0], scores[1]):
        store.add_score(score)
    check(store, scores, scores[3:])
    for score in scores:
        assert list(store.read_slot(score)) == scores[::-1]


def test_filters_do_not_change_which_scores_are_current(store: Store) -> None:
    scores = [scored(second, scorer=[VERSION_1, VERSION_2][second % 2]) for second in range(4)]
    other = scored(0, prediction_id="q", scorer=VERSION_1)
    store.add_missing([*scores, other], partial=False)
    ids = [score.score_id for score in scores]
    for asked, wanted, left_out in (
        (query(scorer=VERSION_2), [ids[3]], 1),
        (query(scorer=VERSION_1), [other.score_id], 2),
        (query(scorer_name="Exact"), [ids[3], other.score_id], 3),
        (query(before=ids[3]), [], 3),
        (query(after=ids[1], prediction_id="p"), [ids[3]], 1),
        (query(scorer_name="no such scorer"), [], 0),
    ):
        assert store.list_score_ids(replace(asked, limit=10)) == wanted
        assert read(store, asked) == (wanted, +Counter({("run",): left_out}))


def test_a_correction_that_arrives_between_two_pages_is_not_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.lists.PAGE", 3)
    scores = [scored(0, prediction_id=f"p{number}") for number in range(12)]
    store.add_missing(scores, partial=False)
    ids = {score.score_id for score in scores}

    def correct(second: int) -> None:
        store.add_missing([replace(each, **new(second)) for each in scores], partial=False)

    pages = store.read_leaves(query(), ("score_id",))
    keys = next(pages).keys
    correct(1)
    keys += [key for page in pages for key in page.keys]
    assert sorted(keys) == [(score_id,) for score_id in sorted(ids)]

    ids = set(store.list_score_ids(query(limit=100)))
    read = walk(store, query())
    first = next(read)
    correct(2)
    assert sorted(each.score_id for each in (first, *read)) == sorted(ids)

    ids = set(store.list_score_ids(query(limit=100)))
    wanted = ScoreListQuery().load({"current": "true", "limit": "11"})
    page = list_scores(store, "acme", "demo", wanted)
    correct(3)
    assert [each.score_id for each in page.items] == sorted(ids)[:11]


def new(second: int) -> dict[str, Any]:
    """Return what a correction that is created at a second has of its own."""
    return {"score_id": str(uuid7()), "created_at": NOW + timedelta(seconds=second)}


def test_two_reads_as_of_one_moment_have_the_same_current_scores(store: Store) -> None:
    empty = store.as_of_now(query(limit=100))
    score = scored(0)
    store.add_score(score)
    bound = store.as_of_now(query(limit=100))
    assert store.as_of_now(bound) is bound
    store.add_score(replace(score, **new(1)))
    for asked, wanted in ((empty, []), (bound, [score.score_id])):
        assert store.list_score_ids(asked) == wanted
        assert read(store, asked) == (wanted, Counter())
        assert sum(tally.scores for tally in store.tally_leaves(asked, ())) == len(wanted)


def test_an_import_between_two_pages_is_not_counted_in_the_embedded_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    store.prepare()
    early = sorted(str(uuid7()) for _ in range(10))
    scores = [scored(0, prediction_id=f"p{number}") for number in range(10)]
    store.add_missing(scores, partial=False)
    pages = store.read_leaves(query(), ("score_id",))
    keys = next(pages).keys
    imported = zip(scores, early, strict=True)
    late = [replace(each, **{**new(1), "score_id": score_id}) for each, score_id in imported]
    store.add_missing(late, partial=False)
    keys += [key for page in pages for key in page.keys]
    assert keys == [(score.score_id,) for score in scores]
    assert store.list_score_ids(query()) == early
    store.close()


def test_a_list_of_current_scores_is_bounded_and_continued(store: Store) -> None:
    scores = [scored(second, prediction_id=f"p{second // 2}") for second in range(20)]
    store.add_missing(scores, partial=False)
    ids = [score.score_id for score in scores[1::2]]
    assert store.list_score_ids(query(limit=4)) == ids[:4]
    assert store.list_score_ids(query(limit=4, offset=3)) == ids[3:7]
    assert store.list_score_ids(query(limit=4, after=ids[3])) == ids[4:8]
    assert store.list_score_ids(query(limit=0)) == []


def test_a_slot_is_read_newest_first_whichever_of_its_scores_is_given(store: Store) -> None:
    scores = [scored(second // 3, scorer=VERSION_1) for second in range(11)]
    others = [scored(5, annotator="olga"), scored(5, project="other"), scored(5, entity="other")]
    for score in (*scores[5:], *scores[:5], *others):
        store.add_score(score)
    for score in scores:
        assert list(store.read_slot(score)) == scores[::-1]
    assert list(store.read_slot(scored(prediction_id="q"))) == []


def test_many_slots_of_many_runs_are_told_apart_in_one_page(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("leaves", "store"):
        monkeypatch.setattr(f"app.stores.mongo.{module}.PAGE", 1_000)
    scores = [
        scored(second, evaluation_run_id=f"run {number}", prediction_id=f"p{number % 7}")
        for number in range(230)
        for second in range(2)
    ]
    store.add_missing(scores, partial=False)
    check(store, scores, scores[1::2])


def test_the_same_id_in_two_projects_is_two_scores(store: Store) -> None:
    mine = scored(1)
    theirs = replace(mine, project="other", value_json="2")
    assert store.find_superseding([]) == {}
    for score in (mine, theirs):
        assert store.add_missing([score], partial=True)[0].kept is Kept.CREATED
        assert store.add_score(score).kept is Kept.PRESENT
    assert store.find_score("acme", "demo", mine.score_id) == mine
    assert store.find_score("acme", "other", mine.score_id) == theirs
    assert list(store.read_scores("acme", "other", [mine.score_id])) == [theirs]
    assert store.delete_scores("acme", "other", [mine.score_id]) == 1
    assert store.find_score("acme", "demo", mine.score_id) == mine
    assert store.find_score("acme", "other", mine.score_id) is None
