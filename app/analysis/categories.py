"""Categories: how texts changed from one run to another."""

from __future__ import annotations

from collections import Counter
from typing import Any

from app.analysis.pairs import Pairs

MAX_CHANGES = 20
"""How many kinds of change are listed, the most frequent first."""


def changes_of_texts(pairs: Pairs) -> list[dict[str, Any]]:
    """Return the most frequent changes of a text; examples with several trials are left out."""
    changes = Counter(
        (one.value, other.value)
        for one, other in pairs.compared
        if one.value != other.value and isinstance(one.value, str) and isinstance(other.value, str)
    )
    return [
        {"baseline_value": before, "candidate_value": after, "count": count}
        for (before, after), count in changes.most_common(MAX_CHANGES)
    ]
