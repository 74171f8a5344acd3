"""Propose metrics from what is stored: which leaves there are, and what their values show."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import InvalidParameter
from app.leaves import MAX_CHARACTERS
from app.services.lists import ClientCheck, no_client_check
from app.services.metrics import MAX_METRICS, MetricKey, read_metrics
from app.services.run_references import RunFinder
from app.stores.base import ScoreQuery, Store
from app.stores.model import Leaf

MAX_TEXTS = 20
"""How many different texts of a leaf may each stand for something; more are prose."""

MAX_LEAVES = 100_000
"""The leaves in memory, over all scorers."""


@dataclass
class Seen:
    """What the current values of one leaf show."""

    kinds: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    """At most MAX_TEXTS and one more."""
    minimum: float = math.inf
    maximum: float = -math.inf
    only_0_and_1: bool = True

    def add(self, leaf: Leaf, count: int) -> None:
        """Add a leaf that occurs `count` times."""
        self.kinds[leaf["kind"]] += count
        if leaf["kind"] == "number":
            number = leaf.get("number")
            self.only_0_and_1 &= number in (0, 1)
            if number is not None:
                self.minimum = min(self.minimum, number)
                self.maximum = max(self.maximum, number)
        elif leaf["kind"] == "text" and (
            leaf["text"] in self.texts or len(self.texts) <= MAX_TEXTS
        ):
            self.texts[leaf["text"]] += count


def propose_metrics(
    store: Store,
    entity: str,
    project: str,
    wanted: Mapping[str, Any],
    check_client: ClientCheck = no_client_check,
) -> dict[str, Any]:
    """Return what is seen of each leaf of current scores that is not declared yet.

    `wanted` is a loaded RunFilter. Raises what `RunFinder.find` raises, InvalidParameter if there
    are more than MAX_LEAVES leaves, and whatever `check_client` raises.
    """
    place = (store, entity, project)
    declared = read_metrics(*place)
    run_id = None
    if wanted["run"] is not None:
        run_id = RunFinder(*place, check_client).find("run", wanted["run"]).run_id
    query = ScoreQuery(entity, project, evaluation_run_id=run_id, only_current=True)
    seen = defaultdict[MetricKey, Seen](Seen)
    for tally in store.tally_leaves(query, ("scorer_name",)):
        check_client()
        for leaf, count in zip(tally.leaves, tally.counts, strict=True):
            seen[str(tally.key[0]), leaf["path"]].add(leaf, count)
        if len(seen) > MAX_LEAVES:
            message = f"the scores have more than {MAX_LEAVES:,} leaves; ask for one run"
            raise InvalidParameter("run", wanted["run"], message)
    new = sorted(key for key in seen.keys() - declared.keys() if _is_metric(key, seen[key]))
    return {
        "metrics": [_describe(key, seen[key]) for key in new[:MAX_METRICS]],
        "num_metrics": len(new),
        "num_declared": len(seen.keys() & declared.keys()),
    }


def _is_metric(key: MetricKey, seen: Seen) -> bool:
    """Return whether a leaf has values that figures can be made of, and a name to declare."""
    prose = len(seen.texts) > MAX_TEXTS and not seen.kinds["number"] + seen.kinds["boolean"]
    return not prose and seen.kinds.keys() != {"null"} and len(key[1]) <= MAX_CHARACTERS


def _describe(key: MetricKey, seen: Seen) -> dict[str, Any]:
    """Return the fields of ProposedMetric."""
    has_numbers = seen.minimum <= seen.maximum
    few = len(seen.texts) <= MAX_TEXTS
    texts = seen.texts.most_common() if few else []
    return {
        "scorer": key[0],
        "leaf": key[1],
        "kinds": dict(sorted(seen.kinds.items())),
        "minimum": seen.minimum if has_numbers else None,
        "maximum": seen.maximum if has_numbers else None,
        "only_0_and_1": has_numbers and seen.only_0_and_1,
        "texts": [{"text": text, "scores": scores} for text, scores in texts],
    }
