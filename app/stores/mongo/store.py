"""The MongoDB store: a collection for each kind of document and one for API keys, by pymongo.

A write returns when a majority of the members have it in their journals (w=majority, j=true),
unless the URI sets another write concern.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Any

import pymongo
from pymongo import ASCENDING, DESCENDING
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from app.errors import KeyReused, ScorelineError, StoreUnavailable, Unsupported
from app.stores.base import (
    Changes,
    Extent,
    Outcome,
    ScoreQuery,
    SharedKey,
)
from app.stores.checks import CheckResult
from app.stores.commits import GroupCommit, OnCommit, ignore_commit
from app.stores.deletions import is_covered
from app.stores.documents import PRIMARY_KEY, idempotency_key
from app.stores.missing import Keyed, are_replayed
from app.stores.model import DOCUMENTS, Document, Score
from app.stores.mongo.additions import add_documents_one_by_one, add_new_documents
from app.stores.mongo.changes import read_changes
from app.stores.mongo.checks import check
from app.stores.mongo.documents import (
    id_field,
    ids_filter,
    index_for,
    score_document,
    to_score,
)
from app.stores.mongo.driver import connect, our_errors
from app.stores.mongo.keys import MongoKeys
from app.stores.mongo.leaves import MongoLeaves, order_of
from app.stores.mongo.listing import MongoListing
from app.stores.mongo.parts import find_by_ids, find_in_order, read_whole_page
from app.stores.mongo.schema import migrate
from app.stores.mongo.sharding import sharding_commands
from app.stores.mongo.slots import newest_by_slot, slot_filter, slot_of
from app.stores.mongo.transactions import (
    has_transactions,
    in_transaction,
    in_transaction_if_possible,
)
from app.stores.mongo.unique_keys import delete_with_keys, find_other_content, find_taken
from app.stores.mongo.upserts import MongoUpserts
from app.stores.mongo.writes import (
    add_in_transaction,
    add_new_scores,
    add_one_by_one,
    add_together,
    has_unique_key,
    scores_with_ids,
)

log = logging.getLogger("scoreline.store")

PAGE = 1_000
"""How many documents are read at a time."""

PING_SECONDS = 2.0

PREPARE_SECONDS = 5.0
"""How long a request may prepare the store, or wait for another request that does."""


def open_mongo_store(uri: str, on_commit: OnCommit = ignore_commit) -> MongoStore:
    """Open the database that `uri` names. Raises StoreRefused."""
    return MongoStore(partial(connect, uri), on_commit)


class MongoStore(MongoUpserts, MongoKeys, MongoLeaves, MongoListing):
    """The documents and API keys in the MongoDB database that `connect` returns."""

    def __init__(
        self,
        connect: Callable[[], Database[dict[str, Any]]],
        on_commit: OnCommit = ignore_commit,
    ) -> None:
        self._connect = connect
        self._commits: GroupCommit[Score, Outcome] = GroupCommit(self._add_together, on_commit)
        self._keyed_commits: GroupCommit[Score, Outcome] = GroupCommit(self._add_keyed, on_commit)
        self._prepared = False
        self._prepare_lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        """Create a client, because one that was closed cannot be used again."""
        database = self._connect()
        self._client = database.client
        self._database = database
        self._scores = database["scores"]
        self._keys = database["api_keys"]
        self._meta = database["meta"]
        self._closed = threading.Event()

    # Scores

    def add_score(self, score: Score) -> Outcome:
        self._prepare_once()
        self._remove_covered([score])
        # A transaction costs more, and is only needed for unique keys.
        commits = self._keyed_commits if has_unique_key(score) else self._commits
        return commits.submit(score)

    def add_missing(self, scores: Sequence[Score], *, partial: bool) -> list[Outcome]:
        self._prepare_once()
        self._remove_covered(scores)
        with our_errors():
            if has_transactions(self._client):
                return add_in_transaction(self._client, self._scores, scores, partial=partial)
            return add_one_by_one(self._scores, scores, partial=partial)

    def add_accepted(
        self,
        groups: Sequence[Sequence[Document]],
        scores: Sequence[Score],
        shared_key: SharedKey | None = None,
    ) -> tuple[list[list[Outcome]], list[Outcome]]:
        self._prepare_once()
        for documents in groups:
            self._remove_covered(documents)
        self._remove_covered(scores)
        named = [self._with_ids(documents) for documents in groups]
        made = scores_with_ids(scores)

        def add(session: ClientSession) -> tuple[list[list[Outcome]], list[Outcome]]:
            if shared_key:
                self._check_not_reused(shared_key, session)
            added = [add_new_documents(*each, session, partial=True) for each in named]
            return added, add_new_scores(self._scores, scores, made, session, partial=True)

        with our_errors():
            if has_transactions(self._client):
                return in_transaction(self._client, add)
            if shared_key:
                self._check_not_reused(shared_key)
            added = [add_documents_one_by_one(*each, partial=True) for each in named]
            return added, add_one_by_one(self._scores, scores, partial=True)

    def _check_not_reused(self, key: SharedKey, session: ClientSession | None = None) -> None:
        """Raise KeyReused if a key was used with another hash, for what is stored and visible."""
        place = {"entity": key.entity, "project": key.project}
        for collection in (self._scores, *map(self._collection, DOCUMENTS)):
            ids = find_other_content(collection, key, session)
            wanted = place | {id_field(collection.name): {"$in": ids}}
            wanted |= self._visible(collection.name, key.entity, key.project)
            if ids and collection.find_one(wanted, session=session):
                raise KeyReused

    def _add_together(self, scores: Sequence[Score]) -> list[Outcome | ScorelineError]:
        with our_errors():
            return add_together(self._scores, scores)

    def _add_keyed(self, scores: Sequence[Score]) -> list[Outcome]:
        return self.add_missing(scores, partial=True)

    def read_changes(
        self, entity: str, project: str, cursor: str | None, limit: int, wait: float
    ) -> Changes:
        self._prepare_once()
        with our_errors():
            if not has_transactions(self._client):
                raise Unsupported(
                    "A standalone MongoDB server has no change stream: use a replica set"
                )
            changes = read_changes(
                self._scores, (entity, project), cursor, limit, wait, self._closed
            )
        pending = self._pending(entity, project)
        visible = [score for score in changes.scores if not is_covered(score, pending)]
        return replace(changes, scores=visible)

    def find_score(self, entity: str, project: str, score_id: str) -> Score | None:
        self._prepare_once()  # An earlier release has no `score_id` in a document.
        found = find_by_ids(self._scores, entity, project, [score_id])
        score = to_score(found[0]) if found else None
        if score and score.evaluation_run_id is not None:
            return None if is_covered(score, self._pending(entity, project)) else score
        return score

    def list_score_ids(self, query: ScoreQuery) -> list[str]:
        self._prepare_once()  # The index in the hint must exist.
        if query.only_current:
            pages = self._read_pages(self.as_of_now(query), (), None)
            found = chain.from_iterable(current for current, _ in pages)
            some = islice(found, query.offset, query.offset + query.limit)
            return [document["score_id"] for document in some]
        visible = self._visible("scores", query.entity, query.project)
        with our_errors():
            return [document["score_id"] for document in self._find_ids(query, visible)]

    def _find_ids(self, query: ScoreQuery, visible: Mapping[str, Any]) -> Cursor[dict[str, Any]]:
        found = self._scores.find({**ids_filter(query), **visible}, {"score_id": 1, "_id": 0})
        found = found.sort("score_id", order_of(query))
        return found.hint(index_for(query)).skip(query.offset).limit(query.limit)

    def read_scores(
        self,
        entity: str,
        project: str,
        score_ids: Sequence[str],
        *,
        newest_first: bool = False,
    ) -> Iterator[Score]:
        left = sorted(set(score_ids), reverse=newest_first)
        while left:
            wanted = {**_place(entity, project), "score_id": {"$in": left[:PAGE]}}
            order = DESCENDING if newest_first else ASCENDING
            documents, is_whole = read_whole_page(
                self._scores,
                partial(find_in_order, self._scores, wanted, [("score_id", order)]),
                PAGE + 1,  # One more than there can be.
            )
            yield from map(to_score, documents)
            left = left[PAGE if is_whole else left.index(documents[-1]["score_id"]) + 1 :]

    def find_superseding(self, scores: Sequence[Score]) -> dict[str, str]:
        if not scores:
            return {}
        self._prepare_once()
        documents = [score_document(score) for score in scores]
        place = _place(scores[0].entity, scores[0].project)
        with our_errors():
            visible = self._visible("scores", **place)
            newest = newest_by_slot(self._scores, {**place, **visible}, documents)
        ranks = {document["score_id"]: newest[slot_of(document)] for document in documents}
        return {score_id: newest for score_id, (_, newest) in ranks.items() if score_id != newest}

    def read_slot(self, score: Score) -> Iterator[Score]:
        self._prepare_once()
        place = _place(score.entity, score.project)
        wanted = {**place, **slot_filter(slot_of(score_document(score)))}
        order = [("created_at", DESCENDING), ("score_id", DESCENDING)]
        is_whole = False
        while not is_whole:
            visible = self._visible("scores", **place)
            visible_ones = {**wanted, **visible}
            find = partial(find_in_order, self._scores, visible_ones, order, "scores_by_slot")
            documents, is_whole = read_whole_page(self._scores, find, PAGE)
            yield from map(to_score, documents)
            if documents:
                created_at, score_id = documents[-1]["created_at"], documents[-1]["score_id"]
                wanted["$or"] = [
                    {"created_at": {"$lt": created_at}},
                    {"created_at": created_at, "score_id": {"$lt": score_id}},
                ]

    def score_revision(self, entity: str, project: str, evaluation_run_id: str) -> str:
        self._prepare_once()
        visible = self._visible("scores", entity, project)
        wanted = {**_place(entity, project), "evaluation_run_id": evaluation_run_id, **visible}
        # With the hash, another score that is imported under the id of a deleted one is noticed.
        found = self._scores.find(wanted, {"score_id": 1, "body_hash": 1, "_id": 0})
        digest = hashlib.sha256()
        with our_errors():
            for each in found.sort("score_id", ASCENDING).hint("scores_by_run"):
                digest.update(f"{each['score_id']} {each['body_hash']}\n".encode())
        return digest.hexdigest()

    def find_retried(self, score: Score, after: str) -> str | None:
        self._prepare_once()  # The index in the hint must exist.
        wanted = {
            **_place(score.entity, score.project),
            "prediction_id": score.prediction_id,
            "score_id": {"$gt": after},
            "retry_hash": score.retry_hash,
            **self._visible("scores", score.entity, score.project),
        }
        with our_errors():
            found = self._durable().find(wanted, {"score_id": 1}).hint("scores_by_prediction")
            newest = found.sort("score_id", DESCENDING).limit(1)
            return next((document["score_id"] for document in newest), None)

    def find_replayed(self, scores: Sequence[Score]) -> list[bool]:
        with our_errors():
            taken = find_taken(self._scores, map(idempotency_key, scores), None)
        return are_replayed(scores, {key: Keyed(*each) for key, each in taken.items()})

    def _durable(self) -> Collection[dict[str, Any]]:
        """Return the scores as a majority has them, because others may still be lost."""
        return self._scores.with_options(read_concern=ReadConcern("majority"))

    def delete_scores(self, entity: str, project: str, score_ids: Sequence[str]) -> int:
        place = _place(entity, project)
        wanted = {**place, "score_id": {"$in": list(score_ids)}, **self._visible("scores", **place)}

        def delete(session: ClientSession | None) -> int:
            return delete_with_keys(self._scores, wanted, session)

        with our_errors():
            return in_transaction_if_possible(self._client, delete)

    def extent(self, kind: type[Score | Document] = Score) -> Extent:
        id_field = "score_id" if kind is Score else PRIMARY_KEY
        collection = self._database[kind.collection]
        durable = collection.with_options(read_concern=ReadConcern("majority"))
        with our_errors():  # In the order of `_id`, which begins with the id.
            newest = durable.find({}, {id_field: 1}).sort("_id", DESCENDING).limit(1)
            newest_id = next((document[id_field] for document in newest), None)
            return Extent(collection.estimated_document_count(), newest_id)

    def next_project(self, after: tuple[str, str] | None) -> tuple[str, str] | None:
        filters: list[dict[str, Any]] = [{}]
        if after is not None:
            entity, project = after
            filters = [{"entity": entity, "project": {"$gt": project}}, {"entity": {"$gt": entity}}]
        order = [("entity", ASCENDING), ("project", ASCENDING)]
        for wanted in filters:
            with our_errors():
                found = self._durable().find(wanted, {"entity": 1, "project": 1, "_id": 0})
                for first in found.sort(order).hint("scores_by_project").limit(1):
                    return first["entity"], first["project"]
        return None

    def scan_scores(self, query: ScoreQuery) -> Iterator[Score]:
        limit, is_whole = query.limit, False
        while limit > 0 and not is_whole:
            visible = self._visible("scores", query.entity, query.project)
            wanted, order = {**ids_filter(query), **visible}, [("score_id", ASCENDING)]
            find = partial(find_in_order, self._durable(), wanted, order, index_for(query))
            documents, is_whole = read_whole_page(self._scores, find, min(limit, PAGE))
            yield from map(to_score, documents)
            if documents:
                query = replace(query, after=documents[-1]["score_id"])
                limit -= len(documents)

    # The store itself

    def prepare(self, seconds: float = math.inf) -> None:
        with our_errors():
            migrate(self._database, seconds)
            if not has_transactions(self._client):
                log.warning(
                    "this is a standalone MongoDB server: an interrupted batch may be stored in "
                    "part, and changes cannot be followed"
                )
        self._prepared = True

    def _prepare_once(self) -> None:
        """Prepare the store before its first use, if the server did not answer at the start.

        A long migration is done in parts: each request does one and fails, and the next continues.
        """
        if self._prepared:
            return
        if not self._prepare_lock.acquire(timeout=PREPARE_SECONDS):
            raise StoreUnavailable("the store is being prepared")
        try:
            if not self._prepared:
                self.prepare(PREPARE_SECONDS)
        finally:
            self._prepare_lock.release()

    def ping(self) -> None:
        self._prepare_once()  # Every write fails until then.
        with our_errors(), pymongo.timeout(PING_SECONDS):
            self._scores.find_one({}, {"_id": 1})

    def shard(self, *, dry_run: bool) -> Iterator[dict[str, Any]]:
        """Shard every collection; yield each command of the database admin after it was run.

        With `dry_run`, run none and change nothing. Raises StoreRefused and StoreUnavailable.
        """
        if not dry_run:
            self._prepare_once()  # The indexes must begin with the shard keys.
        with our_errors():
            for command in sharding_commands(self._database):
                if not dry_run:
                    self._client.admin.command(command)
                yield command

    def check(self) -> Iterator[CheckResult]:
        return check(self._database)

    def close(self) -> None:
        self._closed.set()
        self._client.close()
        self._begin()


def _place(entity: str, project: str) -> dict[str, Any]:
    """Return the filter for one project."""
    return {"entity": entity, "project": project}
