"""Copy all scores and API keys of one store to another, and compare the two."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from itertools import islice

from app import jsontext
from app.errors import Conflict, StoreUnavailable, TooLarge
from app.stores.base import ApiKey, Kept, Outcome, Score, Store

PAGE = 5_000
PAGE_CHARACTERS = 4 << 20
"""A page is read up to PAGE scores or, about, values of this length. A small page would be slow:
some servers scan all their scores for each."""

PART = 500
"""How many scores are written to the target at a time."""

ROUNDS = 3
"""How often the scores that a comparison finds missing are copied. A score may become durable after
the copy has passed its id."""

RETRY_SECONDS = 90.0
"""For how long a write is repeated. After a copy is killed, a MongoDB server holds the locks of its
transaction for a minute (transactionLifetimeLimitSeconds)."""

CHANGING = {"key_id", "created_at", "revoked_at", "last_used_at"}
"""The fields of an API key that may differ between a store and its copy."""

Progress = Callable[[int], None]
"""A callback that gets the number of scores of each page that was copied or compared."""


class Contents:
    """The number of scores on one side, and the SHA-256 of them all in the order of their ids."""

    def __init__(self) -> None:
        self.scores = 0
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The SHA-256 of the scores added so far, in hexadecimal digits."""
        return self._hash.hexdigest()

    def add(self, score: Score) -> None:
        """Add one score."""
        self.scores += 1
        self._hash.update(canonical(score).encode())


@dataclass
class StoreDifference:
    """How two stores differ in their scores up to the id `horizon`."""

    horizon: str
    source: Contents = field(default_factory=Contents)
    target: Contents = field(default_factory=Contents)
    missing: list[str] = field(default_factory=list)
    """The ids of the scores that only the source has."""
    extra: list[tuple[str, str, str]] = field(default_factory=list)
    """Entity, project and id of the scores that only the target has."""

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same scores."""
        return (self.source.scores, self.source.digest) == (self.target.scores, self.target.digest)


@dataclass
class Copied:
    """The result of a copy: how many scores and keys it added and how many scores it deleted."""

    difference: StoreDifference
    scores: int = 0
    keys: int = 0
    deleted: int = 0
    came_since: int = 0
    """About how many scores the source got during the copy; the next copy adds them."""


def canonical(score: Score) -> str:
    """Return a score as a line of JSON, which is the same for every kind of store."""
    values = {each.name: getattr(score, each.name) for each in fields(score)}
    values["created_at"] = score.created_at.isoformat()
    return jsontext.write(values) + "\n"


def copy_store(source: Store, target: Store, *, delete_extra: bool, progress: Progress) -> Copied:
    """Copy the scores and keys that `target` lacks from `source`, then compare all scores.

    Only scores up to the newest one at the beginning are copied, so that the copy ends while the
    source is written to. Nothing is overwritten and ids stay the same, so an interrupted copy can
    be repeated. With `delete_extra`, scores that only the target has are deleted. Raises Conflict
    if a score or key differs between the two, and TooLarge if the target cannot store a score.
    """
    difference = StoreDifference(source.extent().newest_id or "")
    copied = Copied(difference, keys=_copy_keys(source, target))
    for part in _parts(source, copied.difference.horizon):
        copied.scores += _put(target, part)
        progress(len(part))
    for _ in range(ROUNDS):
        found = compare_stores(source, target, copied.difference.horizon, progress)
        copied.difference = found
        if not found.missing and not (delete_extra and found.extra):
            break
        _repair(source, target, copied, delete_extra=delete_extra)
    copied.came_since = max(0, source.extent().count - copied.difference.source.scores)
    return copied


def _repair(source: Store, target: Store, copied: Copied, *, delete_extra: bool) -> None:
    missing = iter(copied.difference.missing)
    while score_ids := list(islice(missing, PART)):
        copied.scores += _put(target, list(source.read_scores(score_ids)))
    if delete_extra:
        copied.deleted += _delete(source, target, copied.difference.extra)


def compare_stores(
    source: Store, target: Store, horizon: str, progress: Progress
) -> StoreDifference:
    """Compare the scores of two stores up to the id `horizon`.

    Raises Conflict if a score differs, naming it.
    """
    found = StoreDifference(horizon)
    for ours, theirs in _pairs(_scores(source, horizon, progress), _scores(target, horizon)):
        if ours:
            found.source.add(ours)
        if theirs:
            found.target.add(theirs)
        if ours and theirs:
            _check_same(ours, theirs)
        elif ours:
            found.missing.append(ours.score_id)
        elif theirs:
            found.extra.append((theirs.entity, theirs.project, theirs.score_id))
    return found


def _pairs(
    left: Iterator[Score], right: Iterator[Score]
) -> Iterator[tuple[Score | None, Score | None]]:
    """Yield the scores of both sides in pairs with the same id, with None for a missing one."""
    ours, theirs = next(left, None), next(right, None)
    while ours or theirs:
        first = min(score.score_id for score in (ours, theirs) if score)
        pair = (
            ours if ours and ours.score_id == first else None,
            theirs if theirs and theirs.score_id == first else None,
        )
        yield pair
        ours = next(left, None) if pair[0] else ours
        theirs = next(right, None) if pair[1] else theirs


def _parts(store: Store, horizon: str) -> Iterator[list[Score]]:
    after = ""
    while page := [each for each in _page(store, after) if each.score_id <= horizon]:
        after = page[-1].score_id
        for first in range(0, len(page), PART):
            yield page[first : first + PART]


def _page(store: Store, after: str) -> list[Score]:
    page: list[Score] = []
    characters = 0
    for score in store.scan_scores(after, PAGE):
        page.append(score)
        characters += len(score.value_json)
        if characters > PAGE_CHARACTERS:
            break
    return page


def _scores(store: Store, horizon: str, progress: Progress = lambda _: None) -> Iterator[Score]:
    for part in _parts(store, horizon):
        yield from part
        progress(len(part))


def _put(target: Store, page: list[Score]) -> int:
    """Add the scores that `target` lacks; return how many were added."""
    outcomes = _add_missing(target, page)
    for score, outcome in zip(page, outcomes, strict=True):
        if outcome.kept is Kept.TOO_LARGE:
            raise TooLarge(f"score {score.score_id}: the target cannot store a score so large")
        if outcome.kept is Kept.KEY_TAKEN:
            raise Conflict(
                f"score {score.score_id} of {score.entity}/{score.project} cannot be added: "
                "another score of the target has its idempotency key"
            )
        if outcome.kept is Kept.ID_TAKEN:
            raise _differs(score)
    return sum(outcome.kept is Kept.CREATED for outcome in outcomes)


def _add_missing(target: Store, page: list[Score]) -> list[Outcome]:
    """Add the scores that `target` lacks, and retry for RETRY_SECONDS.

    Raises StoreUnavailable.
    """
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return target.add_missing(page, partial=True)
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise


def _check_same(ours: Score, theirs: Score) -> None:
    if canonical(ours) != canonical(theirs):
        raise _differs(ours)


def _differs(score: Score) -> Conflict:
    return Conflict(
        f"score {score.score_id} of {score.entity}/{score.project} differs in the target; "
        "it was not changed"
    )


def _delete(source: Store, target: Store, extra: list[tuple[str, str, str]]) -> int:
    """Delete scores from `target` after checking once more that `source` does not have them."""
    deleted = 0
    remaining = iter(extra)
    while some := list(islice(remaining, PART)):
        found = {score.score_id for score in source.read_scores([each[2] for each in some])}
        by_project = defaultdict(list)
        for entity, project, score_id in some:
            if score_id not in found:
                by_project[entity, project].append(score_id)
        for (entity, project), score_ids in by_project.items():
            deleted += target.delete_scores(entity, project, score_ids)
    return deleted


def _copy_keys(source: Store, target: Store) -> int:
    """Add the API keys that `target` lacks, and revoke those that are revoked in `source`."""
    there = {key.key_id: key for key in target.list_keys()}
    added = 0
    for key in source.list_keys():
        # One key may have two ids, after two first starts with the same key file.
        found = there.get(key.key_id) or target.find_key(key.key_hash)
        if found is None:
            target.add_key(key)
            added += 1
        elif _lasting(found) != _lasting(key):
            raise Conflict(f"API key {key.key_id} differs in the target; it was not changed")
        elif key.revoked_at and not found.revoked_at:
            target.revoke_key(found.key_id, key.revoked_at)
    return added


def _lasting(key: ApiKey) -> dict[str, object]:
    return {each.name: getattr(key, each.name) for each in fields(key) if each.name not in CHANGING}
