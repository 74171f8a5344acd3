"""Summaries: what the scores of a project say, by scorer, leaf, run or time, in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from app.analysis.leaf_summaries import Group, WholeGroup, shrink
from app.errors import InvalidParameter
from app.services.lists import Check, no_check, query_of
from app.stores.base import Key, ScoreQuery, Store

MOST_GROUPS = 20_000
MOST_LEAVES = 100_000
"""How many leaves are answered at most, of all groups together."""

CHECKED = 100_000
"""After so many more values it is seen how much is held."""


def summarize(
    store: Store, entity: str, project: str, wanted: dict[str, Any], check: Check = no_check
) -> dict[str, Any]:
    """The figures of each group of the scores that pass all filters.

    `wanted` is a loaded SummaryQuery. Raises InvalidParameter when there are over MOST_GROUPS or
    MOST_LEAVES, and what `check` raises.
    """
    group_by = wanted["group_by"]
    groups = _gathered(store, query_of(entity, project, wanted), group_by, check)
    return {
        "group_by": group_by,
        "groups": [
            {**dict(zip(_fields(group_by), key, strict=True)), **figures}
            for key, group in sorted(groups.items(), key=_order)
            for figures in _figures(group, group_by)
        ],
    }


def _gathered(
    store: Store, query: ScoreQuery, group_by: Sequence[str], check: Check
) -> Mapping[Key, Group]:
    """The groups, which hold no more than they may. Raises InvalidParameter."""
    by, is_whole = _fields(group_by), "leaf" not in group_by
    groups: defaultdict[Key, Group] = defaultdict(WholeGroup if is_whole else Group)
    take = _take_whole if is_whole else _take_leaves
    unchecked = 0
    for taken in take(store, query, by, groups):
        check()
        unchecked += taken
        if unchecked > CHECKED or len(groups) > MOST_GROUPS:
            _bound(groups, group_by)
            unchecked = 0
    _bound(groups, group_by)
    return groups


def _fields(group_by: Sequence[str]) -> list[str]:
    """What a score itself is grouped by."""
    return [name for name in group_by if name != "leaf"]


def _take_leaves(
    store: Store, query: ScoreQuery, by: Sequence[str], groups: defaultdict[Key, Group]
) -> Iterator[int]:
    """Take in scores leaf by leaf; after some of them, how many values it were."""
    for tally in store.tally_leaves(query, by):
        groups[tally.key].add_counted(tally.scores, tally.leaves, tally.counts)
        yield sum(tally.counts)


def _take_whole(
    store: Store, query: ScoreQuery, by: Sequence[str], groups: defaultdict[Key, Group]
) -> Iterator[int]:
    """Take in scores, all leaves of one together; after some of them, how many values it were."""
    for keys, page in store.read_leaves(query, by):
        for key, leaves in zip(keys, page, strict=True):
            groups[key].add(leaves)
        yield sum(map(len, page))


def _bound(groups: Mapping[Key, Group], group_by: Sequence[str]) -> None:
    """Keep to what may be held. Raises InvalidParameter."""
    found = groups.values()
    if len(found) > MOST_GROUPS:
        _refuse(group_by, f"{MOST_GROUPS} groups")
    # Not every leaf is answered: those are counted only where there may be too many.
    if (
        sum(len(group.leaves) for group in found) > MOST_LEAVES
        and sum(len(group.paths()) for group in found) > MOST_LEAVES
    ):
        _refuse(group_by, f"{MOST_LEAVES} leaves of all groups")
    shrink(found)


def _refuse(group_by: Sequence[str], found: str) -> NoReturn:
    message = f"over {found}: filter, or group by less"
    raise InvalidParameter("group_by", group_by, message)


def _figures(group: Group, group_by: Sequence[str]) -> Iterator[dict[str, Any]]:
    for path in group.paths():
        leaf = {"leaf": path} if "leaf" in group_by else {}
        yield {**leaf, **group.figures(path)}


def _order(named: tuple[Key, Group]) -> list[tuple[bool, str]]:
    """By the groups' names, what has none first."""
    return [(part is not None, part or "") for part in named[0]]
