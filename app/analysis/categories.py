"""Categories: how texts changed from one run to another."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.analysis.pairs import Pairs
from app.analysis.statistics.categories import CategoryTest, stuart_maxwell

MAX_CATEGORIES = 20
"""With more distinct texts they are no categories, and not tested."""

MAX_CHANGES = 20
"""How many kinds of change are listed, the most frequent first."""


@dataclass(frozen=True)
class Changes:
    """How the texts of the compared examples changed; those with several trials are left out."""

    counts: Counter[tuple[str, str]]
    """By the old and the new text, which may be equal."""
    test: CategoryTest | None
    """Whether the shares of the categories changed; None for too many different texts."""

    def response(self) -> list[dict[str, Any]]:
        """Return the most frequent changes, as TextChange."""
        changed = Counter({pair: n for pair, n in self.counts.items() if pair[0] != pair[1]})
        return [
            {"baseline_value": before, "candidate_value": after, "count": count}
            for (before, after), count in changed.most_common(MAX_CHANGES)
        ]


def changes_of_texts(pairs: Pairs) -> Changes:
    """Count and test the changes of a text."""
    counts = Counter(
        (one.value, other.value)
        for one, other in pairs.compared
        if isinstance(one.value, str) and isinstance(other.value, str)
    )
    texts = sorted({text for pair in counts for text in pair})
    if len(texts) > MAX_CATEGORIES:
        return Changes(counts, None)
    places = {text: place for place, text in enumerate(texts)}
    table = np.zeros((len(texts), len(texts)), np.int64)
    for (before, after), count in counts.items():
        table[places[before], places[after]] = count
    return Changes(counts, stuart_maxwell(table))
