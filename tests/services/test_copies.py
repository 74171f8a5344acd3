"""Copies between stores of every engine: exact, resumable, and checked for differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.errors import Conflict, StoreUnavailable, TooLarge
from app.leaves import leaves
from app.services import copies
from app.services.copies import CopiedStore, copy_store
from app.stores.base import DocumentQuery, Outcome, ScoreQuery, Store
from app.stores.model import DOCUMENTS, Approval, Document, EvaluationRun, Metric, Score
from app.stores.sqlite.store import SqliteStore
from app.stores.weave import SENT_DOCUMENTS, Call
from tests.stores import test_weave
from tests.stores.test_approvals import an_approval
from tests.stores.test_contract import NOW, a_key, a_score, all_scores
from tests.stores.test_documents import WHOLE, a_prediction, a_run
from tests.stores.test_metrics import a_metric

FIRST = "018cc251-f400-7000-8000-000000000001"
"""A `sort_id` of the past."""


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Store]:
    """Return an embedded store; `store` is the target, of each engine in turn."""
    opened = SqliteStore(tmp_path / "source.db")
    opened.prepare()
    yield opened
    opened.close()


def copy(source: Store, target: Store, *, delete_extra: bool = False) -> CopiedStore:
    return copy_store(source, target, delete_extra=delete_extra, progress=lambda _: None)


def scan(store: Store) -> list[Score]:
    return all_scores(store)


ODD = [
    a_score(entity="$e", project="", idempotency_key="k", retry_hash="r", evaluation_run_id=""),
    a_score(value_json="-0.0", leaves=leaves(-0.0)),
    a_score(value_json="1e308", leaves=leaves(1e308)),
    a_score(
        value_json='{"a.b":{"$c":[1,1.0,true,null,"\\u0000é😀"]}}', leaves=leaves({"$": [1.0]})
    ),
    a_score(value_json="1" * 400, leaves=leaves(int("1" * 400))),
    a_score(wb_user_id=None, prediction_id="\0", scorer="x" * 10_000),
]


def test_every_score_and_key_is_the_same_there_and_back(
    source: Store, store: Store, tmp_path: Path
) -> None:
    keys = [a_key(), a_key(revoked_at=NOW)]
    for score in ODD:
        source.add_score(score)
    for key in keys:
        source.add_key(key)
    copied = copy(source, store)
    assert (copied.scores.added, copied.keys, copied.equal) == (len(ODD), 2, True)
    back = SqliteStore(tmp_path / "back.db")
    back.prepare()
    again = copy(store, back)
    assert again.scores.source.digest == copied.scores.source.digest
    assert scan(store) == scan(back) == scan(source) == ODD
    assert back.list_keys() == store.list_keys() == keys
    back.close()


@pytest.mark.parametrize(("patience", "ends_well"), [(60.0, True), (-1.0, False)])
def test_a_write_is_retried_while_the_target_does_not_answer(
    source: Store,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    patience: float,
    ends_well: bool,
) -> None:
    monkeypatch.setattr(copies, "RETRY_SECONDS", patience)
    add, failures = store.add_missing, [StoreUnavailable("away")] * 2

    def add_later(scores: Sequence[Score], *, partial: bool) -> list[Outcome]:
        if failures:
            raise failures.pop()
        return add(scores, partial=partial)

    monkeypatch.setattr(store, "add_missing", add_later)
    source.add_score(a_score())
    if ends_well:
        assert copy(source, store).equal
    else:
        with pytest.raises(StoreUnavailable, match="away"):
            copy(source, store)


def test_a_repeated_copy_adds_only_missing_scores(
    source: Store, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "PART", 20)
    scores = [a_score() for _ in range(121)]
    source.add_missing(scores, partial=False)
    store.add_missing(scores[10:70], partial=False)
    copied = copy(source, store)
    assert (copied.scores.added, copied.equal) == (61, True)
    assert copy(source, store).scores.added == 0


def test_a_source_is_not_scanned_again_for_every_part(
    source: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some servers scan all of their scores for each page."""
    source.add_missing([a_score() for _ in range(2_500)], partial=False)
    target = SqliteStore(tmp_path / "target.db")
    target.prepare()
    pages: list[ScoreQuery] = []

    def scan_scores(query: ScoreQuery) -> Iterator[Score]:
        pages.append(query)
        return SqliteStore.scan_scores(source, query)  # type: ignore[arg-type]

    monkeypatch.setattr(source, "scan_scores", scan_scores)
    assert copy(source, target).equal
    target.close()
    assert len(pages) == 2  # One to copy, and one to compare.


def test_a_score_that_becomes_durable_late_is_not_missed(
    source: Store, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, *scores = [a_score() for _ in range(10)]
    source.add_missing(scores, partial=False)
    add_missing = store.add_missing

    def add(page: Any, *, partial: bool) -> Any:
        outcomes = add_missing(page, partial=partial)
        if late not in page:
            source.add_score(late)  # Its id is lower than those already copied.
        return outcomes

    monkeypatch.setattr(store, "add_missing", add)
    copied = copy(source, store)
    assert (copied.scores.added, copied.equal) == (10, True)


def test_a_copy_ends_while_the_source_is_written_to(
    source: Store, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.add_missing([a_score() for _ in range(5)], partial=False)
    scan_scores = source.scan_scores

    reads = iter(range(20))

    def scan_and_write(query: ScoreQuery) -> Iterator[Score]:
        assert next(reads, None) is not None, "the copy follows new scores for ever"
        source.add_missing([a_score() for _ in range(1_000)], partial=False)
        return scan_scores(query)

    monkeypatch.setattr(source, "scan_scores", scan_and_write)
    copied = copy(source, store)
    assert (copied.scores.added, copied.equal) == (5, True)
    assert copied.came_since == source.extent().count - 5


def test_a_score_that_differs_in_the_target_is_named_and_not_changed(
    source: Store, store: Store
) -> None:
    score = a_score()
    other = replace(score, value_json="1.0")
    source.add_score(score)
    store.add_score(other)
    with pytest.raises(Conflict, match=score.score_id):
        copy(source, store)
    assert scan(store) == [other]


def test_an_idempotency_key_that_another_score_of_the_target_has_is_reported(
    source: Store, store: Store
) -> None:
    score, other = a_score(idempotency_key="k"), a_score(idempotency_key="k")
    source.add_missing([a_score(), score], partial=False)
    store.add_score(other)
    with pytest.raises(Conflict, match=f"{score.score_id}.*idempotency key"):
        copy(source, store)


def test_an_idempotency_key_of_an_extra_score_is_free_once_that_is_deleted(
    source: Store, store: Store
) -> None:
    extra, score = a_score(idempotency_key="k"), a_score(idempotency_key="k")
    source.add_score(score)
    store.add_score(extra)
    copied = copy(source, store, delete_extra=True)
    assert (copied.scores.added, copied.scores.deleted, copied.equal) == (1, 1, True)
    assert scan(store) == [score]


def test_documents_that_are_larger_than_one_of_mongodb_are_copied_there_and_back(
    source: Store, store: Store, tmp_path: Path
) -> None:
    text = "é" * (9 << 20)
    source.add_documents([a_prediction(output_json=text)])
    source.add_documents([replace(test_weave.a_call("c", start_json="1"), end_json=text)])
    assert copy(source, store).equal
    back = SqliteStore(tmp_path / "back.db")
    back.prepare()
    assert copy(store, back).equal
    assert copy(source, back).equal
    back.close()


def test_a_score_that_is_too_large_for_the_target_is_named(source: Store, mongodb_uri: str) -> None:
    from app.stores.mongo.store import open_mongo_store

    target = open_mongo_store(mongodb_uri)
    large = a_score(scorer="x" * (17 << 20))
    source.add_missing([a_score(), large, a_score()], partial=False)
    with pytest.raises(TooLarge, match=large.score_id):
        copy(source, target)
    target.close()


def test_extra_scores_of_the_target_are_deleted_only_on_request(
    source: Store, store: Store
) -> None:
    extra = [a_score(project=name) for name in ("a", "b", "b")]
    scores = [a_score() for _ in range(3)]
    later = a_score()
    source.add_missing(scores, partial=False)
    store.add_missing([*extra, *scores, later], partial=False)
    copied = copy(source, store)
    assert not copied.equal
    assert [each.id for each in copied.scores.extra] == [each.score_id for each in extra]
    assert len(scan(store)) == 7
    copied = copy(source, store, delete_extra=True)
    assert (copied.scores.deleted, copied.equal) == (3, True)
    assert scan(store) == [*scores, later]  # It is newer than the newest score of the source.


def test_a_key_that_is_revoked_in_the_source_is_revoked_in_the_target(
    source: Store, store: Store
) -> None:
    key, same = a_key(), a_key()
    source.add_key(replace(key, revoked_at=NOW))
    source.add_key(same)
    store.add_key(key)
    store.add_key(replace(same, key_id="its id there"))
    assert copy(source, store).keys == 0
    assert {each.key_id: each.revoked_at for each in store.list_keys()} == {
        key.key_id: NOW,
        "its id there": None,
    }


def test_a_key_with_another_role_in_the_target_is_an_error(source: Store, store: Store) -> None:
    key = a_key()
    source.add_key(key)
    store.add_key(replace(key, role="admin"))
    with pytest.raises(Conflict, match=key.key_id):
        copy(source, store)


# Predictions and evaluation runs


KINDS = (*DOCUMENTS, *SENT_DOCUMENTS, Metric, Approval)


def documents(store: Store) -> list[list[Document]]:
    return [list(store.read_documents(kind, DocumentQuery())) for kind in KINDS]


def test_every_document_is_the_same_there_and_back(
    source: Store, store: Store, tmp_path: Path
) -> None:
    for whole in (*WHOLE.values(), *test_weave.WHOLE.values(), a_metric(), an_approval()):
        source.add_documents([whole])
    source.add_documents([a_prediction(project=f"p{number}") for number in range(5)])
    copied = copy(source, store)
    assert [each.added for each in copied.documents] == [1, 6, *[1] * (len(KINDS) - 2)]
    assert copied.equal
    back = SqliteStore(tmp_path / "back.db")
    back.prepare()
    again = copy(store, back)
    digests = [(each.source.digest, each.target.digest) for each in again.documents]
    assert digests == [(each.source.digest, each.target.digest) for each in copied.documents]
    assert documents(store) == documents(back) == documents(source)
    back.close()


def test_a_call_that_has_ended_since_is_changed_in_the_copy(source: Store, store: Store) -> None:
    call = test_weave.a_call("c", start_json="1")
    source.upsert_documents([call], test_weave.fill)
    assert copy(source, store).equal
    source.upsert_documents([replace(call, end_json="2")], test_weave.fill)
    copied = copy(source, store)
    assert copied.equal
    assert [(each.added, each.changed) for each in copied.documents][KINDS.index(Call)] == (0, 1)


@pytest.mark.parametrize("made", [a_run, a_prediction])
def test_what_later_calls_have_replaced_is_replaced_in_the_copy(
    source: Store, store: Store, made: Callable[..., Document]
) -> None:
    (before,) = source.upsert_documents([made(id="x", body_hash="1")], lambda _, sent: sent)
    assert copy(source, store).equal
    after = replace(before, body_hash="2", model="another", started_at=NOW)  # type: ignore[call-arg]
    source.upsert_documents([after], lambda _, sent: sent)
    assert copy(source, store).equal
    assert store.find_document(type(after), "acme", "demo", "x") == after


def test_a_metric_that_is_declared_anew_is_changed_in_the_copy(source: Store, store: Store) -> None:
    source.add_documents([a_metric()])
    assert copy(source, store).equal
    changed = a_metric(direction="lower", body_hash="1" * 64, is_primary=False, unit=None)
    source.upsert_documents([changed], lambda old, new: replace(new, sort_id=old.sort_id))
    assert copy(source, store).equal
    assert documents(store) == documents(source)


def test_copying_again_adds_new_documents_and_updates_changed_ones(
    source: Store, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "PART", 7)
    source.add_documents([a_run(id=str(number)) for number in range(20)])
    assert copy(source, store).equal
    source.add_documents([a_run(id="new")])
    changes = {"status": "completed", "finished_at": NOW, "summary_json": "{}", "name": "n"}
    assert source.change_document(EvaluationRun, "acme", "demo", "3", **changes)
    runs, predictions, *_ = copy(source, store).documents
    assert (runs.added, runs.changed, runs.equal) == (1, 1, True)
    assert (predictions.added, predictions.changed, predictions.equal) == (0, 0, True)
    assert documents(store) == documents(source)


def test_what_a_pending_deletion_hides_is_not_copied(source: Store, store: Store) -> None:
    source.add_documents([a_run(id="deleted"), a_run(id="left")])
    source.add_missing([a_score(evaluation_run_id="deleted"), a_score()], partial=False)
    source.begin_deletions("acme", "demo", ["deleted"], "key")
    copied = copy(source, store)
    assert (copied.scores.added, copied.came_since, copied.equal) == (1, 0, True)
    assert [each.id for each in documents(store)[0]] == ["left"]


def test_a_document_that_differs_in_the_target_is_named_and_not_changed(
    source: Store, store: Store
) -> None:
    source.add_documents([a_run(id="x")])
    store.add_documents([a_run(id="x", model="other")])
    before = documents(store)
    with pytest.raises(Conflict, match="evaluation run x of acme/demo differs in the target"):
        copy(source, store)
    assert documents(store) == before


def test_a_document_whose_key_another_one_has_is_named(source: Store, store: Store) -> None:
    keyed = a_prediction(idempotency_key="k")
    source.add_documents([keyed])
    store.add_documents([keyed])
    with pytest.raises(Conflict, match=r"prediction .* cannot be added: .* its idempotency key"):
        copy(source, store)


def test_documents_that_only_the_target_has_are_deleted_on_request(
    source: Store, store: Store
) -> None:
    source.add_documents([a_run(id="x"), a_run(id="y")])
    copy(source, store)
    source.delete_documents(EvaluationRun, "acme", "demo", ["x", "y"])
    source.add_documents([a_run(id="x", model="made anew")])
    with pytest.raises(Conflict, match="run x of acme/demo differs"):
        copy(source, store)
    copied = copy(source, store, delete_extra=True)
    assert (copied.documents[0].added, copied.documents[0].deleted, copied.equal) == (1, 2, True)
    assert documents(store) == documents(source)


def test_documents_that_only_the_target_has_are_counted(source: Store, store: Store) -> None:
    store.add_documents([a_prediction(id="x", sort_id=FIRST)])
    source.add_documents([a_prediction(id="y")])
    copied = copy(source, store)
    assert ([each.id for each in copied.documents[1].extra], copied.equal) == (["x"], False)


def test_a_document_too_large_for_the_target_is_named(source: Store, store: Store) -> None:
    if isinstance(store, SqliteStore):
        pytest.skip("SQLite stores it")
    source.add_documents([a_run(id="x", model="x" * (17 << 20))])
    with pytest.raises(TooLarge, match="run x of acme/demo: the target cannot store"):
        copy(source, store)
