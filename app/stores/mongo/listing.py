"""Find runs, predictions, scorers and projects in the MongoDB store, by its indexes alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from heapq import nlargest
from itertools import chain, islice
from typing import Any

from pymongo import ASCENDING, DESCENDING, MongoClient
from pymongo.collection import Collection

from app.ids import AFTER_ALL
from app.stores.documents import PRIMARY_KEY
from app.stores.listing import (
    NAMING_PROJECTS,
    START_TIES,
    Fields,
    ListedPrediction,
    Named,
    ProjectCounts,
    RunCounts,
)
from app.stores.model import Document
from app.stores.mongo.deletions import MongoDeletions
from app.stores.mongo.documents import IS_TEXT, ORDER_FIELDS, SLOT_FIELDS
from app.stores.mongo.driver import our_errors
from app.stores.mongo.parts import find_in_order, projection, read_whole_page
from app.stores.mongo.slots import SLOT, Rank, Slot, rank_of, slot_of

Documents = Collection[dict[str, Any]]

PAGE = 1_000
"""How many scores are read, or ids looked up, at a time."""

BY_RUN = {"scores": "scores_by_run", "predictions": "predictions_of_run"}
"""The indexes of the collections whose documents name runs."""

COUNTED = {name: f"{name}_by_project" for name in (*BY_RUN, "evaluation_runs")}
BY_PROJECT = COUNTED | {name: f"{name}_by_project" for name in NAMING_PROJECTS}

IS_NAME = {"$gt": ""}
ANY_TEXT = {"$gte": ""}


class MongoListing(MongoDeletions):
    """The part of the MongoDB store that lists."""

    def list_named_runs(
        self, entity: str, project: str, before: str | None, limit: int
    ) -> list[Named]:
        self._prepare_once()
        with our_errors():
            runs = self._only_named_runs({"entity": entity, "project": project})
            older = (run for run in runs if run.first_id < (before or AFTER_ALL))
            return nlargest(limit, older, key=lambda run: run.first_id)

    def find_named_run(self, entity: str, project: str, run_id: str) -> Named | None:
        self._prepare_once()
        with our_errors():
            first_id = min(
                _first_id(self._database[name], index, self._in_run(name, entity, project, run_id))
                for name, index in BY_RUN.items()
            )
        return None if first_id == AFTER_ALL else Named(run_id, first_id)

    def _in_run(self, name: str, entity: str, project: str, run_id: str) -> dict[str, Any]:
        """Return the filter for what is in a run in a collection, apart from what is hidden."""
        run = {"entity": entity, "project": project, "evaluation_run_id": run_id}
        return {**run, **self._visible(name, entity, project)}

    def count_run(self, entity: str, project: str, run_id: str) -> RunCounts:
        self._prepare_once()
        with our_errors():
            scores = self._in_run("scores", entity, project, run_id)
            predictions = self._in_run("predictions", entity, project, run_id)
            counted: list[dict[str, Any]] = [
                {"$match": scores},
                {"$group": {"_id": SLOT, "scores": {"$sum": 1}}},
                {
                    "$group": {
                        "_id": "$_id.scorer_name",
                        "current": {"$sum": 1},
                        "scores": {"$sum": "$scores"},
                    }
                },
            ]
            found = list(self._scores.aggregate(counted, hint="scores_by_slot", allowDiskUse=True))
            num_predictions = self._count_predictions(scores, predictions)
        scorers = {each["_id"]: each["current"] for each in found}
        superseded = sum(each["scores"] - each["current"] for each in found)
        return RunCounts(num_predictions, scorers, superseded)

    def _count_predictions(self, scores: dict[str, Any], predictions: dict[str, Any]) -> int:
        """Return how many predictions of a run are stored or named by scores, given two filters."""
        collection = self._database["predictions"]
        count = collection.count_documents(predictions, hint="predictions_of_run")
        distinct = [{"$match": scores}, {"$group": {"_id": "$prediction_id"}}]
        found = self._scores.aggregate(distinct, hint="scores_by_slot", allowDiskUse=True)
        while some := [each["_id"] for each in islice(found, PAGE)]:
            count += len(some) - len(_stored(collection, predictions, some))
        return count

    def list_run_predictions(
        self, entity: str, project: str, run_id: str, before: str | None, limit: int
    ) -> list[ListedPrediction]:
        self._prepare_once()
        before = before or AFTER_ALL
        with our_errors():
            predictions = self._in_run("predictions", entity, project, run_id)
            older = {**predictions, "_id": {"$lt": before}}
            stored = self._database["predictions"].find(older, {"id": 1}).hint("predictions_of_run")
            found = [
                ListedPrediction(each["id"], each["_id"], is_stored=True)
                for each in stored.sort("_id", DESCENDING).limit(limit)
            ]
            # If these fill the page, only those that are newer than its end can be on it.
            after = found[-1].first_id if len(found) == limit else ""
            scores = self._in_run("scores", entity, project, run_id)
            named = self._only_named_predictions(scores, predictions, after, before)
            found += islice(named, limit)
        return sorted(found, key=lambda each: each.first_id, reverse=True)[:limit]

    def _only_named_predictions(
        self, scores: dict[str, Any], predictions: dict[str, Any], after: str, before: str
    ) -> Iterator[ListedPrediction]:
        """Yield predictions that only scores name, each where its first score is, newest first."""
        while page := self._scores_between(scores, after, before):
            names = list({each["prediction_id"] for each in page})
            stored = _stored(self._database["predictions"], predictions, names)
            firsts: list[dict[str, Any]] = [
                {"$match": {**scores, "prediction_id": {"$in": names}}},
                {"$group": {"_id": "$prediction_id", "first_id": {"$min": "$score_id"}}},
            ]
            found = self._scores.aggregate(firsts, hint="scores_by_slot")
            first_ids = {each["first_id"] for each in found if each["_id"] not in stored}
            for each in page:
                if each["score_id"] in first_ids:
                    yield ListedPrediction(each["prediction_id"], each["score_id"], is_stored=False)
            before = page[-1]["score_id"]

    def _scores_between(
        self, scores: dict[str, Any], after: str, before: str
    ) -> list[dict[str, Any]]:
        wanted = {**scores, "score_id": {"$gt": after, "$lt": before}}
        found = self._scores.find(wanted, {"score_id": 1, "prediction_id": 1}).hint("scores_by_run")
        return list(found.sort("score_id", DESCENDING).limit(PAGE))

    def list_current_scores(
        self, entity: str, project: str, run_id: str, prediction_ids: Sequence[str]
    ) -> dict[str, list[str]]:
        self._prepare_once()
        newest: dict[Slot, Rank] = {}
        with our_errors():
            scores = self._in_run("scores", entity, project, run_id)
            wanted = {**scores, "prediction_id": {"$in": list(prediction_ids)}}
            for each in self._scores.find(wanted, SLOT_FIELDS).hint("scores_by_slot"):
                slot, rank = slot_of(each), rank_of(each)
                newest[slot] = max(rank, newest.get(slot, rank))
        found = defaultdict(list)
        for (_, prediction_id, *_), (_, score_id) in sorted(newest.items()):
            found[prediction_id].append(score_id)
        return found

    def list_scores_of(self, entity: str, project: str, prediction_ids: Sequence[str]) -> list[str]:
        self._prepare_once()
        place = {"entity": entity, "project": project}
        wanted = {**place, "prediction_id": {"$in": list(prediction_ids)}}
        with our_errors():
            wanted |= self._visible("scores", **place)
            found = self._scores.find(wanted, {"score_id": 1, "_id": 0})
            return sorted(each["score_id"] for each in found.hint("scores_by_prediction"))

    def find_judged(
        self,
        entity: str,
        project: str,
        run_id: str,
        scorer_name: str,
        prediction_ids: Sequence[str],
    ) -> set[str]:
        self._prepare_once()
        slots = {"prediction_id": {"$in": list(prediction_ids)}, "scorer_name": scorer_name}
        with our_errors():
            wanted = {**self._in_run("scores", entity, project, run_id), **slots}
            found = self._scores.find(wanted, {"prediction_id": 1, "_id": 0})
            return {each["prediction_id"] for each in found.hint("scores_by_slot")}

    def list_entities(self) -> list[str]:
        with our_errors():
            found = [self._database[name].distinct("entity") for name in BY_PROJECT]
        return sorted(set(chain.from_iterable(found)))

    def list_projects(self, entity: str) -> list[Named]:
        self._prepare_once()
        with our_errors():
            found = self._first_ids(BY_PROJECT, "project", {"entity": entity})
        return [Named(name, first_id) for name, first_id in found.items()]

    def count_project(self, entity: str, project: str) -> ProjectCounts:
        self._prepare_once()
        place = {"entity": entity, "project": project}
        with our_errors():
            counts = {
                name: self._database[name].count_documents(
                    {**place, **self._visible(name, **place)}, hint=index
                )
                for name, index in COUNTED.items()
            }
            waiting = self._database["feedback"].count_documents(
                {**place, "awaited_call": IS_TEXT}, hint="feedback_by_awaited_call"
            )
            runs = counts["evaluation_runs"] + sum(1 for _ in self._only_named_runs(place))
        return ProjectCounts(runs, counts["predictions"], counts["scores"], waiting)

    def list_scorers(self, entity: str, project: str) -> list[Named]:
        self._prepare_once()
        place = {"entity": entity, "project": project}
        with our_errors():
            found = self._first_ids({"scores": "scores_by_scorer"}, "scorer", place, ANY_TEXT)
        return [Named(name, first_id) for name, first_id in found.items()]

    def list_op_names(self, entity: str, project: str) -> list[str]:
        self._prepare_once()
        wanted = {"entity": entity, "project": project, "op_name": ANY_TEXT}
        with our_errors():
            return self._database["calls"].distinct("op_name", wanted)

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
        self._prepare_once()
        name = kind.collection
        keys = ("started_at", START_TIES[name]) if started else (PRIMARY_KEY,)
        compare, end = ("$lt", AFTER_ALL) if newest_first else ("$gt", "")
        order = [(key, DESCENDING if newest_first else ASCENDING) for key in keys]
        collection, fields = self._database[name], projection((*keys, *names))
        place: dict[str, Any] = {"entity": entity, "project": project}
        if not started:
            place["started_at"] = None
        left = [{keys[0]: {compare: end}}]
        while left:
            wanted = {**place, **left[0], **self._visible(name, entity, project)}
            find = partial(find_in_order, collection, wanted, order, f"{name}_by_start", fields)
            documents, _ = read_whole_page(collection, find, PAGE)
            if not documents:
                left.pop(0)
                continue
            yield [tuple(map(each.get, names)) for each in documents]
            last = documents[-1]
            # First the rest of those with the same start: an $or of both would have no bounds.
            left = [
                {**{key: last[key] for key in keys[:at]}, keys[at]: {compare: last[keys[at]]}}
                for at in reversed(range(len(keys)))
            ]

    def _only_named_runs(self, place: dict[str, str]) -> Iterator[Named]:
        """Yield the runs that only scores or predictions name."""
        found = self._first_ids(BY_RUN, "evaluation_run_id", place)
        visible = {**place, **self._visible("evaluation_runs", **place)}
        names = iter(found)
        while some := list(islice(names, PAGE)):
            stored = _stored(self._database["evaluation_runs"], visible, some)
            yield from (Named(name, found[name]) for name in some if name not in stored)

    def _first_ids(
        self,
        indexes: Mapping[str, str],
        field: str,
        place: dict[str, str],
        allowed: dict[str, str] = IS_NAME,
    ) -> dict[str, str]:
        """Return the texts of a field that are `allowed`, each with the lowest id that has it."""
        first_ids: dict[str, str] = {}
        for name, index in indexes.items():
            visible = self._visible(name, **place)
            wanted = {**place, field: allowed}
            for text, first_id in self._first_ids_in(name, index, field, wanted, visible):
                first_ids[text] = min(first_id, first_ids.get(text, AFTER_ALL))
        return {text: first_id for text, first_id in first_ids.items() if first_id != AFTER_ALL}

    def _first_ids_in(
        self, name: str, index: str, field: str, wanted: dict[str, Any], visible: dict[str, Any]
    ) -> Iterator[tuple[str, str]]:
        collection = self._database[name]
        if visible or _is_mongos(self._client):
            # A $group would read all documents if they are sharded or partly hidden; `distinct`
            # skips from text to text.
            for text in collection.distinct(field, wanted):
                yield text, _first_id(collection, index, {**wanted, field: text, **visible})
            return
        order = dict.fromkeys((*wanted, ORDER_FIELDS[name]), ASCENDING)
        first_id = {"$first": f"${ORDER_FIELDS[name]}"}
        first = {"$group": {"_id": f"${field}", "first_id": first_id}}
        pipeline: list[dict[str, Any]] = [{"$match": wanted}, {"$sort": order}, first]
        for each in collection.aggregate(pipeline, hint=index, allowDiskUse=True):
            yield each["_id"], each["first_id"]


def _is_mongos(client: MongoClient[dict[str, Any]]) -> bool:
    return client.is_mongos


def _first_id(collection: Documents, index: str, wanted: dict[str, Any]) -> str:
    """Return the lowest id, or AFTER_ALL if there is none."""
    order = ORDER_FIELDS[collection.name]
    found = collection.find(wanted, {order: 1}).hint(index).sort(order, ASCENDING).limit(1)
    return next((each[order] for each in found), AFTER_ALL)


def _stored(collection: Documents, wanted: dict[str, Any], names: Sequence[str]) -> set[str]:
    """Return which of some ids documents that match a filter have."""
    found = collection.find({**wanted, "id": {"$in": list(names)}}, {"_id": 0, "id": 1})
    return {each["id"] for each in found.hint(f"{collection.name}_by_id")}
