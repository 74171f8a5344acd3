"""Summaries: figures for groups of scores, by scorer, run, time or leaf, read in one pass."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

from app.analysis.attempts import failed_attempts, key_of
from app.analysis.scorers import has_scores, refuse_unknown_scorer
from app.analysis.statistics.distributions import Booleans, Numbers, Texts, shrink_largest
from app.analysis.summary_clusters import NOUNS, Clusters, Examples, fields_of_repeats, truth_in
from app.errors import InvalidParameter, Repeated, StoreDamaged
from app.scorers import scorer_name
from app.services.lists import ClientCheck, make_query, no_client_check
from app.services.metrics import MetricKey, read_metrics
from app.services.run_references import RunFinder
from app.stores.base import Key, ScoreQuery, Store, Tally
from app.stores.model import Leaf, Leaves, Metric
from app.true_when import TrueWhen, read_true_when

MAX_GROUPS = 20_000
MAX_GROUP_LEAVES = 100_000
"""The leaves in one response, over all groups."""

MAX_NUMBERS = 1_000_000
"""The numbers in memory, over all groups: 8 MB."""

MAX_TEXTS = 100_000
"""The distinct texts in memory, over all groups: about 30 MB."""

CHECK_EVERY = 100_000
"""The number of values after which the limits above are checked again."""

_STEP = re.compile(r"\\.|[.\[]", re.DOTALL)
"""A separator in a path, or an escaped character, which is part of a key."""


def summarize(
    store: Store,
    entity: str,
    project: str,
    wanted: dict[str, Any],
    check_client: ClientCheck = no_client_check,
) -> dict[str, Any]:
    """Return the figures of each group of the current scores that pass all filters.

    `wanted` is a loaded SummaryQuery. Raises NotFound and InvalidParameter as `RunFinder.find`
    does, InvalidParameter when there are more than MAX_GROUPS groups or MAX_GROUP_LEAVES leaves,
    and whatever `check_client` raises.
    """
    found: dict[str, str] = {}
    finder = RunFinder(store, entity, project, check_client)
    if wanted["run"] is not None:
        run = finder.find("run", wanted["run"])
        found = {"run": run.run_id}
        wanted = {**wanted, "evaluation_run_id": run.run_id}
    query = store.as_of_now(make_query(entity, project, wanted))
    rules = rules_of(read_metrics(store, entity, project))
    reading = Reading(store, query, wanted["group_by"], wanted["cluster"], rules, check_client)
    groups, clusters = reading.read()
    finder.check_unchanged()
    if not groups and has_scores(store, entity, project):
        for parameter in ("scorer", "scorer_name"):
            if wanted[parameter]:
                refuse_unknown_scorer(store, entity, project, parameter, wanted[parameter])
    fields = reading.fields
    return {
        "group_by": wanted["group_by"],
        **found,
        "repeats": wanted["repeats"],
        "cluster": wanted["cluster"],
        "superseded": sum(group.superseded for group in groups.values()),
        "groups": [
            {**dict(zip(fields, key, strict=True)), **figures}
            for key, group in sorted(groups.items(), key=_sort_key)
            if group.attempted
            for figures in _group_figures(key, group, clusters, wanted)
        ],
    }


Rules = Mapping[str, Mapping[str, TrueWhen]]
"""Which values count as true, by the name of the scorer and the leaf."""


def rules_of(metrics: Mapping[MetricKey, Metric]) -> Rules:
    """Return the rules for truth that a project declares."""
    rules: defaultdict[str, dict[str, TrueWhen]] = defaultdict(dict)
    for (scorer, leaf), metric in metrics.items():
        if rule := read_true_when(metric.true_when_json):
            rules[scorer][leaf] = rule
    return rules


class Groups(dict[Key, "ScoreGroup"]):
    """The groups of scores, each made when it is asked for."""

    def __init__(self, make: Callable[[Key], ScoreGroup]) -> None:
        self._make = make

    def __missing__(self, key: Key) -> ScoreGroup:
        group = self[key] = self._make(key)
        return group


class Reading:
    """One reading of a query's scores into groups, within the limits."""

    def __init__(
        self,
        store: Store,
        query: ScoreQuery,
        group_by: Sequence[str],
        cluster: str,
        rules: Rules,
        check_client: ClientCheck,
    ) -> None:
        self._rules = rules
        self._store = store
        self._query = query
        self._group_by = group_by
        self._cluster = cluster
        self._check_client = check_client
        self._is_whole = "leaf" not in group_by
        self.fields = [name for name in group_by if name != "leaf"]
        """The fields of a score that are grouped by: all but the leaf."""

    def read(self) -> tuple[Groups, Clusters | None]:
        """Return the groups, and their clusters if there are any. Raises InvalidParameter."""
        examples = Examples()
        if self._cluster == "example" and self._query.prediction_id is None:
            by_run = "evaluation_run_id" in self.fields
            examples.read(self._store, self._query, self._check_client, by_run=by_run)
        if not (self._is_whole or examples.are_repeated):
            with suppress(Repeated):
                return self._fill(self._add_singles), None
        if self._cluster == "none":
            add_all = partial(self._add_scores, None) if self._is_whole else self._add_leaves
            return self._fill(add_all), None
        clusters = Clusters(NOUNS[self._cluster], examples)
        return self._fill(partial(self._add_scores, clusters)), clusters

    def _make_group(self, key: Key) -> ScoreGroup:
        return WholeScoreGroup() if self._is_whole else ScoreGroup(self._rules_of(key))

    def _rules_of(self, key: Key) -> Mapping[str, TrueWhen]:
        """Return which values of a group count as true, by leaf: if they are all of one scorer."""
        if self._is_whole or not self._rules:
            return {}
        given = {"scorer": self._query.scorer, "scorer_name": self._query.scorer_name}
        given |= dict(zip(self.fields, key, strict=True))
        name = given["scorer_name"] or (given["scorer"] and scorer_name(given["scorer"]))
        return self._rules.get(name or "", {})

    def _fill(self, add_scores: Callable[[Groups], Iterator[int]]) -> Groups:
        groups = Groups(self._make_group)
        unchecked = 0
        for num_values in add_scores(groups):
            self._check_client()
            unchecked += num_values
            if unchecked > CHECK_EVERY or len(groups) > MAX_GROUPS:
                _enforce_limits(groups, self._group_by)
                unchecked = 0
        for attempt in failed_attempts(self._store, self._query, self._check_client):
            groups[key_of(attempt, self.fields)].attempted += 1
        _enforce_limits(groups, self._group_by)
        return groups

    def _add_singles(self, groups: Groups) -> Iterator[int]:
        """Add scores of which no two are of one prediction. Raises Repeated."""
        by = fields_of_repeats(self.fields)
        return _add_tallies(self._store.tally_single(self._query, self.fields, by), groups)

    def _add_leaves(self, groups: Groups) -> Iterator[int]:
        """Add the scores leaf by leaf."""
        return _add_tallies(self._store.tally_leaves(self._query, self.fields), groups)

    def _add_scores(self, clusters: Clusters | None, groups: Groups) -> Iterator[int]:
        """Add the scores one by one; yield the number of values in each step."""
        for keys, page, superseded in self._store.read_leaves(
            self._query, (*self.fields, "prediction_id")
        ):
            for key, number in superseded.items():
                groups[key[:-1]].superseded += number
            for (*names, prediction_id), leaves in zip(keys, page, strict=True):
                key = tuple(names)
                groups[key].add(leaves)
                if clusters:
                    at_root = [{**leaf, "path": ""} for leaf in leaves]
                    of_score = at_root if self._is_whole else leaves
                    clusters.add(key, prediction_id, of_score, groups[key].rules)
            yield sum(map(len, page))


def _add_tallies(tallies: Iterable[Tally], groups: Groups) -> Iterator[int]:
    """Add tallies to the groups; yield the number of values in each."""
    for tally in tallies:
        groups[tally.key].add_counted(tally.scores, tally.leaves, tally.counts)
        groups[tally.key].superseded += tally.superseded
        yield sum(tally.counts)


def _enforce_limits(groups: Mapping[Key, ScoreGroup], group_by: Sequence[str]) -> None:
    """Free memory where needed. Raises InvalidParameter when the response would be too large."""
    if len(groups) > MAX_GROUPS:
        _refuse(group_by, f"{MAX_GROUPS} groups")
    # Counting the paths of a response is slow, so first compare an upper bound.
    if (
        sum(len(group.leaves) for group in groups.values()) > MAX_GROUP_LEAVES
        and sum(len(group.paths()) for group in groups.values()) > MAX_GROUP_LEAVES
    ):
        _refuse(group_by, f"{MAX_GROUP_LEAVES} leaves of all groups")
    shrink(groups.values())


def _refuse(group_by: Sequence[str], limit: str) -> NoReturn:
    message = f"over {limit}: add a filter, or group by fewer fields"
    raise InvalidParameter("group_by", group_by, message)


def _group_figures(
    key: Key, group: ScoreGroup, clusters: Clusters | None, wanted: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    group_by = wanted["group_by"]
    # Only a run has a number of its own: a score may be superseded by one of another group.
    of_run = {"superseded": group.superseded} if "evaluation_run_id" in group_by else {}
    for path in group.paths():
        leaf = {"leaf": path} if "leaf" in group_by else {}
        figures = group.figures(path, histograms=wanted["histograms"])
        if clusters:
            for kind in {"number", "boolean", "rate"} & figures.keys():
                clusters.correct(key, path, kind, figures[kind])
        yield {**leaf, **figures, **of_run}


def _sort_key(item: tuple[Key, ScoreGroup]) -> list[tuple[bool, str]]:
    """Sort groups by their keys, None first."""
    key, _ = item
    return [(part is not None, part or "") for part in key]


class ScoreGroup:
    """The scores of one group, and their values by path."""

    def __init__(self, rules: Mapping[str, TrueWhen] | None = None) -> None:
        """Count by path which values are true, where there is a rule for it."""
        self.attempted = 0
        self.superseded = 0
        """How many superseded scores were left out."""
        self.rules = rules or {}
        self.leaves = LeavesByPath(self.rules)

    def add(self, leaves: Leaves) -> None:
        """Add one score. Raises StoreDamaged when a leaf is malformed."""
        self.add_counted(1, leaves, [1] * len(leaves))

    def add_counted(self, num_scores: int, leaves: Leaves, counts: Sequence[int]) -> None:
        """Add several scores: their leaves, and how often each occurs. Raises StoreDamaged."""
        self.attempted += num_scores
        values = self.leaves
        try:
            for leaf, times in zip(leaves, counts, strict=True):
                values[leaf["path"]].add[leaf["kind"]](leaf, times)
        except (KeyError, TypeError) as error:
            raise StoreDamaged("a leaf is malformed") from error

    def paths(self) -> list[str]:
        """Return the paths to report, sorted.

        A path with only nulls is left out when there are paths below it, because a null counts at
        those too. A group without any leaf is reported at the path of the whole value.
        """
        parents = set().union(*map(ancestors, self.leaves))
        paths = (
            path for path, values in self.leaves.items() if values.scored or path not in parents
        )
        return sorted(paths) or [""]

    def figures(self, path: str, *, histograms: bool = False) -> dict[str, Any]:
        """Return the counts and figures at `path`; a null above it counts as a null at it."""
        scored, nulls = self._counts(path)
        return {
            "attempted": self.attempted,
            "scored": scored,
            "nulls": nulls,
            "missing": self.attempted - scored - nulls,
            "coverage": scored / self.attempted if self.attempted else None,
            **(self.leaves[path].figures(histograms=histograms) if path in self.leaves else {}),
        }

    def _counts(self, path: str) -> tuple[int, int]:
        """Return how many scores have a value at `path`, and how many have a null."""
        scored = self.leaves[path].scored if path in self.leaves else 0
        nulls = (self.leaves[each].nulls for each in {path, *ancestors(path)} & self.leaves.keys())
        return scored, sum(nulls)


class WholeScoreGroup(ScoreGroup):
    """The scores of one group, with the leaves of each score taken together."""

    def __init__(self) -> None:
        super().__init__()
        self._scored = 0
        self._nulls = 0

    def add(self, leaves: Leaves) -> None:
        """Add one score: it is scored when any leaf has a value, and null when all are null."""
        super().add([{**leaf, "path": ""} for leaf in leaves])
        is_scored = any(leaf["kind"] != "null" for leaf in leaves)
        self._scored += is_scored
        self._nulls += bool(leaves) and not is_scored

    def _counts(self, _path: str) -> tuple[int, int]:
        return self._scored, self._nulls


class LeavesByPath(dict[str, "LeafValues"]):
    """The values of a group by path, each collection made when it is asked for."""

    def __init__(self, rules: Mapping[str, TrueWhen]) -> None:
        self._rules = rules

    def __missing__(self, path: str) -> LeafValues:
        values = self[path] = LeafValues(self._rules.get(path))
        return values


class LeafValues:
    """The values at one path, each kind kept separately, and which of them count as true."""

    def __init__(self, true_when: TrueWhen | None = None) -> None:
        self.nulls = 0
        self.numbers = Numbers()
        self.booleans = Booleans()
        self.texts = Texts()
        self.add: dict[str, Callable[[Leaf, int], None]] = {
            "number": self.numbers.add,
            "boolean": self.booleans.add,
            "text": self.texts.add,
            "null": self._add_null,
        }
        """By kind, the function that adds a leaf a number of times."""
        self.truths = Booleans()
        if true_when is not None:
            kind = "number" if true_when.texts is None else "text"
            self.add[kind] = partial(self._add_truth, true_when, self.add[kind])

    def _add_truth(
        self, true_when: TrueWhen, add: Callable[[Leaf, int], None], leaf: Leaf, times: int
    ) -> None:
        add(leaf, times)
        truth = truth_in(leaf, true_when)
        if truth is not None:
            self.truths.counts[truth] += times

    def _add_null(self, _leaf: Leaf, times: int) -> None:
        self.nulls += times

    @property
    def scored(self) -> int:
        """The number of values that are not null."""
        return self.numbers.n + self.booleans.n + self.texts.n

    @property
    def _by_kind(self) -> dict[str, Numbers | Booleans | Texts]:
        return {"number": self.numbers, "boolean": self.booleans, "text": self.texts}

    @property
    def kinds(self) -> list[str]:
        """The kinds that occur, except null."""
        return [kind for kind, values in self._by_kind.items() if values.n]

    def figures(self, *, histograms: bool = False) -> dict[str, Any]:
        """Return the figures of each kind that occurs."""
        numbers = self.numbers
        return {
            **({"number": numbers.summary(with_histogram=histograms)} if numbers.n else {}),
            **({"boolean": self.booleans.summary()} if self.booleans.n else {}),
            **({"text": self.texts.summary()} if self.texts.n else {}),
            **({"rate": self.truths.summary()} if self.truths.n else {}),
        }


def shrink(groups: Iterable[ScoreGroup]) -> None:
    """Reduce what the groups hold to MAX_NUMBERS numbers and MAX_TEXTS texts."""
    leaves = [values for group in groups for values in group.leaves.values()]
    shrink_largest([values.numbers for values in leaves], MAX_NUMBERS)
    shrink_largest([values.texts for values in leaves], MAX_TEXTS)


def ancestors(path: str) -> set[str]:
    """Return the paths of the lists and objects that contain a leaf; "" is the whole value."""
    steps = (match.start() for match in _STEP.finditer(path) if match[0] in ".[")
    return {"", *(path[:step] for step in steps)} - {path}
