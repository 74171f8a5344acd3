"""Read the leaves of scores from the MongoDB store, leaving superseded scores out."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

from pymongo import ASCENDING, DESCENDING

from app.stores.base import Key, LeafPage, ScoreQuery, Tally, behind
from app.stores.mongo.deletions import MongoDeletions
from app.stores.mongo.documents import SLOT_FIELDS, ids_filter, in_utc, index_for
from app.stores.mongo.driver import PAGE_BYTES, our_errors, read_small
from app.stores.mongo.parts import find_in_order, projection, read_whole_page
from app.stores.mongo.shapes import columns_of, gathering, size, tally_of
from app.stores.mongo.slots import (
    Slot,
    newest_by_slot,
    rank_of,
    repeated_among,
    repeated_slots,
    slot_of,
)
from app.stores.singles import Singles

Bson = dict[str, Any]

PAGE = 1_000
"""How many scores are read at a time."""


class MongoLeaves(MongoDeletions):
    """The part of the MongoDB store that reads leaves."""

    def as_of_now(self, query: ScoreQuery) -> ScoreQuery:
        if query.as_of is not None:
            return query
        self._prepare_once()  # The index in the hint must exist.
        wanted = {"entity": query.entity, "project": query.project}
        found = self._scores.find(wanted, {"score_id": 1, "_id": 0}).hint("scores_by_project")
        with our_errors():
            newest = next(iter(found.sort("score_id", DESCENDING).limit(1)), {"score_id": ""})
        return replace(query, as_of=newest["score_id"])

    def read_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[LeafPage]:
        self._prepare_once()
        query = self.as_of_now(query)
        repeated = self._repeated(query)
        for current, superseded in self._read_pages(query, (*fields, "leaves"), repeated):
            yield _to_page(current, superseded, fields)

    def _repeated(self, query: ScoreQuery) -> frozenset[Slot] | None:
        """Return the slots whose superseded scores a query leaves out, None if not known."""
        if not query.only_current:
            return frozenset()
        # To look for all slots of a project at once could take longer than a call may.
        if query.evaluation_run_id is None or query.has_part_of_slots:
            return None
        visible = self._visible("scores", query.entity, query.project)
        with our_errors():
            return repeated_slots(self._scores, {**ids_filter(query), **visible})

    def _read_pages(
        self, query: ScoreQuery, fields: Sequence[str], repeated: frozenset[Slot] | None
    ) -> Iterator[tuple[list[Bson], list[Bson]]]:
        """Yield pages of a query's documents: those to read, and those to leave out."""
        is_whole, shown = False, _projection(fields, of_slots=repeated != frozenset())
        while not is_whole:
            place = {"entity": query.entity, "project": query.project}
            visible = self._visible("scores", **place)
            wanted, order = {**ids_filter(query), **visible}, [("score_id", order_of(query))]
            find = partial(find_in_order, self._scores, wanted, order, index_for(query), shown)
            documents, is_whole = read_whole_page(self._scores, find, PAGE)
            if documents:
                among = {**place, **visible, "score_id": {"$lte": query.as_of}}
                yield self._separated(documents, among, repeated)
                query = behind(query, documents[-1]["score_id"])

    def _separated(
        self, documents: list[Bson], among: Bson, repeated: frozenset[Slot] | None
    ) -> tuple[list[Bson], list[Bson]]:
        if repeated == frozenset():
            return documents, []
        with our_errors():
            if repeated is None:
                repeated = repeated_among(self._scores, among, documents)
            doubtful = [each for each in documents if slot_of(each) in repeated]
            newest = newest_by_slot(self._scores, among, doubtful)
        superseded = [each for each in doubtful if rank_of(each) != newest[slot_of(each)]]
        left_out = {each["score_id"] for each in superseded}
        return [each for each in documents if each["score_id"] not in left_out], superseded

    def tally_single(
        self, query: ScoreQuery, fields: Sequence[str], by: Sequence[str]
    ) -> Iterator[Tally]:
        self._prepare_once()
        query, singles = self.as_of_now(query), Singles()
        if query.only_current and query.has_part_of_slots:
            for current, superseded in self._read_pages(query, (*by, *fields, "leaves"), None):
                singles.add(list(zip(*(_key(document, by) for document in current), strict=True)))
                yield from _tallies(_to_page(current, superseded, fields))
        else:  # Then a superseded score is a repeated one.
            names = dict.fromkeys((*fields, *(name for name in by if name != "prediction_id")))
            for gathered in chain.from_iterable(self._gather(query, gathering(names))):
                singles.add(columns_of(gathered, by))
                yield tally_of(gathered, fields)
        singles.check()

    def _gather(self, query: ScoreQuery, stage: Bson) -> Iterator[list[Bson]]:
        """Yield pages of a query's scores, superseded ones too, as a stage gathers them.

        A page that turns out to be large is read again with fewer scores.
        """
        query, most, is_whole = replace(query, newest_first=False), PAGE, False
        while not is_whole:
            visible = self._visible("scores", query.entity, query.project)
            pipeline: list[Bson] = [
                {"$match": {**ids_filter(query), **visible}},
                {"$sort": {"score_id": ASCENDING}},
                {"$limit": most},
                stage,
            ]
            # All in one batch, as far as it fits: by default the first one has 101 documents.
            options: Bson = {"hint": index_for(query), "allowDiskUse": True, "batchSize": PAGE}
            with our_errors():
                found = self._scores.aggregate(pipeline, **options)
            page = read_small(found, size, PAGE_BYTES if most > 1 else math.inf)
            if page is None:
                most = max(1, most // 4)
                continue
            is_whole = sum(each["scores"] for each in page) < most
            most = min(PAGE, 2 * most)
            if page:
                yield page
                query = behind(query, max(each["last_id"] for each in page))

    def tally_leaves(self, query: ScoreQuery, fields: Sequence[str]) -> Iterator[Tally]:
        self._prepare_once()
        query = self.as_of_now(query)
        repeated = self._repeated(query)
        if repeated == frozenset() and "value_json" not in fields:  # Which may be in parts.
            for gathered in chain.from_iterable(self._gather(query, gathering(fields))):
                yield tally_of(gathered, fields)
        else:
            for current, superseded in self._read_pages(query, (*fields, "leaves"), repeated):
                yield from _tallies(_to_page(current, superseded, fields))


def _to_page(
    current: Sequence[Mapping[str, Any]],
    superseded: Sequence[Mapping[str, Any]],
    fields: Sequence[str],
) -> LeafPage:
    return LeafPage(
        [_key(document, fields) for document in current],
        [document["leaves"] for document in current],
        Counter(_key(document, fields) for document in superseded),
    )


def _tallies(page: LeafPage) -> Iterator[Tally]:
    """Yield a tally of each key of a page."""
    for key, number in page.superseded.items():
        yield Tally(key, 0, [], [], number)
    together = defaultdict(list)
    for key, leaves in zip(page.keys, page.leaves, strict=True):
        together[key].append(leaves)
    for key, some in together.items():
        leaves = list(chain.from_iterable(some))
        yield Tally(key, len(some), leaves, [1] * len(leaves))


_READ: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "annotator": lambda document: document.get("annotator"),
    "day": lambda document: f"{in_utc(document['created_at']):%Y-%m-%d}",
    "hour": lambda document: f"{in_utc(document['created_at']):%Y-%m-%dT%H:00Z}",
}
"""Functions that return a field that a document does not have under the same name."""


def _projection(fields: Sequence[str], *, of_slots: bool) -> dict[str, int]:
    """Return the projection of `fields` of a score, its id, and its slot if that is needed.

    Each field that is left out saves time, because the rest of a document is small.
    """
    stored = {"day": "created_at", "hour": "created_at"}
    names = [stored.get(field, field) for field in fields]
    shown = projection([*names, *(SLOT_FIELDS if of_slots else ["score_id"])])
    return shown if "value_json" in names else {**shown, "_id": 0}


def _key(document: Mapping[str, Any], fields: Sequence[str]) -> Key:
    """Return the values of `fields` of the score in a document."""
    return tuple(_READ[name](document) if name in _READ else document[name] for name in fields)


def order_of(query: ScoreQuery) -> int:
    """Return the direction in which a query's scores are read."""
    return DESCENDING if query.newest_first else ASCENDING
