"""Summaries: what the scores of a project say, by scorer, leaf, run or time, in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.errors import InvalidParameter
from app.services.leaf_summaries import Group, WholeGroup
from app.services.pages import query_of
from app.statistics.distributions import shrink_largest
from app.stores.base import Key, ScoreQuery, Store

MOST_GROUPS = 20_000
MOST_NUMBERS = 1_000_000
"""How many numbers are held at most, of all groups together: 8 MB."""

MOST_TEXTS = 100_000
"""How many texts are held at most, of all groups together: some 30 MB."""

CHECKED = 50_000
"""After so many more scores it is seen how much is held."""


def summarize(store: Store, entity: str, project: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """The figures of each group of the scores that pass all filters.

    `wanted` is a loaded SummaryQuery. Raises InvalidParameter when there are over MOST_GROUPS.
    """
    group_by = wanted["group_by"]
    by = [name for name in group_by if name != "leaf"]
    query = query_of(entity, project, wanted)
    groups = _by_leaf(store, query, by) if "leaf" in group_by else _whole(store, query, by)
    return {
        "group_by": group_by,
        "groups": [
            {**dict(zip(by, key, strict=True)), **figures}
            for key, group in sorted(groups.items(), key=_order)
            for figures in _figures(group, group_by)
        ],
    }


def _by_leaf(store: Store, query: ScoreQuery, by: Sequence[str]) -> dict[Key, Group]:
    groups: defaultdict[Key, Group] = defaultdict(Group)
    unchecked = 0
    for tally in store.tally_leaves(query, by):
        groups[tally.key].add_counted(tally.scores, tally.leaves, tally.counts)
        unchecked += tally.scores
        if unchecked > CHECKED or len(groups) > MOST_GROUPS:
            _bound(groups, by)
            unchecked = 0
    return groups


def _whole(store: Store, query: ScoreQuery, by: Sequence[str]) -> dict[Key, WholeGroup]:
    groups: defaultdict[Key, WholeGroup] = defaultdict(WholeGroup)
    for keys, page in store.read_leaves(query, by):
        for key, leaves in zip(keys, page, strict=True):
            groups[key].add(leaves)
        _bound(groups, by)
    return groups


def _bound(groups: Mapping[Key, Group], by: Sequence[str]) -> None:
    """Keep to what may be held. Raises InvalidParameter."""
    if len(groups) > MOST_GROUPS:
        message = f"over {MOST_GROUPS} groups: filter, or group by less"
        raise InvalidParameter("group_by", by, message)
    summaries = [summary for group in groups.values() for summary in group.leaves.values()]
    shrink_largest([summary.numbers for summary in summaries], MOST_NUMBERS)
    shrink_largest([summary.texts for summary in summaries], MOST_TEXTS)


def _figures(group: Group, group_by: Sequence[str]) -> Iterator[dict[str, Any]]:
    for path in group.paths():
        leaf = {"leaf": path} if "leaf" in group_by else {}
        yield {**leaf, **group.figures(path)}


def _order(named: tuple[Key, Group]) -> list[tuple[bool, str]]:
    """By the groups' names, what has none first."""
    return [(part is not None, part or "") for part in named[0]]
