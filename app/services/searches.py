"""Lists of scores that are filtered by their content, or sorted by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.conditions import Condition, leaf_value
from app.errors import InvalidParameter
from app.leaves import refuse_unknown_name
from app.services.lists import PAGE, ClientCheck, Page, list_scores, make_query, walk
from app.stores.base import Store
from app.stores.model import Leaves, Score

SCANNED = 20_000
"""About how many scores are read for one page; the next page continues behind them."""

MAX_SORTED = 100_000
"""How many scores can be sorted by a leaf."""

MAX_NAMES = 1_000
"""How many names of leaves are kept to suggest some of them."""


def search_scores(
    store: Store, entity: str, project: str, wanted: dict[str, Any], check_client: ClientCheck
) -> Page[Score]:
    """Return a page of the scores of one project that pass all filters.

    `wanted` is a loaded ScoreListQuery. With a filter by content or with `sort_by`, a page has at
    most PAGE scores, and may have fewer although more follow. Raises InvalidParameter for a leaf
    that none of the scores has, and whatever `check_client` raises.
    """
    conditions, sort_by, limit = wanted["where"], wanted["sort_by"], wanted["limit"]
    passes = _Filter(conditions, wanted["failed"], wanted["reason_contains"].casefold())
    if not passes.is_set and sort_by is None:
        return list_scores(store, entity, project, wanted)
    if wanted["offset"]:
        message = "this cannot be used with a filter by content or with sort_by: use after"
        raise InvalidParameter("offset", wanted["offset"], message)
    if limit == 0:
        return Page(iter(()), None)
    leaves = _Leaves(() if wanted["after"] else conditions, sort_by)
    if sort_by is not None:
        query = make_query(entity, project, {**wanted, "after": None, "order": "asc"})
        scores = _read(walk(store, query), leaves, check_client)
        score_ids, next_after = _sorted_ids(filter(passes, scores), sort_by, wanted)
        found = (store.find_score(entity, project, score_id) for score_id in score_ids)
        return Page((score for score in found if score), next_after)
    query = make_query(entity, project, wanted)
    scores = _read(walk(store, query), leaves, check_client)
    if limit is None:
        return Page(filter(passes, scores), None)
    score_ids, next_after = _first_ids(scores, passes, leaves, min(limit, PAGE))
    newest_first = query.newest_first
    return Page(
        store.read_scores(entity, project, score_ids, newest_first=newest_first), next_after
    )


@dataclass(frozen=True)
class _Filter:
    """What a score must have."""

    conditions: Sequence[Condition]
    failed: bool | None
    reason: str
    """A part of the reason, with all cases folded."""

    @property
    def is_set(self) -> bool:
        """Whether there is a score that would not pass."""
        return bool(self.conditions or self.reason) or self.failed is not None

    def __call__(self, score: Score) -> bool:
        """Return whether a score passes."""
        # A judgement that failed has a null too.
        if self.failed is not None and self.failed != (score.value_json == "null"):
            return False
        if self.reason and self.reason not in (score.reason or "").casefold():
            return False
        return all(condition.holds(score.leaves) for condition in self.conditions)


class _Leaves:
    """The leaves that a list names, as long as no score has been read that has them."""

    def __init__(self, conditions: Iterable[Condition], sort_by: str | None) -> None:
        self._parameters = {condition.leaf: "where" for condition in conditions}
        if sort_by is not None:
            self._parameters.setdefault(sort_by, "sort_by")
        self._names: set[str] = set()

    @property
    def are_found(self) -> bool:
        """Whether each has been in a score."""
        return not self._parameters

    def note(self, leaves: Leaves) -> None:
        """Note the leaves of one score."""
        for leaf in leaves if self._parameters else ():
            self._parameters.pop(leaf["path"], None)
            if len(self._names) < MAX_NAMES:
                self._names.add(leaf["path"])

    def refuse_missing(self) -> None:
        """Raise InvalidParameter if all scores have been read and none has one of the leaves."""
        for name, parameter in self._parameters.items():
            refuse_unknown_name(parameter, name, self._names)


def _read(scores: Iterable[Score], leaves: _Leaves, check_client: ClientCheck) -> Iterator[Score]:
    """Yield scores and note their leaves. Raises InvalidParameter at the end."""
    is_empty = True
    for score in scores:
        check_client()
        leaves.note(score.leaves)
        is_empty = False
        yield score
    if not is_empty:
        leaves.refuse_missing()


def _first_ids(
    scores: Iterable[Score], passes: _Filter, leaves: _Leaves, limit: int
) -> tuple[list[str], str | None]:
    """Return the ids of the first scores that pass, and the last id read if more may follow."""
    found = []
    for number, score in enumerate(scores, 1):
        if passes(score):
            found.append(score.score_id)
        if len(found) == limit or (number >= SCANNED and leaves.are_found):
            return found, score.score_id
    return found, None


def _sorted_ids(
    scores: Iterable[Score], leaf: str, wanted: Mapping[str, Any]
) -> tuple[list[str], str | None]:
    """Return the ids of a page of scores in the order of a leaf, and the last one if more follow.

    Scores without a value at the leaf are last. Raises InvalidParameter for over MAX_SORTED scores,
    and if the page should begin behind a score that is not among them any more.
    """
    keyed = []
    for score in scores:
        keyed.append((_sort_key(score.leaves, leaf), score.score_id))
        if len(keyed) > MAX_SORTED:
            message = f"over {MAX_SORTED} scores cannot be sorted by a leaf: add a filter"
            raise InvalidParameter("sort_by", leaf, message)
    known = [(key, score_id) for key, score_id in keyed if key is not None]
    known.sort(key=lambda each: each[0], reverse=wanted["order"] == "desc")
    score_ids = [score_id for _, score_id in known]
    score_ids += [score_id for key, score_id in keyed if key is None]
    after, limit = wanted["after"], wanted["limit"]
    if after and after not in score_ids:
        message = "the list does not have this score any more: begin again without after"
        raise InvalidParameter("after", after, message)
    start = score_ids.index(after) + 1 if after else 0
    end = None if limit is None else start + min(limit, PAGE)
    page = score_ids[start:end]
    return page, page[-1] if end is not None and end < len(score_ids) else None


def _sort_key(leaves: Leaves, name: str) -> tuple[bool, float | str] | None:
    """Return what a score is sorted by: numbers before texts, which cannot be compared."""
    value = next((leaf_value(leaf) for leaf in leaves if leaf["path"] == name), None)
    if value is None:
        return None
    return (True, value) if isinstance(value, str) else (False, float(value))
