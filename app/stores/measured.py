"""A store that wraps another to measure call times, waiting writes and created scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from time import perf_counter
from typing import Any, TypeVar

from app.ids import AFTER_ALL
from app.metrics import Metrics
from app.stores.base import (
    Changes,
    DocumentQuery,
    Extent,
    Kept,
    LeafPage,
    Outcome,
    ScoreQuery,
    SharedKey,
    Store,
    Tally,
)
from app.stores.checks import CheckResult
from app.stores.deletions import Deleted, Deletion, RunExtent
from app.stores.listing import Fields, ListedPrediction, Named, ProjectCounts, RunCounts
from app.stores.model import AnyDocument, ApiKey, Document, Score
from app.stores.weave import Feedback, Merge, Projected

Item = TypeVar("Item")


class MeasuredStore:
    """Wraps a store, and records in `metrics` how long each call took."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._observe: dict[str, Callable[[float], None]] = {}

    @contextmanager
    def _timed(self, verb: str) -> Iterator[None]:
        began = perf_counter()
        try:
            yield
        finally:
            self._record(verb, perf_counter() - began)

    @contextmanager
    def _write(self, verb: str) -> Iterator[None]:
        """Time a call that waits for a commit, and count it as waiting."""
        self._metrics.waiting.inc()
        began = perf_counter()
        try:
            yield
        finally:
            self._record(verb, perf_counter() - began)
            self._metrics.waiting.dec()

    def _timed_items(self, verb: str, items: Iterator[Item]) -> Iterator[Item]:
        """Time an iterator, without the time that its caller takes."""
        seconds = 0.0
        try:
            while True:
                began = perf_counter()
                try:
                    item = next(items)
                except StopIteration:
                    return
                finally:
                    seconds += perf_counter() - began
                yield item
        finally:
            self._record(verb, seconds)

    def _record(self, verb: str, seconds: float) -> None:
        observe = self._observe.get(verb)
        if observe is None:
            observe = self._observe[verb] = self._metrics.timing(verb)
        observe(seconds)

    def prepare(self) -> None:
        with self._timed("prepare"):
            self._store.prepare()

    def ping(self) -> None:
        with self._timed("ping"):
            self._store.ping()

    def check(self) -> Iterator[CheckResult]:
        return self._timed_items("check", self._store.check())

    def add_score(self, score: Score) -> Outcome:
        with self._write("add_score"):
            outcome = self._store.add_score(score)
        if outcome.kept is Kept.CREATED:
            self._metrics.created.inc()
        return outcome

    def add_missing(self, scores: Sequence[Score], *, partial: bool) -> list[Outcome]:
        with self._write("add_missing"):
            outcomes = self._store.add_missing(scores, partial=partial)
        self._metrics.created.inc(sum(each.kept is Kept.CREATED for each in outcomes))
        return outcomes

    def read_changes(
        self, entity: str, project: str, cursor: str | None, limit: int, wait: float
    ) -> Changes:
        # Not timed, because it waits for other calls to write.
        return self._store.read_changes(entity, project, cursor, limit, wait)

    def find_score(self, entity: str, project: str, score_id: str) -> Score | None:
        with self._timed("find_score"):
            return self._store.find_score(entity, project, score_id)

    def as_of_now(self, query: ScoreQuery) -> ScoreQuery:
        with self._timed("as_of_now"):
            return self._store.as_of_now(query)

    def list_score_ids(self, query: ScoreQuery) -> list[str]:
        with self._timed("list_score_ids"):
            return self._store.list_score_ids(query)

    def read_scores(
        self,
        entity: str,
        project: str,
        score_ids: Sequence[str],
        *,
        newest_first: bool = False,
    ) -> Iterator[Score]:
        found = self._store.read_scores(entity, project, score_ids, newest_first=newest_first)
        return self._timed_items("read_scores", found)

    def find_superseding(self, scores: Sequence[Score]) -> dict[str, str]:
        with self._timed("find_superseding"):
            return self._store.find_superseding(scores)

    def read_slot(self, score: Score) -> Iterator[Score]:
        return self._timed_items("read_slot", self._store.read_slot(score))

    def read_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[LeafPage]:
        return self._timed_items("read_leaves", self._store.read_leaves(query, fields))

    def tally_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[Tally]:
        return self._timed_items("tally_leaves", self._store.tally_leaves(query, fields))

    def tally_single(
        self, query: ScoreQuery, fields: Sequence[str], by: Sequence[str]
    ) -> Iterator[Tally]:
        return self._timed_items("tally_single", self._store.tally_single(query, fields, by))

    def score_revision(self, entity: str, project: str, evaluation_run_id: str) -> str:
        with self._timed("score_revision"):
            return self._store.score_revision(entity, project, evaluation_run_id)

    def find_retried(self, score: Score, after: str) -> str | None:
        with self._timed("find_retried"):
            return self._store.find_retried(score, after)

    def find_replayed(self, scores: Sequence[Score]) -> list[bool]:
        with self._timed("find_replayed"):
            return self._store.find_replayed(scores)

    def delete_scores(self, entity: str, project: str, score_ids: Sequence[str]) -> int:
        with self._write("delete_scores"):
            deleted = self._store.delete_scores(entity, project, score_ids)
        self._metrics.deleted.inc(deleted)
        return deleted

    def extent(self, kind: type[Score | Document] = Score) -> Extent:
        with self._timed("extent"):
            return self._store.extent(kind)

    def next_project(self, after: tuple[str, str] | None) -> tuple[str, str] | None:
        with self._timed("next_project"):
            return self._store.next_project(after)

    def scan_scores(self, query: ScoreQuery) -> Iterator[Score]:
        return self._timed_items("scan_scores", self._store.scan_scores(query))

    def add_documents(self, documents: Sequence[Document]) -> list[Outcome]:
        with self._write("add_documents"):
            outcomes = self._store.add_documents(documents)
        self._count_created(documents, outcomes)
        return outcomes

    def add_accepted(
        self,
        groups: Sequence[Sequence[Document]],
        scores: Sequence[Score],
        shared_key: SharedKey | None = None,
    ) -> tuple[list[list[Outcome]], list[Outcome]]:
        with self._write("add_accepted"):
            added, outcomes = self._store.add_accepted(groups, scores, shared_key)
        for documents, each in zip(groups, added, strict=True):
            self._count_created(documents, each)
        self._metrics.created.inc(sum(each.kept is Kept.CREATED for each in outcomes))
        return added, outcomes

    def upsert_documents(
        self, documents: Sequence[AnyDocument], merge: Merge[AnyDocument]
    ) -> list[AnyDocument]:
        with self._write("upsert_documents"):
            return self._store.upsert_documents(documents, merge)

    def add_projected(
        self, projected: Sequence[Projected], feedback: Sequence[Feedback] = ()
    ) -> bool:
        with self._write("add_projected"):
            added = self._store.add_projected(projected, feedback)
        self._metrics.created.inc(len(projected) if added else 0)
        return added

    def _count_created(self, documents: Sequence[Document], outcomes: Sequence[Outcome]) -> None:
        for document, outcome in zip(documents, outcomes, strict=True):
            if outcome.kept is Kept.CREATED:
                self._metrics.documents_created.labels(document.collection).inc()

    def find_document(
        self, kind: type[AnyDocument], entity: str, project: str, document_id: str
    ) -> AnyDocument | None:
        with self._timed("find_document"):
            return self._store.find_document(kind, entity, project, document_id)

    def find_documents(
        self, kind: type[AnyDocument], entity: str, project: str, document_ids: Sequence[str]
    ) -> Iterator[AnyDocument]:
        found = self._store.find_documents(kind, entity, project, document_ids)
        return self._timed_items("find_documents", found)

    def find_retried_document(
        self, kind: type[AnyDocument], entity: str, project: str, retry_hash: str, after: str
    ) -> AnyDocument | None:
        with self._timed("find_retried_document"):
            return self._store.find_retried_document(kind, entity, project, retry_hash, after)

    def list_sort_ids(self, kind: type[Document], query: DocumentQuery) -> list[str]:
        with self._timed("list_sort_ids"):
            return self._store.list_sort_ids(kind, query)

    def read_documents(
        self, kind: type[AnyDocument], query: DocumentQuery
    ) -> Iterator[AnyDocument]:
        return self._timed_items("read_documents", self._store.read_documents(kind, query))

    def read_fields(
        self, kind: type[Document], query: DocumentQuery, names: Sequence[str]
    ) -> Iterator[list[Fields]]:
        return self._timed_items("read_fields", self._store.read_fields(kind, query, names))

    def change_document(
        self, kind: type[Document], entity: str, project: str, document_id: str, **changes: Any
    ) -> bool:
        with self._write("change_document"):
            return self._store.change_document(kind, entity, project, document_id, **changes)

    def delete_documents(
        self, kind: type[Document], entity: str, project: str, document_ids: Sequence[str]
    ) -> int:
        with self._write("delete_documents"):
            deleted = self._store.delete_documents(kind, entity, project, document_ids)
        self._metrics.documents_deleted.labels(kind.collection).inc(deleted)
        return deleted

    def begin_deletions(
        self,
        entity: str,
        project: str,
        run_ids: Sequence[str],
        requested_by: str,
        before: str = AFTER_ALL,
    ) -> list[Deletion]:
        with self._write("begin_deletions"):
            begun = self._store.begin_deletions(entity, project, run_ids, requested_by, before)
        for each in begun:
            self._count_deleted(each.runs, each.predictions, each.scores)
        return begun

    def _count_deleted(self, runs: int, predictions: int, scores: int) -> None:
        self._metrics.documents_deleted.labels("evaluation_runs").inc(runs)
        self._metrics.documents_deleted.labels("predictions").inc(predictions)
        self._metrics.deleted.inc(scores)

    def continue_deletion(self, deletion: Deletion, worker: str, limit: int) -> Deletion | None:
        with self._write("continue_deletion"):
            return self._store.continue_deletion(deletion, worker, limit)

    def list_deletions(
        self,
        entity: str | None = None,
        project: str | None = None,
        *,
        pending: bool | None = None,
        after: str = "",
        limit: int,
    ) -> list[Deletion]:
        with self._timed("list_deletions"):
            return self._store.list_deletions(
                entity, project, pending=pending, after=after, limit=limit
            )

    def measure_run(self, entity: str, project: str, run_id: str) -> RunExtent:
        with self._timed("measure_run"):
            return self._store.measure_run(entity, project, run_id)

    def count_unassigned(self, entity: str, project: str, before: str) -> tuple[int, int]:
        with self._timed("count_unassigned"):
            return self._store.count_unassigned(entity, project, before)

    def delete_unassigned(self, entity: str, project: str, before: str, limit: int) -> Deleted:
        with self._write("delete_unassigned"):
            deleted = self._store.delete_unassigned(entity, project, before, limit)
        self._count_deleted(0, deleted.predictions, deleted.scores)
        return deleted

    def delete_predictions(
        self,
        entity: str,
        project: str,
        predictions: Sequence[tuple[str, str | None]],
        limit: int,
    ) -> Deleted:
        with self._write("delete_predictions"):
            deleted = self._store.delete_predictions(entity, project, predictions, limit)
        self._count_deleted(0, deleted.predictions, deleted.scores)
        return deleted

    def list_named_runs(
        self, entity: str, project: str, before: str | None, limit: int
    ) -> list[Named]:
        with self._timed("list_named_runs"):
            return self._store.list_named_runs(entity, project, before, limit)

    def find_named_run(self, entity: str, project: str, run_id: str) -> Named | None:
        with self._timed("find_named_run"):
            return self._store.find_named_run(entity, project, run_id)

    def count_run(self, entity: str, project: str, run_id: str) -> RunCounts:
        with self._timed("count_run"):
            return self._store.count_run(entity, project, run_id)

    def list_run_predictions(
        self, entity: str, project: str, run_id: str, before: str | None, limit: int
    ) -> list[ListedPrediction]:
        with self._timed("list_run_predictions"):
            return self._store.list_run_predictions(entity, project, run_id, before, limit)

    def list_current_scores(
        self, entity: str, project: str, run_id: str, prediction_ids: Sequence[str]
    ) -> dict[str, list[str]]:
        with self._timed("list_current_scores"):
            return self._store.list_current_scores(entity, project, run_id, prediction_ids)

    def list_scores_of(self, entity: str, project: str, prediction_ids: Sequence[str]) -> list[str]:
        with self._timed("list_scores_of"):
            return self._store.list_scores_of(entity, project, prediction_ids)

    def read_by_start(
        self,
        kind: type[Document],
        entity: str,
        project: str,
        names: Sequence[str],
        *,
        newest_first: bool,
        started: bool = True,
    ) -> Iterator[list[Fields]]:
        found = self._store.read_by_start(
            kind, entity, project, names, newest_first=newest_first, started=started
        )
        return self._timed_items("read_by_start", found)

    def find_judged(
        self,
        entity: str,
        project: str,
        run_id: str,
        scorer_name: str,
        prediction_ids: Sequence[str],
    ) -> set[str]:
        with self._timed("find_judged"):
            place = (entity, project, run_id)
            return self._store.find_judged(*place, scorer_name, prediction_ids)

    def list_entities(self) -> list[str]:
        with self._timed("list_entities"):
            return self._store.list_entities()

    def list_projects(self, entity: str) -> list[Named]:
        with self._timed("list_projects"):
            return self._store.list_projects(entity)

    def count_project(self, entity: str, project: str) -> ProjectCounts:
        with self._timed("count_project"):
            return self._store.count_project(entity, project)

    def list_scorers(self, entity: str, project: str) -> list[Named]:
        with self._timed("list_scorers"):
            return self._store.list_scorers(entity, project)

    def list_op_names(self, entity: str, project: str) -> list[str]:
        with self._timed("list_op_names"):
            return self._store.list_op_names(entity, project)

    def add_key(self, key: ApiKey) -> None:
        with self._write("add_key"):
            self._store.add_key(key)

    def find_key(self, key_hash: str) -> ApiKey | None:
        with self._timed("find_key"):
            return self._store.find_key(key_hash)

    def list_keys(self, after: str = "", limit: int | None = None) -> list[ApiKey]:
        with self._timed("list_keys"):
            return self._store.list_keys(after, limit)

    def count_keys(self, in_use_at: datetime | None = None) -> int:
        with self._timed("count_keys"):
            return self._store.count_keys(in_use_at)

    def revoke_key(self, key_id: str, revoked_at: datetime) -> bool:
        with self._write("revoke_key"):
            return self._store.revoke_key(key_id, revoked_at)

    def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        with self._timed("note_key_uses"):
            self._store.note_key_uses(uses)

    def close(self) -> None:
        self._store.close()
