"""Imports: scores that were taken before, kept under their own ids and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from app.errors import Conflict, ScorelineError, TooLarge
from app.services.audit import audited
from app.services.scores import score_of
from app.stores.base import ApiKey, Score, Store

SAME = ("entity", "project", "prediction_id", "scorer", "evaluation_run_id", "value_json")
"""What two scores with one id, and so one time, must have in common to be the same."""


class Outcome(Enum):
    """What became of one score of an import."""

    CREATED = "created"
    PRESENT = "present"
    TAKEN = "taken"
    TOO_LARGE = "too large"


Outcomes = dict[str, Outcome]
"""Outcomes by score_id."""


def import_scores(
    store: Store, entity: str, project: str, by: ApiKey, bodies: Sequence[dict[str, Any]]
) -> list[Outcome]:
    """Keep scores for an API key, whose owner is theirs; what became of each, in the order given.

    `bodies` are loaded ScoreImportItem. A score whose id is stored already is not stored again:
    the same one is present, any other has taken its id. Raises StoreUnavailable; the same call
    again stores the rest.
    """
    scores = [
        score_of(body, entity, project, by.owner, body["score_id"], body["created_at"])
        for body in bodies
    ]
    with audited("scores.import", by, {"entity": entity, "project": project}) as told:
        outcomes = _in_turns(store, scores)
        told["num_created"] = outcomes.count(Outcome.CREATED)
        told["num_sent"] = len(outcomes)
    return outcomes


def _in_turns(store: Store, scores: Sequence[Score]) -> list[Outcome]:
    """Keep scores; of those with one id the first comes first, and the others are held to it."""
    outcomes: dict[int, Outcome] = {}
    waiting = dict(enumerate(scores))
    while waiting:
        turn: dict[str, int] = {}
        for position, score in waiting.items():
            turn.setdefault(score.score_id, position)
        kept = _keep(store, [scores[position] for position in turn.values()])
        outcomes |= {position: kept[score_id] for score_id, position in turn.items()}
        outcomes |= _repeated(store, _without(waiting, outcomes))
        waiting = _without(waiting, outcomes)
    return [outcomes[position] for position in range(len(scores))]


def _without(waiting: Mapping[int, Score], outcomes: Mapping[int, Outcome]) -> dict[int, Score]:
    return {position: score for position, score in waiting.items() if position not in outcomes}


def _repeated(store: Store, waiting: Mapping[int, Score]) -> dict[int, Outcome]:
    """What became of the scores whose ids are stored now, without a turn for each of them."""
    there = _stored(store, waiting.values()) if waiting else {}
    return {
        position: _compared(score, there[score.score_id])
        for position, score in waiting.items()
        if score.score_id in there
    }


def _keep(store: Store, scores: Sequence[Score]) -> Outcomes:
    """Keep what is not there yet of scores with different ids."""
    there = _stored(store, scores)
    found = {
        each.score_id: _compared(each, there[each.score_id])
        for each in scores
        if each.score_id in there
    }
    missing = [score for score in scores if score.score_id not in there]
    # A store may show what is not durable yet. Whatever it is made to write after that, also when
    # the id turns out to be taken, is answered when all before it is durable.
    return {**_add(store, missing or scores[:1]), **found}


def _add(store: Store, scores: Sequence[Score]) -> Outcomes:
    """Add scores; where one cannot be added, by halves, so that the others are kept."""
    try:
        store.add_scores(scores)
    except (Conflict, TooLarge) as error:
        if len(scores) == 1:
            return {scores[0].score_id: _refused(store, scores[0], error)}
        middle = len(scores) // 2
        return {**_add(store, scores[:middle]), **_add(store, scores[middle:])}
    return {score.score_id: Outcome.CREATED for score in scores}


def _refused(store: Store, score: Score, error: ScorelineError) -> Outcome:
    if isinstance(error, TooLarge):
        return Outcome.TOO_LARGE
    there = _stored(store, [score])  # Another import may have been faster.
    return _compared(score, there[score.score_id]) if there else Outcome.TAKEN


def _stored(store: Store, scores: Iterable[Score]) -> dict[str, Score]:
    """What is stored under the ids of these scores, in whichever project."""
    score_ids = list(dict.fromkeys(score.score_id for score in scores))
    return {each.score_id: each for each in store.read_scores(score_ids)}


def _compared(ours: Score, theirs: Score) -> Outcome:
    same = all(getattr(ours, name) == getattr(theirs, name) for name in SAME)
    return Outcome.PRESENT if same else Outcome.TAKEN
