"""Decide which scores of a call are new, as `Store.add_missing` promises, for every engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app import jsontext
from app.stores.base import REFUSED, Kept, Outcome
from app.stores.documents import Key, idempotency_key
from app.stores.model import UNASSIGNED, Score

CONTENT = (
    "entity",
    "project",
    "prediction_id",
    "scorer",
    "evaluation_run_id",
    "value_json",
    "reason",
    "error",
    "metadata_json",
    "annotator",
)
"""The fields in which two scores with the same id must agree to be the same score."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """The id and body hash of the stored score with an idempotency key."""

    score_id: str
    body_hash: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with one score of a call.

    `score_id` is the id of the stored score that it was compared with, and `first` the position of
    the earlier score of the same call that it was compared with.
    """

    kept: Kept
    score_id: str = UNASSIGNED
    first: int | None = None


def content_digest(score: Score) -> str:
    """Return the SHA-256 of a score's CONTENT."""
    content = jsontext.write([getattr(score, name) for name in CONTENT])
    return hashlib.sha256(content.encode()).hexdigest()


def id_of(score: Score) -> Key | None:
    """Return entity, project and id of a score, or None without an id."""
    given = score.score_id != UNASSIGNED
    return (score.entity, score.project, score.score_id) if given else None


def are_replayed(scores: Sequence[Score], found: Mapping[Key, Keyed]) -> list[bool]:
    """Return of each score whether it is among the stored ones with its key and content."""
    stored = [found.get(key) if (key := idempotency_key(each)) else None for each in scores]
    return [
        one is not None and one.body_hash == each.body_hash
        for one, each in zip(stored, scores, strict=True)
    ]


def plan_missing(
    scores: Sequence[Score],
    keyed: Mapping[Key, Keyed],
    stored: Mapping[Key, str],
    too_large: Iterable[int],
    *,
    partial: bool,
) -> list[Plan]:
    """Return a plan for each score of a call, with CREATED for those to add.

    `keyed` has the stored scores by idempotency key, `stored` the content digests of the stored
    scores by id, and `too_large` the positions of the scores that the store cannot keep.
    """
    plans = list(_plans(scores, keyed, stored, frozenset(too_large)))
    if not partial and any(plan.kept in REFUSED for plan in plans):
        return [_held_back(plan) for plan in plans]
    return plans


def _held_back(plan: Plan) -> Plan:
    is_new = plan.kept is Kept.CREATED or plan.first is not None
    return Plan(Kept.HELD_BACK) if is_new and plan.kept not in REFUSED else plan


def _plans(
    scores: Sequence[Score],
    keyed: Mapping[Key, Keyed],
    stored: Mapping[Key, str],
    too_large: frozenset[int],
) -> Iterator[Plan]:
    first_by_id: dict[Key, int] = {}
    first_by_key: dict[Key, int] = {}
    for position, score in enumerate(scores):
        key = idempotency_key(score)
        plan = (
            _by_id(scores, score, stored, keyed, first_by_id)
            or (key and _by_key(scores, score, keyed.get(key), first_by_key.get(key)))
            or Plan(Kept.TOO_LARGE if position in too_large else Kept.CREATED)
        )
        if plan.kept is Kept.CREATED:
            if place := id_of(score):
                first_by_id[place] = position
            if key:
                first_by_key[key] = position
        yield plan


def _by_id(
    scores: Sequence[Score],
    score: Score,
    stored: Mapping[Key, str],
    keyed: Mapping[Key, Keyed],
    firsts: Mapping[Key, int],
) -> Plan | None:
    """Compare a score with the one that has its id, if there is one."""
    place = id_of(score)
    if place is None:
        return None
    first = firsts.get(place)
    other = stored.get(place) if first is None else content_digest(scores[first])
    if other is None:
        return None
    if content_digest(score) != other:
        return Plan(Kept.ID_TAKEN, score.score_id, first)
    key = idempotency_key(score)
    is_replay = key and keyed.get(key) == Keyed(score.score_id, score.body_hash)
    return Plan(Kept.REPLAYED if is_replay else Kept.PRESENT, score.score_id, first)


def _by_key(
    scores: Sequence[Score], score: Score, stored: Keyed | None, first: int | None
) -> Plan | None:
    """Compare a score with the one that has its idempotency key, if there is one."""
    other = stored if first is None else scores[first]
    if other is None:
        return None
    # A score with its own id is never a replay of another one.
    same = other.body_hash == score.body_hash and score.score_id == UNASSIGNED
    return Plan(Kept.REPLAYED if same else Kept.KEY_TAKEN, other.score_id, first)


def outcomes_of(plans: Sequence[Plan], score_ids: Mapping[int, str]) -> list[Outcome]:
    """Return the outcomes of executed plans, given the new ids by position."""
    return [_outcome(plan, position, score_ids) for position, plan in enumerate(plans)]


def _outcome(plan: Plan, position: int, score_ids: Mapping[int, str]) -> Outcome:
    if plan.kept is Kept.CREATED:
        return Outcome(plan.kept, score_ids[position])
    if plan.first is not None:
        return Outcome(plan.kept, score_ids[plan.first])
    return Outcome(plan.kept, plan.score_id)
