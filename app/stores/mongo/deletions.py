"""Deletions of evaluation runs and predictions in the MongoDB store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from app.errors import TooLarge
from app.ids import AFTER_ALL, new_id
from app.stores.deletions import (
    LEASE_SECONDS,
    MAX_FINISHED,
    Deleted,
    Deletion,
    RunExtent,
    by_project,
    check_not_covered,
    deletion_of,
    finished,
    names_of,
)
from app.stores.model import Item
from app.stores.mongo.documents import ORDER_FIELDS, id_field
from app.stores.mongo.driver import MongoPart, our_errors
from app.stores.mongo.parts import remove_orphans
from app.stores.mongo.transactions import in_transaction_if_possible
from app.stores.mongo.unique_keys import delete_found, fields_to_delete, find_taken

Documents = Collection[dict[str, Any]]

PENDING = "pending"
"""A field that only the documents of pending deletions have, so that their index is small."""

RUN_FIELDS = {
    "evaluation_runs": "id",
    "predictions": "evaluation_run_id",
    "scores": "evaluation_run_id",
}
"""The field with the id of the run, by collection, in the order in which they are cleared."""

RUN_INDEXES = {
    "evaluation_runs": "evaluation_runs_by_id",
    "predictions": "predictions_of_run",
    "scores": "scores_by_run",
}

NO_RUN = [None, ""]


def without_covered(name: str, pending: Iterable[Deletion]) -> dict[str, Any]:
    """Return the filter that leaves out what deletions cover in a collection."""
    covered = [_covered(name, each) for each in pending]
    return {"$nor": covered} if covered else {}


def _covered(name: str, deletion: Deletion) -> dict[str, Any]:
    return {
        "entity": deletion.entity,
        "project": deletion.project,
        RUN_FIELDS[name]: deletion.evaluation_run_id,
        ORDER_FIELDS[name]: {"$lte": deletion.bound},
    }


def _unassigned(name: str, entity: str, project: str, before: str) -> dict[str, Any]:
    """Return the filter for what is in no run and older than an id."""
    place = {"entity": entity, "project": project, "evaluation_run_id": {"$in": NO_RUN}}
    return {**place, ORDER_FIELDS[name]: {"$lt": before}}


class MongoDeletions(MongoPart):
    """The part of the MongoDB store that deletes evaluation runs and predictions."""

    def _pending(self, entity: str | None = None, project: str | None = None) -> list[Deletion]:
        """Return the pending deletions of a project, or of all."""
        place = {"entity": entity, "project": project}
        wanted = {name: value for name, value in place.items() if value is not None}
        found = self._database["deletions"].find({**wanted, PENDING: True})
        with our_errors():
            return [_to_deletion(each) for each in found]

    def _visible(
        self, name: str, entity: str | None = None, project: str | None = None
    ) -> dict[str, Any]:
        """Return the filter that leaves out what pending deletions cover in a collection."""
        if name not in RUN_FIELDS:
            return {}
        return without_covered(name, self._pending(entity, project))

    def _remove_covered(self, new: Iterable[Item]) -> None:
        """Remove what pending deletions cover and what has an id or key of `new` documents.

        Raises BeingDeleted if such a deletion would cover one of `new` itself.
        """
        named = [each for each in new if names_of([each]) and each.collection in RUN_FIELDS]
        for (entity, project), some in by_project(named).items():
            with suppress(TooLarge):  # No project has a name that is too large for a query.
                pending = self._pending(entity, project)
                self._remove_named(some, pending)

    def _remove_named(self, new: Sequence[Item], pending: Sequence[Deletion]) -> None:
        check_not_covered(pending, new)
        name = new[0].collection
        names = names_of(new)
        keys = [(new[0].entity, new[0].project, key) for key in names.get("idempotency_key", ())]
        collection = self._database[name]
        with our_errors():
            taken = find_taken(collection, keys, None) if pending else {}
            ids = [*names.get("id", ()), *(each.id for each in taken.values())]
            named = {"$and": [{id_field(collection.name): {"$in": ids}}]}

            def remove(session: ClientSession | None) -> None:
                for deletion in pending:
                    self._remove(name, named | _covered(name, deletion), session=session)

            if ids:
                in_transaction_if_possible(self._client, remove)

    def begin_deletions(
        self,
        entity: str,
        project: str,
        run_ids: Sequence[str],
        requested_by: str,
        before: str = AFTER_ALL,
    ) -> list[Deletion]:
        self._prepare_once()
        begun = []
        with our_errors():
            for run_id in dict.fromkeys(run_ids):
                found = self.measure_run(entity, project, run_id)
                if found.is_below(before):
                    run = (entity, project, run_id)
                    made = deletion_of(new_id(), run, found.newest_id, requested_by, found)
                    self._database["deletions"].insert_one(_to_bson(made))
                    begun.append(made)
            self._forget(entity, project)
        return begun

    def measure_run(self, entity: str, project: str, run_id: str) -> RunExtent:
        self._prepare_once()
        pending = self._pending(entity, project)
        newest, counts = [""], []
        for name, field in RUN_FIELDS.items():
            place = {"entity": entity, "project": project, field: run_id}
            wanted = {**place, **without_covered(name, pending)}
            collection, index = self._database[name], RUN_INDEXES[name]
            with our_errors():
                order = ORDER_FIELDS[name]
                found = collection.find(wanted, {order: 1}).hint(index)
                newest += [each[order] for each in found.sort(order, DESCENDING).limit(1)]
                counts.append(collection.count_documents(wanted, hint=index))
        return RunExtent(max(newest), *counts)

    def count_unassigned(self, entity: str, project: str, before: str) -> tuple[int, int]:
        self._prepare_once()
        with our_errors():
            predictions, scores = (
                self._database[name].count_documents(
                    _unassigned(name, entity, project, before), hint=RUN_INDEXES[name]
                )
                for name in ("predictions", "scores")
            )
        return predictions, scores

    def delete_unassigned(self, entity: str, project: str, before: str, limit: int) -> Deleted:
        self._prepare_once()

        def delete(session: ClientSession | None) -> Deleted:
            removed: list[int] = []
            for name in ("predictions", "scores"):
                wanted = _unassigned(name, entity, project, before)
                most, index = limit - sum(removed), RUN_INDEXES[name]
                removed.append(self._remove(name, wanted, most, index, session))
            predictions, scores = removed
            return Deleted(predictions, scores, is_whole=predictions + scores < limit)

        with our_errors():
            deleted = in_transaction_if_possible(self._client, delete)
            if deleted.is_whole:
                remove_orphans(self._database, entity, project)
            return deleted

    def _forget(self, entity: str, project: str) -> None:
        """Remove the oldest finished deletions of a project."""
        deletions = self._database["deletions"]
        wanted = {"entity": entity, "project": project, PENDING: None}
        found = deletions.find(wanted, {"_id": 1}).sort("_id", DESCENDING)
        for last in found.skip(MAX_FINISHED).limit(1):
            deletions.delete_many({**wanted, "_id": {"$lte": last["_id"]}})

    def continue_deletion(self, deletion: Deletion, worker: str, limit: int) -> Deletion | None:
        deletions, now = self._database["deletions"], datetime.now(UTC)
        named = {
            "_id": deletion.deletion_id,
            "entity": deletion.entity,
            "project": deletion.project,
        }
        is_free = [{"claimed_by": {"$in": [None, worker]}}, {"claimed_until": {"$lt": now}}]
        claim = {"claimed_by": worker, "claimed_until": now + timedelta(seconds=LEASE_SECONDS)}
        with our_errors():
            if not deletions.update_one({**named, "$or": is_free}, {"$set": claim}).matched_count:
                return None if deletions.find_one(named) else finished(deletion, now)
            cleared = self._clear(deletion, limit)
            progress: dict[str, Any] = {"$inc": {"cleared": cleared}}
            if cleared < limit:
                total = deletion.runs + deletion.predictions + deletion.scores
                progress = {
                    "$set": {"finished_at": now, "cleared": total},
                    "$unset": {PENDING: "", "claimed_by": ""},
                }
            after = ReturnDocument.AFTER
            found = deletions.find_one_and_update(
                {**named, PENDING: True}, progress, return_document=after
            ) or deletions.find_one(named)
        return _to_deletion(found) if found else finished(deletion, now)

    def _clear(self, deletion: Deletion, limit: int) -> int:
        """Remove up to `limit` documents that a deletion covers; return how many were found."""

        def clear(session: ClientSession | None) -> int:
            cleared = 0
            for name in RUN_FIELDS:
                most, index = limit - cleared, RUN_INDEXES[name]
                cleared += self._remove(name, _covered(name, deletion), most, index, session)
            return cleared

        return in_transaction_if_possible(self._client, clear)

    def _remove(
        self,
        name: str,
        wanted: Mapping[str, Any],
        limit: int | None = None,
        index: str | None = None,
        session: ClientSession | None = None,
    ) -> int:
        """Remove up to `limit` documents of a collection; return how many were found.

        Without a session, another write may have removed some of them at the same time.
        """
        if limit == 0:
            return 0
        collection = self._database[name]
        cursor = collection.find(wanted, fields_to_delete(collection), session=session)
        found = list((cursor.hint(index) if index else cursor).limit(limit or 0))
        delete_found(collection, wanted, found, session)
        return len(found)

    def list_deletions(
        self,
        entity: str | None = None,
        project: str | None = None,
        *,
        pending: bool | None = None,
        after: str = "",
        limit: int,
    ) -> list[Deletion]:
        place = {"entity": entity, "project": project}
        wanted: dict[str, Any] = {name: value for name, value in place.items() if value is not None}
        if pending is not None:
            wanted[PENDING] = True if pending else None
        wanted["_id"] = {"$gt": after}
        self._prepare_once()
        found = self._database["deletions"].find(wanted).sort("_id", ASCENDING).limit(limit)
        with our_errors():
            return [_to_deletion(each) for each in found]

    def delete_predictions(
        self,
        entity: str,
        project: str,
        predictions: Sequence[tuple[str, str | None]],
        limit: int,
    ) -> Deleted:
        self._prepare_once()
        pending = self._pending(entity, project)
        place = {"entity": entity, "project": project}

        def delete(session: ClientSession | None) -> Deleted:
            num_predictions = num_scores = 0
            for prediction_id, run_id in predictions:
                run = {"$in": NO_RUN} if run_id in NO_RUN else run_id
                named = {**place, "id": prediction_id, "evaluation_run_id": run}
                named |= without_covered("predictions", pending)
                stored = self._database["predictions"].find_one(named, {"_id": 1}, session=session)
                runs = [run_id, *NO_RUN] if stored or run_id in NO_RUN else [run_id]
                wanted = {
                    **place,
                    "prediction_id": prediction_id,
                    "evaluation_run_id": {"$in": runs},
                    **without_covered("scores", pending),
                }
                most, index = limit - num_scores, "scores_by_prediction"
                removed = self._remove("scores", wanted, most, index, session)
                num_scores += removed
                if removed == most and self._database["scores"].find_one(wanted, session=session):
                    return Deleted(num_predictions, num_scores, is_whole=False)
                if stored:
                    self._remove("predictions", named, 1, "predictions_by_id", session)
                num_predictions += bool(stored or removed)
            return Deleted(num_predictions, num_scores, is_whole=True)

        with our_errors():
            return in_transaction_if_possible(self._client, delete)


def _to_bson(deletion: Deletion) -> dict[str, Any]:
    values = {name: value for name, value in asdict(deletion).items() if value is not None}
    return {"_id": values.pop("deletion_id"), **values, PENDING: True}


def _to_deletion(bson: Mapping[str, Any]) -> Deletion:
    values: dict[str, Any] = {each.name: bson.get(each.name) for each in fields(Deletion)}
    values["deletion_id"] = bson["_id"]
    return Deletion(**values)
