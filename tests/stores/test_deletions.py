"""Deleting runs and predictions with what is in them: one contract for every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from uuid_utils import uuid7

from app.errors import BeingDeleted
from app.ids import first_id_at
from app.stores import deletions
from app.stores.base import START, DocumentQuery, Kept, ScoreQuery, Store
from app.stores.deletions import Deleted, Deletion, RunExtent
from app.stores.model import UNASSIGNED, Document, EvaluationRun, Prediction, Score
from app.stores.mongo.unique_keys import delete_found
from tests.stores.test_contract import a_score
from tests.stores.test_documents import a_prediction, a_run

PROJECT = ("acme", "demo")
RUN, OTHER = "ci/main", "ci/dev"
MANY = 1_000


def score(**changes: Any) -> Score:
    return a_score(**{"score_id": UNASSIGNED, "evaluation_run_id": RUN, **changes})


def prediction(**changes: Any) -> Prediction:
    return a_prediction(**{"evaluation_run_id": RUN, **changes})


def fill(store: Store) -> None:
    """Add two runs of two predictions with a score each, and one more score of no run."""
    for run in (RUN, OTHER):
        store.add_documents([a_run(id=run)])
        store.add_documents([prediction(id=f"{run}/{n}", evaluation_run_id=run) for n in "12"])
        scores = [score(prediction_id=f"{run}/{n}", evaluation_run_id=run) for n in "12"]
        store.add_missing(scores, partial=False)
    store.add_score(score(prediction_id="alone", evaluation_run_id=None))


def engine(store: Store) -> str:
    """Return the name of the module in which the engine of a store deletes."""
    return f"{type(store).__module__.rpartition('.')[0]}.deletions"


def begin(store: Store, *run_ids: str) -> list[Deletion]:
    return store.begin_deletions(*PROJECT, run_ids, "key")


def finish(store: Store, deletion: Deletion, limit: int = MANY) -> Deletion:
    while deletion.is_pending:
        found = store.continue_deletion(deletion, "w", limit)
        assert found
        deletion = found
    return deletion


def seen(store: Store, **filters: Any) -> list[str | None]:
    """Return the runs of the scores that a list of a project has."""
    query = ScoreQuery(*PROJECT, **filters)
    return [
        each.evaluation_run_id for each in store.read_scores(*PROJECT, store.list_score_ids(query))
    ]


def documents(store: Store, kind: type[Document]) -> list[str]:
    return [each.id for each in store.read_documents(kind, DocumentQuery(*PROJECT))]


def counted(deletion: Deletion) -> tuple[int, int, int]:
    return deletion.runs, deletion.predictions, deletion.scores


def all_scores(store: Store, project: str = "demo") -> list[Score]:
    return list(store.scan_scores(ScoreQuery("acme", project, limit=MANY)))


def test_a_deletion_hides_a_run_at_once_and_removes_it_later(store: Store) -> None:
    fill(store)
    (mine,) = [each for each in all_scores(store) if each.prediction_id == f"{RUN}/1"]
    (begun,) = begin(store, RUN)
    for _ in range(2):
        assert seen(store) == [OTHER, OTHER, None]
        assert seen(store, evaluation_run_id=RUN) == seen(store, prediction_id=f"{RUN}/1") == []
        assert seen(store, scorer="s") == [OTHER, OTHER, None]
        assert documents(store, EvaluationRun) == [OTHER]
        assert documents(store, Prediction) == [f"{OTHER}/1", f"{OTHER}/2"]
        assert store.list_sort_ids(EvaluationRun, DocumentQuery(*PROJECT, limit=1)) == [
            store.find_document(EvaluationRun, *PROJECT, OTHER).sort_id  # type: ignore[union-attr]
        ]
        assert store.find_document(EvaluationRun, *PROJECT, RUN) is None
        assert store.find_document(Prediction, *PROJECT, f"{RUN}/1") is None
        assert store.find_score(*PROJECT, mine.score_id) is None
        assert store.delete_scores(*PROJECT, [mine.score_id]) == 0
        assert store.delete_documents(Prediction, *PROJECT, [f"{RUN}/1"]) == 0
        assert not store.change_document(EvaluationRun, *PROJECT, RUN, status="failed")
        assert [each.evaluation_run_id for each in all_scores(store)] == [OTHER, OTHER, None]
        everywhere = store.read_documents(Prediction, DocumentQuery())
        assert [each.evaluation_run_id for each in everywhere] == [OTHER, OTHER]
        assert sum(each.scores for each in store.tally_leaves(ScoreQuery(*PROJECT), ())) == 3
        found = store.read_leaves(ScoreQuery(*PROJECT, evaluation_run_id=RUN), ())
        assert [key for page in found for key in page.keys] == []
        finish(store, begun)
    assert list(store.read_scores(*PROJECT, [mine.score_id])) == []


def test_a_deletion_counts_what_was_there(store: Store) -> None:
    fill(store)
    store.add_score(score(evaluation_run_id="only scores name it"))
    begun = begin(store, RUN, "nothing", "only scores name it", RUN)
    assert [counted(each) for each in begun] == [(1, 2, 2), (0, 0, 1)]
    assert begin(store, RUN, "only scores name it") == []


def test_a_deletion_is_continued_in_bounded_steps(store: Store) -> None:
    fill(store)
    (begun,) = begin(store, RUN)
    steps = [begun]
    while steps[-1].is_pending:
        found = store.continue_deletion(begun, "w", 2)
        assert found
        steps.append(found)
        assert store.list_deletions(*PROJECT, limit=2) == [found]
    assert [each.cleared for each in steps] == [0, 2, 4, 5]
    assert store.continue_deletion(begun, "another", 2) == steps[-1]
    assert store.list_deletions(pending=True, limit=1) == []
    assert store.list_deletions("acme", "other", limit=1) == []


def test_deletions_are_listed_by_state_and_in_pages(store: Store) -> None:
    fill(store)
    first, second = begin(store, RUN)[0], begin(store, OTHER)[0]
    first = finish(store, first)
    assert store.list_deletions(*PROJECT, limit=9) == [first, second]
    assert store.list_deletions(*PROJECT, pending=False, limit=9) == [first]
    assert store.list_deletions(*PROJECT, pending=True, limit=9) == [second]
    assert store.list_deletions(limit=1) == [first]
    assert store.list_deletions(*PROJECT, after=first.deletion_id, limit=9) == [second]


def test_the_oldest_finished_deletions_are_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{engine(store)}.MAX_FINISHED", 2)
    begun: list[Deletion] = []
    for number in range(4):
        store.add_score(score(evaluation_run_id=f"{number}"))
        begun += begin(store, f"{number}")
        finish(store, begun[-1])
    store.add_score(score(prediction_id="pending"))
    begin(store, RUN)
    listed = store.list_deletions(*PROJECT, limit=9)
    assert [each.evaluation_run_id for each in listed] == ["2", "3", RUN]
    # A worker that has read the list before does not wait for a forgotten one.
    assert not finish(store, begun[0]).is_pending


def test_one_worker_at_a_time_continues_a_deletion_until_its_lease_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    (begun,) = begin(store, RUN)
    assert store.continue_deletion(begun, "first", 1)
    assert store.continue_deletion(begun, "second", 1) is None
    assert store.continue_deletion(begun, "first", 1)
    monkeypatch.setattr(f"{engine(store)}.LEASE_SECONDS", -1.0)
    assert store.continue_deletion(begun, "first", 1)
    assert store.continue_deletion(begun, "second", 1)


def test_what_arrives_after_a_deletion_is_new_and_stays(store: Store) -> None:
    fill(store)
    (begun,) = begin(store, RUN)
    store.add_score(score(prediction_id="late"))
    store.add_missing([score(prediction_id="late")], partial=True)
    (run,) = store.add_documents([a_run(id=RUN)])
    (late,) = store.add_documents([prediction(id=f"{RUN}/1")])
    assert run.kept is late.kept is Kept.CREATED
    for _ in range(2):
        assert seen(store, evaluation_run_id=RUN) == [RUN, RUN]
        assert documents(store, EvaluationRun) == [OTHER, RUN]
        assert documents(store, Prediction) == [f"{OTHER}/1", f"{OTHER}/2", f"{RUN}/1"]
        finish(store, begun)


def test_a_run_can_be_deleted_again_while_the_first_deletion_is_pending(store: Store) -> None:
    fill(store)
    (first,) = begin(store, RUN)
    store.add_score(score(prediction_id="late"))
    (second,) = begin(store, RUN)
    assert counted(second) == (0, 0, 1)
    store.add_score(score(prediction_id="later"))
    for deletion in (second, first):
        finish(store, deletion)
        score_ids = store.list_score_ids(ScoreQuery(*PROJECT, evaluation_run_id=RUN))
        (left,) = store.read_scores(*PROJECT, score_ids)
        assert left.prediction_id == "later"


def test_a_deletion_covers_nothing_of_another_project(store: Store) -> None:
    fill(store)
    store.add_score(score(project="other"))
    store.add_documents([a_run(id=RUN, project="other")])
    (begun,) = begin(store, RUN)
    for _ in range(2):
        assert store.find_document(EvaluationRun, "acme", "other", RUN)
        assert store.list_score_ids(ScoreQuery("acme", "other"))
        assert [each.project for each in all_scores(store, "other")] == ["other"]
        finish(store, begun)


def test_a_deletion_frees_idempotency_keys_at_once(store: Store) -> None:
    key = {"idempotency_key": "k"}
    first = store.add_score(score(**key))
    store.add_documents([a_run(id=RUN, **key)])
    store.add_documents([prediction(id="p", **key)])
    store.add_score(score(prediction_id="2"))
    begin(store, RUN)
    second = store.add_score(score(**key, body_hash="1" * 64))
    assert second.kept is Kept.CREATED
    assert second.id != first.id
    assert store.add_documents([a_run(id="x", **key)])[0].kept is Kept.CREATED
    assert store.add_documents([prediction(id="p", **key)])[0].kept is Kept.CREATED
    assert store.add_missing([score(**key)], partial=True)[0].kept is Kept.KEY_TAKEN


def test_what_replaces_something_while_it_is_removed_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "Mongo" not in type(store).__name__:
        pytest.skip("the embedded store finds and removes under its lock")
    fill(store)
    keyed = score(idempotency_key="k")
    store.add_score(keyed)
    (begun,) = begin(store, RUN)
    waiting: dict[str, Callable[[], object]] = {
        "predictions": lambda: store.add_documents([prediction(id=f"{RUN}/1")]),
        "scores": lambda: store.add_score(keyed),
    }

    def remove(collection: Any, *arguments: Any) -> int:
        """Let another call replace what was found, before it is removed."""
        if write := waiting.pop(collection.name, None):
            write()
        return delete_found(collection, *arguments)

    monkeypatch.setattr(f"{engine(store)}.delete_found", remove)
    finish(store, begun)
    assert not waiting
    assert documents(store, Prediction) == [f"{OTHER}/1", f"{OTHER}/2", f"{RUN}/1"]
    assert seen(store, evaluation_run_id=RUN) == [RUN]
    assert kept([store.add_score(keyed)]) == [Kept.REPLAYED]


def test_a_deletion_forgets_retries(store: Store) -> None:
    long_ago = first_id_at(datetime.now(UTC) - timedelta(days=1))
    repeated = score(retry_hash="h")
    store.add_score(repeated)
    store.add_documents([a_run(id=RUN, retry_hash="h")])
    assert store.find_retried(repeated, long_ago)
    assert store.find_retried_document(EvaluationRun, *PROJECT, "h", long_ago)
    begin(store, RUN)
    assert store.find_retried(repeated, long_ago) is None
    assert store.find_retried_document(EvaluationRun, *PROJECT, "h", long_ago) is None


def test_what_a_deletion_covers_supersedes_nothing(store: Store) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    hidden = score(score_id=str(uuid7()), created_at=later)
    store.add_missing([hidden], partial=True)
    (begun,) = begin(store, RUN)
    new = store.add_score(score()).id
    for _ in range(2):
        (found,) = store.read_scores(*PROJECT, [new])
        assert store.find_superseding([found]) == {}
        assert [each.score_id for each in store.read_slot(found)] == [new]
        current = ScoreQuery(*PROJECT, only_current=True)
        assert store.list_score_ids(current) == [new]
        (page,) = store.read_leaves(current, ["score_id"])
        assert (page.keys, page.superseded) == ([(new,)], {})
        finish(store, begun)


def test_an_import_into_a_run_waits_for_its_deletion(store: Store) -> None:
    old = score(score_id=str(uuid7()))
    document = prediction(id="p", sort_id=str(uuid7()))
    fill(store)
    (begun,) = begin(store, RUN)
    with pytest.raises(BeingDeleted, match=RUN):
        store.add_missing([old], partial=True)
    with pytest.raises(BeingDeleted):
        store.add_documents([document])
    with pytest.raises(BeingDeleted):
        store.add_accepted([[document]], [])
    elsewhere = replace(old, evaluation_run_id=OTHER)
    assert kept(store.add_missing([elsewhere], partial=True)) == [Kept.CREATED]
    finish(store, begun)
    assert kept(store.add_documents([document])) == [Kept.CREATED]
    assert kept(store.add_missing([replace(old, score_id=str(uuid7()))], partial=True)) == [
        Kept.CREATED
    ]


def kept(outcomes: Iterable[Any]) -> list[Kept]:
    return [each.kept for each in outcomes]


def test_changes_leave_out_what_a_deletion_covers(store: Store) -> None:
    if "Mongo" in type(store).__name__:
        pytest.skip("it needs a change stream; tests/api has it")
    fill(store)
    cursor = store.read_changes(*PROJECT, None, 9, 0).cursor
    store.add_score(score())
    begin(store, RUN)
    assert store.read_changes(*PROJECT, cursor, 9, 0).scores == []
    runs = [each.evaluation_run_id for each in store.read_changes(*PROJECT, START, 9, 0).scores]
    assert runs == [OTHER, OTHER, None]


def test_a_prediction_is_deleted_with_its_scores(store: Store) -> None:
    store.add_documents([prediction(id="p")])
    scores = [score(prediction_id="p", evaluation_run_id=run) for run in (RUN, OTHER, None, "")]
    store.add_missing([*scores, score(prediction_id="q")], partial=False)
    assert store.delete_predictions(*PROJECT, [("p", RUN)], MANY) == Deleted(1, 3, is_whole=True)
    assert seen(store) == [OTHER, RUN]  # A score of another run is in that run.
    assert documents(store, Prediction) == []
    assert store.delete_predictions(*PROJECT, [("p", RUN)], MANY) == Deleted(0, 0, is_whole=True)


def test_a_prediction_that_only_scores_name_is_deleted_in_one_run(store: Store) -> None:
    scores = [score(prediction_id="p", evaluation_run_id=run) for run in (RUN, OTHER, None, "")]
    store.add_missing(scores, partial=False)
    assert store.delete_predictions(*PROJECT, [("p", RUN)], MANY) == Deleted(1, 1, is_whole=True)
    assert seen(store) == [OTHER, None, ""]
    assert store.delete_predictions(*PROJECT, [("p", None)], MANY) == Deleted(1, 2, is_whole=True)
    assert seen(store) == [OTHER]


def test_a_prediction_of_no_run_is_deleted_with_its_scores_of_no_run(store: Store) -> None:
    store.add_documents([prediction(id="p", evaluation_run_id=None)])
    scores = [score(prediction_id="p", evaluation_run_id=run) for run in (RUN, None)]
    store.add_missing(scores, partial=False)
    assert store.delete_predictions(*PROJECT, [("p", RUN)], MANY) == Deleted(1, 1, is_whole=True)
    assert documents(store, Prediction) == ["p"]
    assert store.delete_predictions(*PROJECT, [("p", "")], MANY) == Deleted(1, 1, is_whole=True)
    assert seen(store) == documents(store, Prediction) == []


def test_a_prediction_with_many_scores_is_deleted_in_bounded_steps(store: Store) -> None:
    store.add_documents([prediction(id="p"), prediction(id="q")])
    store.add_missing([score(prediction_id="p")] * 5, partial=False)
    wanted = [("p", RUN), ("q", RUN)]
    steps = [store.delete_predictions(*PROJECT, wanted, 2) for _ in range(3)]
    assert steps == [
        Deleted(0, 2, is_whole=False),
        Deleted(0, 2, is_whole=False),
        Deleted(2, 1, is_whole=True),
    ]


def test_deleting_a_prediction_frees_its_id_and_its_keys(store: Store) -> None:
    key = {"idempotency_key": "k"}
    store.add_documents([prediction(id="p", **key)])
    store.add_score(score(prediction_id="p", **key))
    store.delete_predictions(*PROJECT, [("p", RUN)], MANY)
    assert kept(store.add_documents([prediction(id="p", **key)])) == [Kept.CREATED]
    assert store.add_score(score(prediction_id="p", **key)).kept is Kept.CREATED


def test_a_deletion_hides_a_prediction_from_the_next_one(store: Store) -> None:
    fill(store)
    begin(store, RUN)
    wanted = [(f"{RUN}/1", RUN)]
    assert store.delete_predictions(*PROJECT, wanted, MANY) == Deleted(0, 0, is_whole=True)


def test_the_lease_is_longer_than_a_page_takes() -> None:
    assert deletions.LEASE_SECONDS >= 5


def test_a_run_is_measured(store: Store) -> None:
    fill(store)
    last = store.add_score(score()).id
    assert store.measure_run(*PROJECT, RUN) == RunExtent(last, 1, 2, 3)
    assert store.measure_run(*PROJECT, "nothing") == RunExtent("", 0, 0, 0)
    begin(store, RUN)
    assert store.measure_run(*PROJECT, RUN) == RunExtent("", 0, 0, 0)


def test_a_run_with_something_newer_than_a_bound_is_not_deleted(store: Store) -> None:
    fill(store)
    last = store.add_score(score()).id
    assert store.begin_deletions(*PROJECT, [RUN], "key", before=last) == []
    (begun,) = store.begin_deletions(*PROJECT, [RUN], "key", before=f"{last}0")
    assert counted(begun) == (1, 2, 3)


def test_what_has_no_run_is_deleted_by_its_age(store: Store) -> None:
    fill(store)
    store.add_documents([prediction(id=f"{n}", evaluation_run_id=None) for n in range(2)])
    store.add_missing([score(evaluation_run_id="")] * 2, partial=False)
    bound = store.add_score(score(evaluation_run_id=None)).id
    store.add_score(score(project="other", evaluation_run_id=None))
    assert store.count_unassigned(*PROJECT, bound) == (2, 3)
    steps = [store.delete_unassigned(*PROJECT, bound, 3) for _ in range(2)]
    assert steps == [Deleted(2, 1, is_whole=False), Deleted(0, 2, is_whole=True)]
    assert seen(store) == [RUN, RUN, OTHER, OTHER, None]
    assert len(documents(store, Prediction)) == 4
    assert len(all_scores(store, "other")) == 1
