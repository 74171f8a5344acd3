"""What the values of one group of scores say, path by path and kind by kind."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any

from app.analysis.statistics.distributions import Booleans, Numbers, Texts, shrink_largest
from app.errors import StoreDamaged
from app.stores.base import Leaf, Leaves

MOST_NUMBERS = 1_000_000
"""How many numbers are held at most, of all groups together: 8 MB."""

MOST_TEXTS = 100_000
"""How many texts are held at most, of all groups together: some 30 MB."""

_STEP = re.compile(r"\\.|[.\[]", re.DOTALL)
"""What a path is parted by; a dot with a backslash before it belongs to a key."""


class LeafSummary:
    """The values at one path; mixed kinds stand apart."""

    def __init__(self) -> None:
        self.nulls = 0
        self.numbers = Numbers()
        self.booleans = Booleans()
        self.texts = Texts()
        self.take: dict[str, Callable[[Leaf, int], None]] = {
            "number": self.numbers.add,
            "boolean": self.booleans.add,
            "text": self.texts.add,
            "null": self._add_null,
        }
        """What takes in a value of each kind, so many times."""

    def _add_null(self, _leaf: Leaf, times: int) -> None:
        self.nulls += times

    @property
    def scored(self) -> int:
        """How many values are not null."""
        return self.numbers.n + self.booleans.n + self.texts.n

    @property
    def _parts(self) -> dict[str, Numbers | Booleans | Texts]:
        return {"number": self.numbers, "boolean": self.booleans, "text": self.texts}

    @property
    def kinds(self) -> list[str]:
        """The kinds that there are, beside null."""
        return [kind for kind, part in self._parts.items() if part.n]

    def figures(self) -> dict[str, Any]:
        """The figures of each of them."""
        return {kind: part.summary() for kind, part in self._parts.items() if part.n}


class Group:
    """The scores of one group, and their values by path."""

    def __init__(self, only: Set[str] | None = None) -> None:
        """With `only`, what is not at one of these paths is left out."""
        self.attempted = 0
        self._only = only
        self.leaves: defaultdict[str, LeafSummary] = defaultdict(LeafSummary)

    def add(self, leaves: Leaves) -> None:
        """Take in one score. Raises StoreDamaged when a leaf is not what a leaf is."""
        self.add_counted(1, leaves, [1] * len(leaves))

    def add_counted(self, scores: int, leaves: Leaves, counts: Sequence[int]) -> None:
        """Take in so many scores, and leaves that stand for so many each. Raises StoreDamaged."""
        self.attempted += scores
        found, only = self.leaves, self._only
        try:
            for leaf, times in zip(leaves, counts, strict=True):
                if only is None or leaf["path"] in only:
                    found[leaf["path"]].take[leaf["kind"]](leaf, times)
        except (KeyError, TypeError) as error:
            raise StoreDamaged("a leaf is not what was written") from error

    def paths(self) -> list[str]:
        """Where there are values; where nothing but null was seen is left to the paths below it.

        Scores of empty lists and objects alone are told as the path of the whole value.
        """
        parents = set().union(*map(ancestors, self.leaves))
        found = (each for each, leaf in self.leaves.items() if leaf.scored or each not in parents)
        return sorted(found) or [""]

    def figures(self, path: str) -> dict[str, Any]:
        """What is said of one path; what is null above it is null at it too."""
        scored, nulls = self._counts(path)
        return {
            "attempted": self.attempted,
            "scored": scored,
            "nulls": nulls,
            "missing": self.attempted - scored - nulls,
            "coverage": scored / self.attempted if self.attempted else None,
            **(self.leaves[path].figures() if path in self.leaves else {}),
        }

    def _counts(self, path: str) -> tuple[int, int]:
        """How many scores have a value at a path, and of how many that is null."""
        scored = self.leaves[path].scored if path in self.leaves else 0
        nulls = (self.leaves[each].nulls for each in {path, *ancestors(path)} & self.leaves.keys())
        # Keys that are empty, or that no store can keep, may share a path with something else.
        scored = min(scored, self.attempted)
        return scored, min(sum(nulls), self.attempted - scored)


class WholeGroup(Group):
    """The scores of one group, all of their values together."""

    def __init__(self) -> None:
        super().__init__()
        self._scored = 0
        self._nulls = 0

    def add(self, leaves: Leaves) -> None:
        """Take in one score: scored when one of its values is, null when all of them are."""
        super().add([{**leaf, "path": ""} for leaf in leaves])
        is_scored = any(leaf["kind"] != "null" for leaf in leaves)
        self._scored += is_scored
        self._nulls += bool(leaves) and not is_scored

    def _counts(self, _path: str) -> tuple[int, int]:
        return self._scored, self._nulls


def shrink(groups: Iterable[Group]) -> None:
    """Let numbers and texts go where the groups hold more of them than they may."""
    summaries = [summary for group in groups for summary in group.leaves.values()]
    shrink_largest([summary.numbers for summary in summaries], MOST_NUMBERS)
    shrink_largest([summary.texts for summary in summaries], MOST_TEXTS)


def ancestors(path: str) -> set[str]:
    """Return the paths of the lists and objects that hold a leaf; "" is the whole value."""
    steps = (match.start() for match in _STEP.finditer(path) if match[0] in ".[")
    return {"", *(path[:step] for step in steps)} - {path}
