"""Pages: which scores a list holds, read one by one, and where it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.ids import AFTER_ALL, first_id_at, last_id_at
from app.stores.base import Changes, Score, ScoreQuery, Store

PAGE = 1_000
"""How many scores are asked of a store at a time, however many are listed."""

WAIT_SECONDS = 1.0
"""How long a store is let wait for a change before a look at what would end the wait."""

_NO_END = 2**53

ClientCheck = Callable[[], None]
"""A function that long work calls between steps; it raises ClientGone when nobody waits for it."""


def no_client_check() -> None:
    """Do nothing: the ClientCheck of work without a client."""


@dataclass(frozen=True)
class Page:
    """Scores to read one by one, and the id to continue after when more follow."""

    scores: Iterator[Score]
    next_after: str | None


def list_scores(store: Store, entity: str, project: str, wanted: dict[str, Any]) -> Page:
    """The scores of one project that pass all filters, oldest first.

    `wanted` is a loaded ScoreListQuery. Nothing is held but PAGE ids at a time. What a page holds
    and whether more follow is settled before it is read, so that a walk by `next_after` misses
    nothing and repeats nothing while others write. A page over PAGE may come out longer than its
    limit by the scores whose lower ids become durable in that very moment.
    """
    query = query_of(entity, project, wanted)
    limit = wanted["limit"]
    if limit is None:
        return Page(walk(store, query), None)
    if limit <= PAGE:
        score_ids = store.list_score_ids(replace(query, limit=limit + 1))
        more, page = len(score_ids) > limit, score_ids[:limit]
        return Page(store.read_scores(page), page[-1] if page and more else None)
    # The last score of this page and the first of the next, when there is one.
    edge = replace(query, offset=min(query.offset + limit - 1, _NO_END), limit=2)
    border = store.list_score_ids(edge)
    if len(border) < 2:
        return Page(walk(store, query), None)
    last, following = border
    return Page(walk(store, replace(query, before=following)), last)


def read_changes(
    store: Store,
    entity: str,
    project: str,
    wanted: dict[str, Any],
    check: ClientCheck,
    is_stopping: Callable[[], bool],
) -> Changes:
    """Return the scores of one project after a cursor; wait for one where there is none.

    `wanted` is a loaded ScoreChangesQuery. The wait ends early when `check` raises or the service
    is stopping, each within WAIT_SECONDS.
    """
    cursor, limit = wanted["cursor"], wanted["limit"]
    deadline = time.monotonic() + wanted["wait"]
    while True:
        left = max(0.0, deadline - time.monotonic())
        changes = store.read_changes(entity, project, cursor, limit, min(left, WAIT_SECONDS))
        if changes.scores or left <= WAIT_SECONDS or is_stopping():
            return changes
        check()
        cursor = changes.cursor


def query_of(entity: str, project: str, wanted: dict[str, Any]) -> ScoreQuery:
    """What loaded ScoreFilters ask of one project; of a ScoreListQuery, all but its limit."""
    lower = (
        wanted.get("after"),
        # No UUIDv7 is as low as the lowest id of a moment: what follows it includes the moment.
        _bound(first_id_at, wanted["created_at_from"]),
        _bound(last_id_at, wanted["created_after"]),
    )
    upper = (
        _bound(first_id_at, wanted["created_at_to"]),
        _bound(first_id_at, wanted["created_before"]),
    )
    return ScoreQuery(
        entity,
        project,
        evaluation_run_id=wanted["evaluation_run_id"] or None,
        prediction_id=wanted["prediction_id"] or None,
        scorer=wanted["scorer"] or None,
        after=max(_given(*lower), default=None),
        before=min(_given(*upper), default=None),
        offset=min(wanted.get("offset") or 0, _NO_END),
    )


def settled(store: Store, query: ScoreQuery, limit: int | None) -> ScoreQuery:
    """`query` with ids in place of its offset and of `limit`: the same when it is read again."""
    if query.offset:
        skipped = store.list_score_ids(replace(query, offset=query.offset - 1, limit=1))
        query = replace(query, offset=0, after=skipped[0] if skipped else AFTER_ALL)
    if limit == 0:
        return replace(query, after=AFTER_ALL)
    if limit is not None:
        edge = replace(query, offset=min(limit, _NO_END), limit=1)
        query = replace(query, before=next(iter(store.list_score_ids(edge)), query.before))
    return query


def up_to(query: ScoreQuery, score_id: str) -> ScoreQuery:
    """`query` without what follows a score."""
    return replace(query, before=f"{score_id}0")  # All ids have the same length.


def walk(store: Store, query: ScoreQuery) -> Iterator[Score]:
    """Every score that `query` asks for, PAGE ids at a time."""
    query = replace(query, limit=PAGE)
    while score_ids := store.list_score_ids(query):
        yield from store.read_scores(score_ids)
        if len(score_ids) < PAGE:
            return
        query = replace(query, after=score_ids[-1], offset=0)


def _given(*score_ids: str | None) -> list[str]:
    return [score_id for score_id in score_ids if score_id]


def _bound(id_at: Callable[[datetime], str], moment: datetime | None) -> str | None:
    return id_at(moment) if moment else None
