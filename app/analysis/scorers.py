"""List the scorers of a project: their references, and the leaves of their current scores."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from app.analysis.usage import SCORER as USAGE
from app.errors import InvalidParameter
from app.ids import AFTER_ALL, id_time
from app.scorers import scorer_name
from app.services.lists import ClientCheck, Page, no_client_check
from app.stores.base import ScoreQuery, Store

MAX_LEAVES = 100_000
"""The leaves in memory, over all scorers."""

MAX_LEAVES_SHOWN = 1_000
"""The leaves of one scorer in a response."""

MAX_REFERENCES = 100
"""The references of one scorer in a response: those with the most current scores."""


@dataclass
class Scorer:
    """What is known of the scorers with one name."""

    references: Counter[str] = field(default_factory=Counter)
    """The number of current scores by reference."""
    superseded: int = 0
    leaves: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By path, the number of values of each kind."""


def list_scorers(
    store: Store,
    entity: str,
    project: str,
    wanted: Mapping[str, Any],
    check_client: ClientCheck = no_client_check,
) -> Page[dict[str, Any]]:
    """Return a page of the scorers with scores that pass the filters, newest first.

    `wanted` is a loaded ScorerListQuery. Raises InvalidParameter if there are more than MAX_LEAVES
    leaves, and whatever `check_client` raises.
    """
    query = ScoreQuery(
        entity,
        project,
        evaluation_run_id=wanted["run"],
        scorer_name=wanted["scorer_name"] or None,
        only_current=True,
    )
    found = _read(store, query, check_client)
    # A scorer whose scores were deleted meanwhile has no id.
    first_ids = {
        name: first_id
        for name, first_id in _first_ids(store, entity, project).items()
        if name in found and (wanted["after"] is None or first_id < wanted["after"])
    }
    names = sorted(first_ids, key=lambda name: first_ids[name], reverse=True)
    page = names[: wanted["limit"]]
    return Page(
        (_describe(name, first_ids[name], found[name]) for name in page),
        first_ids[page[-1]] if len(names) > len(page) else None,
    )


def _read(store: Store, query: ScoreQuery, check_client: ClientCheck) -> dict[str, Scorer]:
    """Return the scorers of a query by name. Raises InvalidParameter over MAX_LEAVES."""
    scorers: defaultdict[str, Scorer] = defaultdict(Scorer)
    for tally in store.tally_leaves(query, ("scorer_name", "scorer")):
        check_client()
        name, reference = map(str, tally.key)
        scorer = scorers[name]
        scorer.references[reference] += tally.scores
        scorer.superseded += tally.superseded
        for leaf, count in zip(tally.leaves, tally.counts, strict=True):
            scorer.leaves[leaf["path"]][leaf["kind"]] += count
        if sum(len(each.leaves) for each in scorers.values()) > MAX_LEAVES:
            message = f"the scores have more than {MAX_LEAVES} leaves; ask for one scorer"
            raise InvalidParameter("scorer_name", query.scorer_name, message)
    return dict(scorers)


def _first_ids(store: Store, entity: str, project: str) -> dict[str, str]:
    """Return the lowest id of a score by the name of its scorer."""
    first_ids: dict[str, str] = {}
    for named in store.list_scorers(entity, project):
        name = scorer_name(named.name)
        first_ids[name] = min(named.first_id, first_ids.get(name, AFTER_ALL))
    return first_ids


def _describe(name: str, first_id: str, scorer: Scorer) -> dict[str, Any]:
    """Return the fields of ScorerRes."""
    leaves = sorted(scorer.leaves.items())
    return {
        "scorer_name": name,
        "created_at": id_time(first_id),
        "scores": scorer.references.total(),
        "superseded": scorer.superseded,
        "references": [
            {"scorer": reference, "scores": scores}
            for reference, scores in scorer.references.most_common(MAX_REFERENCES)
        ],
        "num_references": len(scorer.references),
        "leaves": [
            {"leaf": path, "kinds": dict(sorted(kinds.items()))}
            for path, kinds in leaves[:MAX_LEAVES_SHOWN]
        ],
        "num_leaves": len(leaves),
    }


def refuse_unknown_scorer(
    store: Store, entity: str, project: str, parameter: str, given: str
) -> None:
    """Raise InvalidParameter if no score is by this scorer, a name or a reference.

    The message has up to 3 that are, similar ones if there are any.
    """
    references = {each.name for each in store.list_scorers(entity, project)}
    is_name = scorer_name(given) == given
    known = set(map(scorer_name, references)) if is_name else references
    if given in known:
        return
    names = sorted(known)
    shown = get_close_matches(given, names, cutoff=0.5) or names[:3]
    hint = f"; there is {' and '.join(map(repr, shown))}" if shown else ""
    if given == USAGE:
        hint = ": compare, trend and gate read it from predictions"
    message = f"no score is by the scorer '{given}'{hint}"
    raise InvalidParameter(parameter, given, message)


def has_scores(store: Store, entity: str, project: str) -> bool:
    """Return whether a project has any score, so that a scorer can be an unknown one."""
    return any(True for _ in store.list_scorers(entity, project))
