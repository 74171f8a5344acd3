"""Lists of scores: pages, changes after a cursor, and walks through all pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from app.ids import AFTER_ALL, first_id_at, last_id_at
from app.parts import in_parts
from app.schemas.scores import FoundScore
from app.stores.base import Changes, ScoreQuery, Store, behind
from app.stores.model import Score

PAGE = 1_000
"""How many scores are read from a store at a time."""

PART_CHARACTERS = 1 << 16
"""About how many characters of values are read before they are sent."""

WAIT_SECONDS = 1.0
"""How long a store waits for a change before it is checked whether to end the wait."""

MAX_OFFSET = 2**53

Item = TypeVar("Item")

ClientCheck = Callable[[], None]
"""A function that long work calls between steps; it raises ClientGone once the client is gone."""


def no_client_check() -> None:
    """Do nothing; the ClientCheck of work without a client."""


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Scores or documents to read one by one, and the id to continue after when more follow."""

    items: Iterator[Item]
    next_after: str | None


def list_scores(store: Store, entity: str, project: str, wanted: dict[str, Any]) -> Page[Score]:
    """Return a page of the scores of one project that pass all filters, in the wanted order.

    `wanted` is a loaded ScoreListQuery. At most PAGE ids are held in memory. The bounds of the page
    are determined before it is read, so that following `next_after` misses and repeats nothing
    while others write. A page longer than PAGE may exceed its limit by scores with lower ids that
    become durable while it is read.
    """
    query = make_query(entity, project, wanted)
    limit = wanted["limit"]
    if limit is None:
        return Page(walk(store, query), None)
    if limit <= PAGE:
        score_ids = store.list_score_ids(replace(query, limit=limit + 1))
        more, page = len(score_ids) > limit, score_ids[:limit]
        found = store.read_scores(entity, project, page, newest_first=query.newest_first)
        return Page(found, page[-1] if page and more else None)
    query = store.as_of_now(query)
    # The last score of this page and the first of the next, if there is one.
    boundary = replace(query, offset=min(query.offset + limit - 1, MAX_OFFSET), limit=2)
    score_ids = store.list_score_ids(boundary)
    if len(score_ids) < 2:
        return Page(walk(store, query), None)
    last, following = score_ids
    if query.newest_first:
        return Page(walk(store, replace(query, after=following)), last)
    return Page(walk(store, replace(query, before=following)), last)


def with_superseding(store: Store, page: Page[Score]) -> Page[FoundScore]:
    """Return the page with what supersedes its scores; about PART_CHARACTERS are read ahead."""
    return Page(_found(store, page.items), page.next_after)


def _found(store: Store, scores: Iterator[Score]) -> Iterator[FoundScore]:
    for part in in_parts(scores, PAGE, _size, PART_CHARACTERS):
        superseding = store.find_superseding(part)
        for score in part:
            yield FoundScore(score, superseding.get(score.score_id))


def _size(score: Score) -> int:
    """Return the number of characters in the texts of a score that may be long."""
    texts = (
        *(score.value_json, score.scorer, score.prediction_id, score.evaluation_run_id),
        *(score.reason, score.error, score.metadata_json, score.annotator),
    )
    return sum(len(text) for text in texts if text)


def read_changes(
    store: Store,
    entity: str,
    project: str,
    wanted: dict[str, Any],
    check_client: ClientCheck,
    is_stopping: Callable[[], bool],
) -> Changes:
    """Return the scores of one project after a cursor; wait for one if there is none.

    `wanted` is a loaded ScoreChangesQuery. The wait ends early, within WAIT_SECONDS, when
    `check_client` raises or the service is stopping.
    """
    cursor, limit = wanted["cursor"], wanted["limit"]
    deadline = time.monotonic() + wanted["wait"]
    while True:
        left = max(0.0, deadline - time.monotonic())
        changes = store.read_changes(entity, project, cursor, limit, min(left, WAIT_SECONDS))
        if changes.scores or left <= WAIT_SECONDS or is_stopping():
            return changes
        check_client()
        cursor = changes.cursor


def make_query(entity: str, project: str, wanted: dict[str, Any]) -> ScoreQuery:
    """Return the query of loaded ScoreFilters in one project; a list's limit is not in it.

    Superseded scores are left out if `current` is wanted, or the `repeats` that are `current`.
    """
    newest_first, after = wanted.get("order") == "desc", wanted.get("after")
    lower = (
        None if newest_first else after,
        # `after` is exclusive, but this bound is lower than any UUIDv7 of that moment.
        _bound(first_id_at, wanted["created_at_from"]),
        _bound(last_id_at, wanted["created_after"]),
    )
    upper = (
        after if newest_first else None,
        _bound(first_id_at, wanted["created_at_to"]),
        _bound(first_id_at, wanted["created_before"]),
    )
    return ScoreQuery(
        entity,
        project,
        evaluation_run_id=wanted["evaluation_run_id"] or None,
        prediction_id=wanted["prediction_id"] or None,
        scorer=wanted["scorer"] or None,
        scorer_name=wanted["scorer_name"] or None,
        only_current=wanted.get("current", wanted.get("repeats") == "current"),
        after=max(_given(*lower), default=None),
        before=min(_given(*upper), default=None),
        offset=min(wanted.get("offset") or 0, MAX_OFFSET),
        newest_first=newest_first,
    )


def with_fixed_bounds(store: Store, query: ScoreQuery, limit: int | None) -> ScoreQuery:
    """Return `query` with ids in place of its offset and `limit`, so that it can be read twice."""
    query = store.as_of_now(query)
    if query.offset:
        skipped = store.list_score_ids(replace(query, offset=query.offset - 1, limit=1))
        query = replace(query, offset=0, after=skipped[0] if skipped else AFTER_ALL)
    if limit == 0:
        return replace(query, after=AFTER_ALL)
    if limit is not None:
        following = replace(query, offset=min(limit, MAX_OFFSET), limit=1)
        query = replace(query, before=next(iter(store.list_score_ids(following)), query.before))
    return query


def up_to(query: ScoreQuery, score_id: str) -> ScoreQuery:
    """Return `query` without the scores that follow `score_id`."""
    return replace(query, before=f"{score_id}0")  # All ids have the same length.


def walk(store: Store, query: ScoreQuery) -> Iterator[Score]:
    """Yield every score of a query, reading PAGE at a time, all as of the first page."""
    query = replace(store.as_of_now(query), limit=PAGE)
    place = (query.entity, query.project)
    while score_ids := store.list_score_ids(query):
        yield from store.read_scores(*place, score_ids, newest_first=query.newest_first)
        if len(score_ids) < PAGE:
            return
        query = behind(query, score_ids[-1])


def _given(*score_ids: str | None) -> list[str]:
    return [score_id for score_id in score_ids if score_id]


def _bound(id_at: Callable[[datetime], str], moment: datetime | None) -> str | None:
    return id_at(moment) if moment else None
